"""Measure trials that share a GPU, on a machine with an NVIDIA GPU: `make packed`.

One trial alone; so many at once that take turns, as processes do without NVIDIA's Multi-Process Service (MPS); so many at once under
MPS; and as many as a sweep finds best by itself. Then workers, the scheduler and the server of MPS are killed in the middle of a
sweep that shares the GPU: the next sweep must end all trials, and no daemon may be left. Ratios are of images per second, the medians of whole epochs.

With `--device cpu` everything but MPS is tried, to see that this script works.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Optional

EXPERIMENT = """seeds = {seeds}
[data]
source = {{ synthetic = {{ faces = {faces} }} }}
image_size = {size}
[model]
backbone = "{backbone}"
[augment]
flip = 0.5
rotation = 10
[[stages]]
trainable = "all"
batch_size = 64
epochs = {epochs}
"""
# Backbone, side of its images, and how many times as many images four at once are to train as one alone.
NETWORKS = [("resnet50", 48, 2.5), ("mobilenet_v2", 96, 2.5), ("vgg16", 48, 1.3)]
# A program that is found before NVIDIA's and refuses, so that processes take turns.
REFUSES = "#!/bin/sh\necho 'left out of this measurement'\nexit 1\n"


class Folder:
    """A folder with one experiment, in which Ferrite sweeps."""

    def __init__(self, root: Path, arguments: argparse.Namespace, network: tuple, seeds: int, epochs: int):
        self.root, self.arguments = root, arguments
        backbone, size, _ = network
        (root / "experiments").mkdir(parents=True)
        text = EXPERIMENT.format(seeds=list(range(seeds)), faces=arguments.faces, size=size, backbone=backbone, epochs=epochs)
        (root / "experiments/e.toml").write_text(text)

    def command(self, jobs: Optional[int]) -> List[str]:
        at_once = [] if jobs is None else ["--jobs", str(jobs)]
        return [str(self.arguments.program), "sweep", "--device", self.arguments.device, *at_once]

    def sweep(self, jobs: Optional[int], turns: bool) -> str:
        """Sweeps, and returns what was said."""
        variables = dict(os.environ)
        if turns:
            refusing = self.root / "refusing"
            refusing.mkdir(exist_ok=True)
            program = refusing / "nvidia-cuda-mps-control"
            program.write_text(REFUSES)
            program.chmod(0o755)
            variables["PATH"] = f"{refusing}:{variables['PATH']}"
        told = subprocess.run(self.command(jobs), cwd=self.root, env=variables, capture_output=True, text=True, check=False)
        if told.returncode != 0:
            sys.exit(f"the sweep ended with {told.returncode}:\n{told.stderr}")
        return told.stderr

    def epochs(self) -> List[List[dict]]:
        """The epochs of each trial but its first, with when each ended."""
        trials = []
        for log in sorted(self.root.glob("runs/e/*/events.jsonl")):
            events = [json.loads(line) for line in log.read_text().splitlines()]
            trials.append([it for it in events if it["event"] == "epoch-ended"][1:])
        return trials

    def speed(self) -> float:
        """Images per second of all trials together, while all of them trained."""
        trials = [it for it in self.epochs() if it]
        from_ms = max(it[0]["at_ms"] for it in trials)
        until_ms = min(it[-1]["at_ms"] for it in trials)
        total = 0.0
        for trial in trials:
            together = [it["images_per_second"] for it in trial if from_ms <= it["at_ms"] <= until_ms]
            total += statistics.median(together or [it["images_per_second"] for it in trial])
        return total


def measure(place: Path, arguments: argparse.Namespace, network: tuple) -> bool:
    backbone, size, aim = network
    speeds: Dict[str, float] = {}
    ways = {"alone": (1, 1, True), "turns": (arguments.jobs, arguments.jobs, True), "shared": (arguments.jobs, arguments.jobs, False)}
    for way, (seeds, jobs, turns) in ways.items():
        folder = Folder(place / f"{backbone}-{way}", arguments, network, seeds, arguments.epochs)
        folder.sweep(jobs, turns)
        speeds[way] = folder.speed()
    found = Folder(place / f"{backbone}-found", arguments, network, 2 * arguments.jobs, arguments.epochs)
    said = re.search(r"^(.*from now on.*)$", found.sweep(None, False), re.MULTILINE)
    ratios = ", ".join(f"{way} {speeds[way] / speeds['alone']:.2f}" for way in ("turns", "shared"))
    print(f"{backbone} at {size} px: {speeds['alone']:.0f} images/s alone; {arguments.jobs} at once, as ratios: {ratios}")
    print(f"  a sweep by itself: {said.group(1).strip() if said else 'it did not settle'}", flush=True)
    return speeds["shared"] >= aim * speeds["alone"]


def daemons() -> List[str]:
    """The processes of MPS that were begun by Ferrite: its pipes are in a folder of Ferrite's."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            name = environment.with_name("comm").read_text().strip()
            if name.startswith("nvidia-cuda-mps") and b"ferrite-mps-" in environment.read_bytes():
                found.append(environment.parent.name)
        except OSError:
            continue
    return found


def kill(place: Path, arguments: argparse.Namespace, whom: str) -> bool:
    folder = Folder(place / f"killed-{whom}", arguments, NETWORKS[1], arguments.jobs, arguments.epochs)
    sweep = subprocess.Popen(folder.command(arguments.jobs), cwd=folder.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    since = time.monotonic()
    while not any(folder.epochs()) and time.monotonic() - since < 120 and sweep.poll() is None:
        time.sleep(0.2)
    victims = {"scheduler": [sweep.pid], "server": [int(it) for it in daemons()]}
    children = Path(f"/proc/{sweep.pid}/task/{sweep.pid}/children").read_text().split()
    victims["worker"] = [int(it) for it in children if Path(f"/proc/{it}/comm").read_text().startswith("ferrite-engine")][:1]
    for it in victims[whom]:
        os.kill(it, signal.SIGKILL)
    sweep.wait()
    folder.sweep(arguments.jobs, False)
    # The guardian of a sweep that was killed waits for its workers first.
    since = time.monotonic()
    while daemons() and time.monotonic() - since < 30:
        time.sleep(0.5)
    done = len(list(folder.root.glob("runs/e/*/predictions.csv")))
    fine = done == arguments.jobs and not daemons()
    print(f"{whom} killed ({len(victims[whom])}): {done} of {arguments.jobs} trials ended by the next sweep, {len(daemons())} daemons left", flush=True)
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=Path("target/release/ferrite"), help="Ferrite (default: what `make build` builds)")
    parser.add_argument("--device", default="cuda", help="where to train (default: cuda)")
    parser.add_argument("--jobs", type=int, default=4, help="trials at once (default: 4)")
    parser.add_argument("--epochs", type=int, default=8, help="of each trial (default: 8)")
    parser.add_argument("--faces", type=int, default=20_000, help="images of the data set (default: 20,000)")
    parser.add_argument("--only", choices=["speed", "kills"], help="leave the other out")
    arguments = parser.parse_args()
    arguments.program = arguments.program.resolve()
    fine = True
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if arguments.only != "kills":
            fine &= all([measure(place, arguments, it) for it in NETWORKS])
        if arguments.only != "speed":
            fine &= all([kill(place, arguments, it) for it in ("worker", "scheduler", "server")])
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
