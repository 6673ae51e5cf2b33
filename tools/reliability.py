"""Break Ferrite in every way that its promises speak of, many times: `make reliability`.

Sweeps are killed at any moment, run out of disk space, and find their files damaged; experiment files, tables, weight
files and pictures are changed at random. Nothing may panic, hang, be lost, or end with another result: a sweep that was
disturbed ends with the bytes of one that was not, and whatever cannot be used is told with one of the documented exit
codes. Random choices follow from `--seed`, so a campaign can be repeated; how many tries there are is told at the end.
"""

import argparse
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional

PROGRAM = Path("target/release/ferrite")
# What the README lists; 139 and the like, a death by a signal, are not among them.
CODES = {0, 1, 2, 3, 4, 5, 6, 7, 10, 130}
# No try takes longer on two cores, unless something hangs.
PATIENCE = 300

EXPERIMENT = """[data]
source = { synthetic = { faces = 120 } }
image_size = 32
[augment]
flip = 0.5
[model.head]
dropout = 0.3
[[stages]]
name = "head"
epochs = 3
batch_size = 16
[[stages]]
name = "all"
trainable = "features.17"
epochs = 3
batch_size = 16
"""
SWEEP = ["sweep", "--jobs", "1", "--threads", "1", "--device", "cpu", "--quiet"]


def png(width: int, height: int) -> bytes:
    """A gray picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    lines = b"".join(b"\0" + bytes((x * 7 + y * 3) % 256 for x in range(width)) for y in range(height))
    head = struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


PICTURE = png(40, 40)


class Tally(NamedTuple):
    tries: int
    failures: List[str]


class Folder:
    """A folder with the experiment above, and the program in it."""

    def __init__(self, root: Path, program: Path):
        self.root, self.program = root, program
        (root / "experiments").mkdir(parents=True, exist_ok=True)
        (root / "experiments/e.toml").write_text(EXPERIMENT)

    def command(self, *words: str) -> List[str]:
        return [str(self.program), *words]

    def run(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run(self.command(*words), cwd=self.root, capture_output=True, timeout=PATIENCE, check=False)

    def sweep(self) -> subprocess.CompletedProcess:
        return self.run(*SWEEP)

    def mend(self) -> Optional[str]:
        """Carries out what a disturbed sweep left: what was interrupted, and then what failed. Returns what is wrong then."""
        return wrong(self.sweep(), {0, 1}) or wrong(self.run("retry", *SWEEP[1:]), {0})

    def learnt(self) -> Optional[Dict[str, bytes]]:
        """What the run holds that says what was learnt; none if it is not there."""
        runs = list((self.root / "runs/e").glob("seed-*"))
        names = ["predictions.csv", "model.safetensors"]
        if len(runs) != 1 or not all((runs[0] / name).is_file() for name in names):
            return None
        return {name: (runs[0] / name).read_bytes() for name in names}


def wrong(told: subprocess.CompletedProcess, codes: set = CODES) -> Optional[str]:
    """What is wrong with how a command ended."""
    said = told.stderr.decode(errors="replace")
    if told.returncode not in codes:
        return f"exit code {told.returncode}: {said[-300:]}"
    if "panicked" in said:
        return f"a panic: {said[-300:]}"
    return None


# ---------------------------------------------------------------------------------------------------
# Sweeps


def undisturbed(folder: Path, program: Path) -> Dict[str, bytes]:
    it = Folder(folder / "undisturbed", program)
    if it.learnt() is None:
        it.sweep().check_returncode()
    return it.learnt()


def kills(folder: Path, arguments: argparse.Namespace, dice: random.Random) -> Tally:
    """SIGKILL, and now and then SIGINT or SIGTERM, of a sweep, its worker or both, at any moment, until one comes through."""
    began = time.monotonic()
    expected, failures, count, killed = undisturbed(folder, arguments.program), [], 0, 0
    # As long as a sweep takes on this machine, at least.
    longest = max(1.5, time.monotonic() - began)
    for number in range(arguments.rounds):
        it = Folder(folder / f"kills-{number}", arguments.program)
        for _ in range(dice.randint(1, 5)):
            worker = subprocess.Popen(it.command(*SWEEP), cwd=it.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            time.sleep(dice.uniform(0.02, longest))
            how = dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
            whom = dice.choice(["sweep", "both", "worker"])
            if worker.poll() is None:
                hit = strike(worker.pid, whom, how)
                count += hit
                killed += hit if how == signal.SIGKILL else 0
            else:
                # The machine is faster than it was.
                longest = max(1.5, 0.7 * longest)
            worker.wait(PATIENCE)
        for _ in range(2):
            # What a worker that outlived its scheduler holds is waited for.
            told = it.sweep()
        problem = wrong(told, {0}) or (None if it.learnt() == expected else "other predictions or weights")
        if problem:
            failures.append(f"round {number}: {problem}")
        shutil.rmtree(it.root)
    print(f"  {arguments.rounds} runs, {count} signals, {killed} of them SIGKILL")
    return Tally(count, failures)


def strike(sweep: int, whom: str, how: signal.Signals) -> int:
    """Sends a signal to a sweep, to both or to its worker, and says how many processes were hit."""
    if whom == "both":
        os.killpg(sweep, how)
        return 2
    if whom == "sweep":
        os.kill(sweep, how)
        return 1
    try:
        workers = [int(it) for it in Path(f"/proc/{sweep}/task/{sweep}/children").read_text().split()]
        for it in workers:
            os.kill(it, how)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return len(workers)


def faults(folder: Path, arguments: argparse.Namespace, dice: random.Random) -> Tally:
    """The n-th operation on files of the scheduler, and of its worker, fails, for every n until a sweep passes untouched: once,
    and from then on. With fewer than 20 rounds, for ever fewer of them."""
    expected, failures, count = undisturbed(folder, arguments.program), [], 0
    told_in, apart = folder / "told", max(1, 20 // arguments.rounds)
    for program in ("ferrite", "ferrite-engine"):
        for stays in ("", "+"):
            number = 1
            while True:
                it = Folder(folder / "faults", arguments.program)
                error = dice.choice(["ENOSPC", "EIO", "EROFS"])
                told_in.unlink(missing_ok=True)
                variables = {**os.environ, "FERRITE_TEST_FILE_FAULT": f"{program} any {number}{stays} {error} {told_in}"}
                told = subprocess.run(it.command(*SWEEP), cwd=it.root, env=variables, capture_output=True, timeout=PATIENCE, check=False)
                if not told_in.exists():
                    shutil.rmtree(it.root)
                    print(f"  {program}, {'from then on' if stays else 'once'}: {number - 1} operations, {len(failures)} failures so far")
                    break
                operations = told_in.read_text().splitlines()
                said = " ".join(told.stderr.decode(errors="replace").replace("│", " ").split())
                problem = wrong(told, {0, 1, 5})
                if problem is None and told.returncode != 0 and not any(shown_name(path) in said for path in operations):
                    problem = f"none of the files is named: {said[-300:]}"
                problem = problem or it.mend() or (None if it.learnt() == expected else "other predictions or weights")
                problem = problem or pages(it)
                if problem:
                    failures.append(f"{program}, operation {number}{stays}, {error}, {operations[0]}: {problem}")
                    # It takes hours, and who ends it before has these.
                    print(f"  {failures[-1]}")
                shutil.rmtree(it.root)
                count += 1
                number += apart
    return Tally(count, failures)


def shown_name(operation: str) -> str:
    """The name by which messages speak of a file, from a line that tells of an operation: that which it has once it is written. A
    folder that is only tried is spoken of itself."""
    name = operation.rsplit("/", 1)[-1]
    if name.startswith(".probe-"):
        return "`runs`"
    parts = name.split(".")
    return ".".join(parts[1:-2]) if name.startswith(".") and name.endswith(".tmp") and len(parts) > 3 else name


def pages(it: Folder) -> Optional[str]:
    """What is wrong with the report and its data, which every sweep leaves whole."""
    report = ["index.html", "report/runs.csv", "report/epochs.parquet", "report/predictions.parquet"]
    lost = [name for name in report if not (it.root / "runs" / name).is_file()]
    runs = (it.root / "runs/e").glob("seed-*")
    lost += [str(run.name) for run in runs if not (run / "index.html").is_file()]
    if lost:
        return f"{', '.join(lost)} is missing after a sweep"
    status = it.run("status", "--json")
    return wrong(status, {0}) or ("a run is not finished" if b'"finished"' not in status.stdout else None)


def together(folder: Path, arguments: argparse.Namespace, dice: random.Random) -> Tally:
    """Two and four sweeps at once on one folder, some of which are killed: every step is made once, or gone on with."""
    expected, failures = undisturbed(folder, arguments.program), []
    for number in range(arguments.rounds):
        it = Folder(folder / f"together-{number}", arguments.program)
        count = dice.choice([2, 4])
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        sweeps = [subprocess.Popen(it.command(*SWEEP), cwd=it.root, start_new_session=True, **streams) for _ in range(count)]
        killed = dice.randint(0, count - 1)
        for sweep in sweeps[:killed]:
            time.sleep(dice.uniform(0.02, 0.5))
            if sweep.poll() is None:
                os.killpg(sweep.pid, signal.SIGKILL)
        codes = [sweep.wait(PATIENCE) for sweep in sweeps]
        problem = None if all(code == 0 for code in codes[killed:]) else f"exit codes {codes}"
        problem = problem or (None if it.learnt() == expected else "other predictions or weights")
        made = [path for path in (it.root / "runs/.store").glob("*/*") if ".damaged" in path.name or ".partial" in path.name]
        problem = problem or (f"{made[0].name} is left" if made else None)
        if problem:
            failures.append(f"round {number}, {count} sweeps, {killed} killed: {problem}")
        shutil.rmtree(it.root)
    return Tally(arguments.rounds, failures)


LARGE_BATCHES = """[data]
source = { synthetic = { faces = 300 } }
image_size = 96
[[stages]]
trainable = "all"
epochs = 1
batch_size = 192
"""


def memory(folder: Path, arguments: argparse.Namespace, dice: random.Random) -> Tally:
    """Limits of address space (`ulimit -v`), from one that nothing fits into to one that a batch of 192 images fits into. With some
    between, batches are taken in halves: these are searched for, and there must be one of them at least."""
    del dice
    failures, count, divided = [], 0, []

    def passes(limit: int) -> bool:
        """Whether a sweep comes to its end under this limit."""
        nonlocal count
        it = Folder(folder / "memory", arguments.program)
        (it.root / "experiments/e.toml").write_text(LARGE_BATCHES)
        limited = f'ulimit -v {limit}; exec "$@"'
        told = subprocess.run(["bash", "-c", limited, "bash", *it.command(*SWEEP)], cwd=it.root, capture_output=True, timeout=PATIENCE, check=False)
        problem = wrong(told)
        logs = [path.read_text() for path in (it.root / "runs").glob("e/*/events.jsonl")]
        if told.returncode == 0 and any("batch-divided" in log for log in logs):
            divided.append(limit)
        # Whoever could not go on does so where there is memory.
        problem = problem or it.mend() or (None if it.learnt() else "the run is not whole")
        if problem:
            failures.append(f"{limit} kB: {problem}")
        shutil.rmtree(it.root)
        count += 1
        return told.returncode == 0

    # A step of 192 images needs about 3 GB in all, of which what is loaded and mapped takes 1 GB.
    limit, most = 400_000, 6_000_000
    growth = 1 + 1.6 / arguments.rounds
    too_little, enough = limit, most
    while limit < most:
        if passes(limit):
            enough = limit
            if limit not in divided:
                break
        else:
            too_little = limit
        limit = int(limit * growth)
    # What lets batches be halved lies just above what is too little, and may lie between two limits.
    while not divided and enough - too_little > 1000:
        limit = (too_little + enough) // 2
        if passes(limit):
            enough = limit
        else:
            too_little = limit
    if not divided:
        failures.append("with no limit batches were taken in halves to the end")
    print(f"  {len(divided)} limits with which batches were taken in halves to the end: {divided} kB")
    return Tally(count, failures)


def disks(folder: Path, arguments: argparse.Namespace, dice: random.Random) -> Tally:
    """A disk that is full sooner or later, and then is not. Wants root, to mount one."""
    if os.geteuid() != 0:
        print("  full disks are left out: only root can mount a small one")
        return Tally(0, [])
    expected, failures = undisturbed(folder, arguments.program), []
    needed = sum(it.stat().st_size for it in (folder / "undisturbed/runs").rglob("*") if it.is_file())
    for number in range(arguments.rounds):
        kilobytes = int(needed / 1024 * dice.uniform(0.01, 1.2))
        it = Folder(folder / f"disk-{number}", arguments.program)
        (it.root / "runs").mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(it.root / "runs")], check=False)
        if mounted.returncode != 0:
            print("  full disks are left out: nothing can be mounted here")
            return Tally(number, failures)
        try:
            problem = wrong(it.sweep())
            subprocess.run(["mount", "-o", "remount,size=1g", str(it.root / "runs")], check=True)
            problem = problem or it.mend() or (None if it.learnt() == expected else "other predictions or weights")
        finally:
            subprocess.run(["umount", str(it.root / "runs")], check=True)
        if problem:
            failures.append(f"{kilobytes} kB: {problem}")
    return Tally(arguments.rounds, failures)


def flips(folder: Path, arguments: argparse.Namespace, dice: random.Random) -> Tally:
    """Bits that change, bytes that go, and files that are cut, emptied or lost, of a finished run and its steps."""
    expected, failures = undisturbed(folder, arguments.program), []
    for number in range(10 * arguments.rounds):
        it = Folder(folder / "flips", arguments.program)
        shutil.copytree(folder / "undisturbed/runs", it.root / "runs")
        files = sorted(path for path in (it.root / "runs").rglob("*") if path.is_file() and path.stat().st_size > 0)
        path = dice.choice(files)
        done = damage(path, dice)
        problem = None
        for words in (["status"], ["report"], ["plan"], SWEEP, ["status"]):
            problem = problem or wrong(it.run(*words))
        # Weights are looked at byte by byte by whoever reads them, and made again by the sweep after that.
        (it.root / "picture.png").write_bytes(PICTURE)
        told = it.run("predict", "e", "picture.png", "--device", "cpu")
        problem = problem or wrong(told, {0, 5})
        if told.returncode == 5:
            problem = problem or wrong(it.sweep(), {0})
        problem = problem or (None if it.learnt() == expected else "other predictions or weights after a sweep")
        if problem:
            failures.append(f"{path.relative_to(it.root)} {done}: {problem}")
        shutil.rmtree(it.root)
    return Tally(10 * arguments.rounds, failures)


def offsets(folder: Path, arguments: argparse.Namespace, dice: random.Random) -> Tally:
    """Every file of a finished run and its steps, damaged at each class of offsets; then the run is lost, so that all is read."""
    expected, failures, count = undisturbed(folder, arguments.program), [], 0
    whole = folder / "undisturbed/runs"
    # Pages are made from the others, and nothing is read from locks.
    shown = {".html", ".svg", ".md", ".lock"}
    names = [path.relative_to(whole) for path in sorted(whole.rglob("*")) if path.is_file()]
    names = [name for name in names if name.suffix not in shown and name.name != ".lock" and name.parts[0] not in ("report", "plots")]
    for name in names:
        length = (whole / name).stat().st_size
        for at in sorted({0, min(1, length - 1), length // 2, min(4096, length - 1), length - 1}):
            for cut in (False, True):
                it = Folder(folder / "offsets", arguments.program)
                shutil.copytree(whole, it.root / "runs")
                path = it.root / "runs" / name
                content = bytearray(path.read_bytes())
                if cut:
                    del content[at:]
                else:
                    content[at] ^= 1
                path.write_bytes(content)
                problem = None
                if name.parts[0] == ".store":
                    shutil.rmtree(it.root / "runs/e")
                told = it.run("status")
                problem = wrong(told)
                told = it.sweep()
                problem = problem or wrong(told, {0})
                if name.name.startswith("model"):
                    # Weights are looked at byte by byte by whoever reads them.
                    (it.root / "picture.png").write_bytes(PICTURE)
                    if it.run("predict", "e", "picture.png", "--device", "cpu").returncode == 5:
                        problem = problem or wrong(it.sweep(), {0})
                problem = problem or (None if it.learnt() == expected else "other predictions or weights after a sweep")
                if problem:
                    failures.append(f"{name} {'cut' if cut else 'flipped'} at byte {at}: {problem}")
                shutil.rmtree(it.root)
                count += 1
    return Tally(count, failures)


def damage(path: Path, dice: random.Random) -> str:
    content = bytearray(path.read_bytes())
    at = dice.randrange(len(content))
    kind = dice.choice(["bit", "cut", "empty", "lost", "zeros"])
    if kind == "lost":
        path.unlink()
        return "lost"
    if kind == "bit":
        content[at] ^= 1 << dice.randrange(8)
    elif kind == "cut":
        del content[at:]
    elif kind == "empty":
        content.clear()
    else:
        content[at : at + 512] = bytes(len(content[at : at + 512]))
    path.write_bytes(content)
    return f"{kind} at byte {at}"


# ---------------------------------------------------------------------------------------------------
# Files of others


def changed(content: bytes, dice: random.Random) -> bytes:
    """`content` with a few things done to it that happen to files."""
    content = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        if not content:
            break
        at, length = dice.randrange(len(content)), dice.choice([1, 1, 2, 8, 64, 1000])
        kind = dice.randrange(7)
        if kind == 0:
            content[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            del content[at : at + length]
        elif kind == 2:
            content[at:at] = content[at : at + length]
        elif kind == 3:
            del content[at:]
        elif kind == 4:
            content[at : at + length] = bytes(dice.randrange(256) for _ in range(min(length, len(content) - at)))
        elif kind == 5:
            content[at:at] = dice.choice([b"9" * 40, b"-1", b"1e400", b"nan", b"\0", b'"', b"[", b"{", b"=", b"\xff\xfe", b"../", b"\x1b[2J", b"\n"])
        else:
            other = dice.randrange(len(content))
            content[at : at + length] = content[other : other + length]
    return bytes(content)


def experiments(folder: Path, arguments: argparse.Namespace, dice: random.Random) -> Tally:
    """Experiment files that are planned."""
    texts = [path.read_bytes() for path in sorted(Path("experiments").rglob("*.toml"))]

    def once(place: Path, number: int) -> List[str]:
        path = place / "experiments" / f"m{number}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(changed(dice.choice(texts), dice))
        return ["plan", str(path)]

    return many(folder / "experiments", arguments, 100 * arguments.rounds, once)


def tables(folder: Path, arguments: argparse.Namespace, dice: random.Random) -> Tally:
    """Tables of FER2013."""
    row = " ".join(str(it % 256) for it in range(48 * 48))
    text = "emotion,pixels,Usage\n" + "".join(f"{it % 7},{row},{('Training', 'PublicTest')[it % 2]}\n" for it in range(14))

    def once(place: Path, number: int) -> List[str]:
        (place / "fer.csv").write_bytes(changed(text.encode(), dice))
        return ["data", "audit", "--csv", "fer.csv", "--runs", str(place / f"runs-{number % 50}")]

    return many(folder / "tables", arguments, 30 * arguments.rounds, once)


def weights(folder: Path, arguments: argparse.Namespace, dice: random.Random) -> Tally:
    """Weight files, PyTorch's and safetensors."""
    files = [path for path in sorted(Path("tests/fixtures/weights").glob("*")) if path.is_file()]
    files += sorted((folder / "undisturbed/runs").glob("e/*/model.safetensors"))
    contents = {path.suffix: path.read_bytes() for path in files}

    def once(place: Path, number: int) -> List[str]:
        suffix = dice.choice(sorted(contents))
        (place / f"w{suffix}").write_bytes(changed(contents[suffix], dice))
        return ["weights", "inspect", f"w{suffix}", "--backbone", "mobilenet_v2"]

    undisturbed(folder, arguments.program)
    return many(folder / "weights", arguments, 30 * arguments.rounds, once)


def many(place: Path, arguments: argparse.Namespace, tries: int, once: Callable[[Path, int], List[str]]) -> Tally:
    """Commands about files that `once` writes."""
    place.mkdir(exist_ok=True)
    failures = []
    for number in range(tries):
        words = once(place, number)
        told = subprocess.run([str(arguments.program), *words], cwd=place, capture_output=True, timeout=PATIENCE, check=False)
        problem = wrong(told)
        if problem is None and b"\x1b[2J" in told.stdout + told.stderr:
            problem = "an escape sequence reached the terminal"
        if problem:
            failures.append(f"try {number}, `{' '.join(words)}`: {problem}")
    return Tally(tries, failures)


CAMPAIGNS: Dict[str, Callable[[Path, argparse.Namespace, random.Random], Tally]] = {
    it.__name__: it for it in (kills, faults, together, memory, disks, offsets, flips, experiments, tables, weights)
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="CAMPAIGN", action="append", choices=list(CAMPAIGNS), help=f"only this one; may be repeated: {', '.join(CAMPAIGNS)}")
    parser.add_argument("--rounds", type=int, default=20, help="how much of everything (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="of all random choices (default: 1)")
    parser.add_argument("--program", type=Path, default=PROGRAM, help="Ferrite (default: what `make build` builds)")
    arguments = parser.parse_args()
    arguments.program = arguments.program.resolve()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only or list(CAMPAIGNS):
            began = time.monotonic()
            tally = CAMPAIGNS[name](Path(folder), arguments, random.Random(f"{name} {arguments.seed}"))
            failed += len(tally.failures)
            print(f"{name:12} {tally.tries:6} tries, {len(tally.failures)} failures, {time.monotonic() - began:.0f} s", flush=True)
            for it in tally.failures[:10]:
                print(f"  {it}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
