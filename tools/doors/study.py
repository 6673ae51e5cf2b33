"""A small sweep, and what its runs say, read without Ferrite."""

import csv
import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

# Two configurations with two seeds each; two stages, so that epochs are counted over both.
EXPERIMENT = """about = "Whether the rate matters."
tags = ["small"]
seeds = [0, 1]
[data]
source = { synthetic = { faces = 120 } }
image_size = 32
[augment]
flip = 0.5
[model.head]
dropout = 0.3
[[stages]]
name = "head"
epochs = EPOCHS
batch_size = 16
optimizer = { adam = { lr = 1e-3, weight_decay = 1e-4 } }
[[stages]]
name = "top"
trainable = "features.18"
epochs = 2
batch_size = 16
[grid]
"stages.head.optimizer.adam.lr" = [1e-3, 1e-4]
"""
RUNS = 4
# Nothing here takes longer on two busy cores.
PATIENCE = 280


class Wrong(Exception):
    """What is not as it should be."""


def same(what: str, found, expected) -> int:
    """Counts one value that is as expected."""
    if found != expected and not (found != found and expected != expected):
        a, b = str(found), str(expected)
        # From shortly before the first difference on.
        at = max(0, next((at for at, pair in enumerate(zip(a, b)) if pair[0] != pair[1]), 0) - 60)
        raise Wrong(f"{what} is {a[at:at + 300]!r} instead of {b[at:at + 300]!r}")
    return 1


def wait_until(what: str, holds: Callable[[], object]):
    since = time.monotonic()
    while True:
        it = holds()
        if it:
            return it
        if time.monotonic() - since > PATIENCE:
            raise Wrong(f"it never happened: {what}")
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


class Point(NamedTuple):
    step: int
    seconds: float
    value: float


class Place:
    """A folder with an experiment, in which Ferrite works."""

    def __init__(self, root: Path, program: Path, epochs: int = 3):
        self.root, self.program = root, program
        self.environment = {**os.environ, "FERRITE_CACHE": str(root / "cache")}
        (root / "experiments").mkdir(parents=True, exist_ok=True)
        (root / "experiments/rates.toml").write_text(EXPERIMENT.replace("EPOCHS", str(epochs)))

    def start(self, *words: str, **environment: str) -> subprocess.Popen:
        return subprocess.Popen(
            [str(self.program), *words],
            cwd=self.root,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int = 0, **environment: str) -> str:
        """What the command says on both channels."""
        return self.end(self.start(*words, **environment), code)

    def end(self, started: subprocess.Popen, code: int = 0) -> str:
        out, err = started.communicate(timeout=PATIENCE)
        if started.returncode != code:
            raise Wrong(f"`{' '.join(started.args[1:])}` ended with {started.returncode} instead of {code}: {out}{err}")
        return out + err

    def sweep(self) -> None:
        self.run("sweep", "--threads", "1", "--quiet")

    def runs(self) -> "List[Run]":
        found = [Run(it.parent, self.root / "runs") for it in sorted((self.root / "runs").glob("*/*/trial.toml"))]
        same("the number of runs", len(found), RUNS)
        return found


class Run:
    """A finished run as its files tell it."""

    def __init__(self, folder: Path, runs: Path):
        self.folder, self.name = folder, str(folder.relative_to(runs))
        self.events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
        with open(folder / "predictions.csv", newline="") as file:
            rows = list(csv.reader(file))
        self.classes = rows[0][3:]
        self.truth = [self.classes.index(row[1]) for row in rows[1:]]
        self.probabilities = [[float(it) for it in row[3:]] for row in rows[1:]]

    def all(self, kind: str) -> Iterator[dict]:
        return (it for it in self.events if it["event"] == kind)

    def last_seconds(self) -> float:
        return self.events[-1]["at_ms"] / 1000

    def began_ms(self) -> int:
        return self.events[0]["at_ms"]

    def epochs(self) -> List[Tuple[dict, dict]]:
        """Each epoch with the event that began its stage."""
        stages = {it["stage"]: it for it in self.all("stage-started")}
        return [(it, stages[it["stage"]]) for it in self.all("epoch-ended")]

    def scalars(self) -> Dict[str, List[Point]]:
        """Every number by epoch, and the scores of the test."""
        found: Dict[str, List[Point]] = {}
        order = list(dict.fromkeys(stage["stage"] for _, stage in self.epochs()))
        number = lambda it: float(it)  # "nan" and "inf" are words in the log
        for step, (epoch, stage) in enumerate(self.epochs(), start=1):
            told = {
                "loss/train": epoch["train"]["loss"],
                "loss/valid": epoch["valid"]["loss"],
                "accuracy/train": epoch["train"]["accuracy"],
                "accuracy/valid": epoch["valid"]["accuracy"],
                "learning_rate": epoch["lr"],
                "stage": order.index(epoch["stage"]) + 1,
                "seconds": epoch["seconds"],
                "images_per_second": epoch["images_per_second"],
                "gradient_norm/all": epoch["gradient"]["norm"],
            }
            for group, norm in zip(stage["groups"], epoch["gradient"]["groups"]):
                told[f"gradient_norm/{group}"] = norm
            acts = epoch.get("acts", {})
            if "norm" in acts:
                told["weight_norm/before"], told["weight_norm/after"] = acts["norm"]["before"], acts["norm"]["after"]
            if "dropped" in acts:
                told["dropout/share"] = acts["dropped"]
            unknown = set(acts) - {"norm", "dropped"}
            same("what this check does not know of", unknown, set())
            for name, value in told.items():
                found.setdefault(name, []).append(Point(step, epoch["at_ms"] / 1000, number(value)))
        (test,) = self.all("evaluated")
        steps = len(self.epochs())
        for name, value in [*self.scores().items(), ("loss", test["scores"]["loss"])]:
            found[f"evaluation/{name}"] = [Point(steps, test["at_ms"] / 1000, number(value))]
        return found

    def scores(self) -> Dict[str, float]:
        """What scikit-learn makes of the predictions."""
        from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

        said = [max(range(len(row)), key=row.__getitem__) for row in self.probabilities]
        return {
            "accuracy": accuracy_score(self.truth, said),
            "balanced_accuracy": balanced_accuracy_score(self.truth, said),
        }

    def settings(self) -> Dict[str, object]:
        """The settings by dotted key, items of a list by their `name`, without names and seeds."""
        import tomllib

        flat: Dict[str, object] = {}

        def walk(key: str, value: object) -> None:
            if isinstance(value, dict) and value:
                for name, inner in value.items():
                    walk(f"{key}.{name}", inner)
            elif isinstance(value, list) and value and all(isinstance(it, dict) and "name" in it for it in value):
                flat[key] = ", ".join(it["name"] for it in value)
                for it in value:
                    for name, inner in it.items():
                        if name != "name":
                            walk(f"{key}.{it['name']}.{name}", inner)
            else:
                flat[key] = value

        table = tomllib.loads((self.folder / "trial.toml").read_text())
        for key, value in table.items():
            if key not in ("about", "tags", "seeds", "extends", "grid", "search"):
                walk(key, value)
        return flat

    def pictures(self) -> Dict[str, bytes]:
        return {f"plots/{it.stem}": it.read_bytes() for it in sorted((self.folder / "plots").glob("*.png"))}

    def seed(self) -> Optional[str]:
        return next((it.split("-")[1] for it in self.folder.name.replace("=", "-").split("_") if it.startswith("seed")), None)
