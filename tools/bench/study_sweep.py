"""The study's eleven experiments in one sweep of Ferrite's, and in a script for PyTorch: the seconds of either.

Each side is one process, timed from its start to its end on a subset of FER2013. Ferrite decodes, keeps features and
weights, evaluates and writes the report; PyTorch's side, see study.py, imports PyTorch, trains and tests. Both begin
with the same weights. Ferrite's runs lie in a temporary folder until the end: some gigabytes.

The sides take turns of some seconds, and while one works the other is stopped: so a machine that is slower for a while, since
others use it, is slower for both. What counts is the time in which a side was not stopped.
"""

import argparse
import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from csv import DictReader
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

import study
from networks import natural, save_weights
from safetensors import safe_open

FERRITE = Path("target/release/ferrite")
EXPERIMENTS = Path("experiments/fer2013/study")
TABLE = Path("data/fer2013.csv")
# As the study: what trains, what chooses epochs, what judges; of a hundred images.
SHARES = {"Training": 80, "PrivateTest": 10, "PublicTest": 10}
IMAGES, EPOCHS = 2000, 10
# Seconds of a turn of either side: about as they take in all, so that both end together.
TURNS = (6.0, 24.0)
# How published weights want pixels to be scaled where the file's header does not say so.
INPUTS = {"vgg16": "torchvision", "vgg19": "torchvision", "resnet50": "torchvision"}
OTHER_INPUT = "plus-minus-one"


class Ended(NamedTuple):
    """How an experiment ended on one side."""

    seconds: float
    epochs: int
    best_epoch: int
    valid_loss: float
    test_accuracy: float
    # How many parameters trained.
    trained: int


Side = Dict[str, Ended]


def measure(arguments: argparse.Namespace, figures: Dict) -> None:
    if not TABLE.exists():
        print(f"\nthe study's sweep is left out: it needs {TABLE}; README.md says under FER2013 where it is to be had")
        return
    # What looks for faces first is not repeated here: PyTorch has no such cascade.
    files = [it for it in EXPERIMENTS.glob("*.toml") if "[data.faces]" not in it.read_text()]
    names = sorted(it.stem for it in files)
    assert names == sorted(study.EXPERIMENTS), "study.py has other experiments than the study's folder"
    half = "bfloat16" in arguments.mode
    with tempfile.TemporaryDirectory() as folder:
        csv = Path(folder) / "faces.csv"
        write_subset(csv, arguments.study_images)
        weights = first_weights(Path(folder))
        print(f"\nstudy: {arguments.study_images} images, {arguments.study_epochs} epochs; first weights: {sources(weights)}", flush=True)
        job = {"csv": str(csv), "weights": weights, "epochs": arguments.study_epochs, "bfloat16": half}
        sides = [ferrite(Path(folder), job), pytorch(job)]
        take_turns(sides)
        (ours_s, pytorch_s), (ours, theirs) = [it.worked() for it in sides], [it.result() for it in sides]
    differ = [name for name in names if ours[name].trained != theirs[name].trained]
    assert not differ, f"both sides train other parameters: {', '.join(differ)}"
    show(ours, theirs)
    accuracy = difference([100 * (ours[it].test_accuracy - theirs[it].test_accuracy) for it in names])
    loss = difference([ours[it].valid_loss - theirs[it].valid_loss for it in names])
    print(f"difference of {len(names)}, mean ± standard error: validation loss {in_words(loss, 3)}, test accuracy {in_words(accuracy, 1)} points")
    precision = "bfloat16" if half else "float32"
    print(f"one sweep {ours_s:.1f} s, PyTorch's script with its imports {pytorch_s:.1f} s ({precision}): {pytorch_s / ours_s:.2f} times as fast")
    whole = (arguments.study_images, arguments.study_epochs) == (IMAGES, EPOCHS)
    figures["study_sweep" if whole else "study_sweep.reduced"] = {
        "ratio": pytorch_s / ours_s,
        "ours_s": ours_s,
        "pytorch_s": pytorch_s,
        "pytorch_precision": precision,
        "images": arguments.study_images,
        "epochs": arguments.study_epochs,
        "weights": sources(weights),
        "test_accuracy_difference": accuracy,
        "valid_loss_difference": loss,
        "experiments": {name: {"ours": ours[name]._asdict(), "pytorch": theirs[name]._asdict()} for name in names},
    }


# ---------------------------------------------------------------------------------------------------
# Data and weights


def write_subset(path: Path, count: int) -> None:
    """A table of `count` faces of any split, each class with its share of every new one."""
    with TABLE.open(newline="") as file:
        rows = [(int(it["emotion"]), it["pixels"]) for it in DictReader(file, skipinitialspace=True)]
    order = stratified([emotion for emotion, _ in rows])[:count]
    begin = 0
    with path.open("w") as file:
        file.write("emotion,pixels,Usage\n")
        for usage, share in SHARES.items():
            end = begin + count * share // 100
            for row in sorted(order[begin:end]):
                file.write(f"{rows[row][0]},{rows[row][1]},{usage}\n")
            begin = end


def stratified(labels: Sequence[int]) -> List[int]:
    """An order of all rows in which every stretch has the classes by their shares, as nearly as can be."""
    numbers = random.Random(0)
    places = []
    for label in sorted(set(labels)):
        rows = [row for row, it in enumerate(labels) if it == label]
        numbers.shuffle(rows)
        places += [((place + 0.5) / len(rows), row) for place, row in enumerate(rows)]
    return [row for _, row in sorted(places)]


def first_weights(folder: Path) -> Dict[str, Dict[str, str]]:
    """A file for each backbone, and how its network wants pixels to be scaled."""
    weights = {}
    for name in sorted({it.backbone for it in study.EXPERIMENTS.values()}):
        path = Path(f"data/{name}.safetensors").absolute()
        scaling = OTHER_INPUT
        if path.exists():
            with safe_open(path, "pt") as file:
                scaling = (file.metadata() or {}).get("input", INPUTS.get(name, OTHER_INPUT))
        else:
            path = folder / f"{name}.safetensors"
            save_weights(natural(name), path)
        weights[name] = {"path": str(path), "input": scaling}
    return weights


def sources(weights: Dict[str, Dict[str, str]]) -> str:
    data = Path("data").absolute()
    said = {name: f"data/{name}.safetensors" if Path(it["path"]).parent == data else "random" for name, it in weights.items()}
    return ", ".join(f"{name} {it}" for name, it in said.items())


# ---------------------------------------------------------------------------------------------------
# The two sides

EXPERIMENT = """extends = "{extends}"
[model]
weights = {{ file = {{ path = "{path}", input = "{input}" }} }}
"""


class Worker:
    """A process that works in turns."""

    def __init__(self, name: str, command: List[str], turn: float, result: Callable[["Worker"], Side]):
        self.name, self.command, self.turn = name, command, turn
        self.result = lambda: result(self)
        # When its turns began and ended, in seconds since 1970.
        self.turns: List[Tuple[float, float]] = []

    def start(self) -> None:
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        # What it says is little, and is read at the end. A session of its own, so that all it starts stops with it.
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
        os.killpg(self.process.pid, signal.SIGSTOP)

    def work(self) -> bool:
        """Works for a turn; whether it goes on."""
        began = time.time()
        os.killpg(self.process.pid, signal.SIGCONT)
        try:
            self.process.wait(self.turn)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGSTOP)
        self.turns.append((began, time.time()))
        code = self.process.returncode
        if code:
            raise RuntimeError(f"{self.name} ended with exit code {code}")
        return code is None

    def worked(self, since: float = 0.0, until: float = math.inf) -> float:
        """Seconds in which it was not stopped, between two times."""
        return sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in self.turns)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)


def take_turns(sides: List[Worker]) -> None:
    for it in sides:
        it.start()
    try:
        working = sides
        while working:
            working = [it for it in working if it.work()]
    finally:
        for it in sides:
            it.kill()


def ferrite(folder: Path, job: Dict) -> Worker:
    experiments, runs = folder / "study", folder / "runs"
    experiments.mkdir()
    for name, it in study.EXPERIMENTS.items():
        extends = (EXPERIMENTS / f"{name}.toml").resolve()
        (experiments / f"{name}.toml").write_text(EXPERIMENT.format(extends=extends, **job["weights"][it.backbone]))
    changed = [f"data.source.fer2013.csv={json.dumps(job['csv'])}", f"stages.train.epochs={job['epochs']}"]
    settings = [it for setting in changed for it in ("--set", setting)]
    command = [str(FERRITE.resolve()), "sweep", str(experiments), "--runs", str(runs), "--device", "cpu", "--quiet", *settings]
    return Worker("Ferrite", command, TURNS[0], lambda it: {log.parts[-3]: ended(log, it) for log in runs.glob("*/*/events.jsonl")})


def ended(events: Path, worker: Worker) -> Ended:
    """What a run's log says."""
    happened = [json.loads(line) for line in events.read_text().splitlines()]
    epochs = [it for it in happened if it["event"] == "epoch-ended"]
    of = {it["event"]: it for it in happened if it["event"] in ("run-started", "stage-started", "stage-ended", "run-ended")}
    began, end = (of[it]["at_ms"] / 1000 for it in ("run-started", "run-ended"))
    # That of the weights which go on; those kept by the validation accuracy have a name.
    [test] = [it for it in happened if it["event"] == "evaluated" and "weights" not in it]
    return Ended(
        seconds=worker.worked(began, end),
        epochs=len(epochs),
        best_epoch=of["stage-ended"]["kept_epoch"],
        valid_loss=min(it["valid"]["loss"] for it in epochs),
        test_accuracy=test["scores"]["accuracy"],
        trained=sum(it["parameters"] for it in of["stage-started"]["trainable"]),
    )


def pytorch(job: Dict) -> Worker:
    def result(worker: Worker) -> Side:
        lines = [json.loads(line) for line in worker.process.stdout.read().splitlines()]
        return {it.pop("name"): Ended(seconds=worker.worked(it.pop("began"), it.pop("ended")), **it) for it in lines}

    return Worker("PyTorch", [sys.executable, str(Path(study.__file__)), json.dumps(job)], TURNS[1], result)


# ---------------------------------------------------------------------------------------------------
# What came of it


def show(ours: Side, theirs: Side) -> None:
    print("Ferrite, then PyTorch. Ferrite's experiments run side by side, so their seconds overlap.")
    print(f"{'':24}{'seconds':>15}{'epochs, best':>17}{'validation loss':>17}{'test accuracy, %':>18}")
    for name in sorted(ours):
        a, b = ours[name], theirs[name]
        seconds = f"{a.seconds:7.1f}{b.seconds:8.1f}"
        epochs = f"{a.epochs:6},{a.best_epoch:3}{b.epochs:4},{b.best_epoch:3}"
        print(f"{name:24}{seconds}{epochs}{a.valid_loss:9.3f}{b.valid_loss:8.3f}{100 * a.test_accuracy:10.1f}{100 * b.test_accuracy:8.1f}")


def difference(values: Sequence[float]) -> Dict[str, float]:
    """Ferrite's minus PyTorch's."""
    return {"mean": statistics.mean(values), "standard_error": statistics.stdev(values) / math.sqrt(len(values))}


def in_words(it: Dict[str, float], digits: int) -> str:
    return f"{it['mean']:+.{digits}f} ± {it['standard_error']:.{digits}f}"
