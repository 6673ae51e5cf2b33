"""The two sides of a measurement as processes that take turns."""

import json
import os
import statistics
import subprocess
from pathlib import Path
from typing import Dict, List, NamedTuple

HERE = Path(__file__).parent
OURS = "ferrite"


class Measured(NamedTuple):
    """What a side did in the median of its rounds."""

    images_per_second: float
    # Peak of the process's memory above what it had when its libraries were loaded, and in all.
    step_mb: float
    peak_mb: float


class Side:
    """A process that does a round whenever it is told to."""

    def __init__(self, name: str, command: List[str], work: Dict, environment: Dict[str, str]):
        self.name = name
        device = next(iter(work.values())).get("device")
        self.process = subprocess.Popen(
            [*command, json.dumps(work)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **({} if device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}), **environment},
        )
        self.loaded_mb = self.read()["mb"]
        self.rounds: List[Dict] = []

    def read(self) -> Dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with exit code {self.process.wait()}")
        return json.loads(line)

    def go(self) -> Dict:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.read()

    def round(self) -> None:
        self.rounds.append(self.go())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()

    def end(self) -> Measured:
        self.close()
        speeds = [it["images_per_second"] for it in self.rounds]
        peak = self.rounds[-1]["peak_mb"]
        return Measured(statistics.median(speeds), peak - self.loaded_mb, peak)


def ferrite(program: Path, work: Dict, threads: int) -> Side:
    """Ferrite's side, with the environment that a sweep gives its workers."""
    return Side(OURS, [str(program)], work, {"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "20000"})


def pytorch(kind: str, setup: Dict, mode: str, threads: int, python: Path, name: str) -> Side:
    work = {kind: {**setup, "mode": mode}}
    return Side(name, [str(python), str(HERE / "pytorch.py")], work, {"OMP_NUM_THREADS": str(threads)})


def opencv(setup: Dict, mode: str) -> Side:
    return Side(mode, [sys.executable, str(HERE / "opencv.py")], {"faces": {**setup, "mode": mode}}, {})


def take_turns(sides: List[Side], rounds: int, warm_up: bool = True) -> Dict[str, Measured]:
    """Does a round of each side to warm up, then `rounds` of each, alternately."""
    if warm_up:
        for side in sides:
            side.go()
    for _ in range(rounds):
        for side in sides:
            side.round()
    return {side.name: side.end() for side in sides}
