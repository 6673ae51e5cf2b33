"""Claims, what Ferrite is asked, and how tensors differ."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, Generator, List, NamedTuple, Sequence

import numpy
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

COUNTERS = "num_batches_tracked"


class Claim(NamedTuple):
    what: str
    difference: float
    limit: float

    def holds(self) -> bool:
        return self.difference <= self.limit  # False for NaN, too


Tensors = Dict[str, Tensor]


class Task(NamedTuple):
    """What Ferrite is asked to compute, and from which tensors."""

    work: Dict[str, object]
    tensors: Tensors = {}


# A comparison hands out its tasks, gets Ferrite's results in the same order, and makes its claims.
Comparison = Generator[List[Task], List[Tensors], List[Claim]]
Start = Callable[[Path], Comparison]


def run_ferrite(folder: Path, program: Path, tasks: List[List[Task]]) -> List[List[Tensors]]:
    """Ferrite's results for all tasks, in one process."""
    names = [[f"case-{outer}-{inner}" for inner in range(len(group))] for outer, group in enumerate(tasks)]
    cases = []
    for name, task in zip(sum(names, []), sum(tasks, [])):
        tensors = task.tensors or {"none": torch.zeros(1)}
        save_file({key: value.clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}, folder / f"{name}.in.safetensors")
        cases.append({"name": name, "work": task.work})
    # As many threads on both sides: how sums are split among them decides how they are rounded.
    job = {"threads": torch.get_num_threads(), "cases": cases}
    (folder / "job.json").write_text(json.dumps(job, indent=1))
    print(f"Ferrite computes {len(cases)} cases", file=sys.stderr)
    done = subprocess.run([str(program), str(folder)], check=False)
    if done.returncode != 0:
        sys.exit(f"error: {program.name} ended with code {done.returncode}")
    return [[load_file(folder / f"{name}.out.safetensors") for name in group] for group in names]


def text_of(tensor: Tensor) -> str:
    return bytes(tensor.tolist()).decode()


def numbers(values: Sequence[float]) -> Tensor:
    return torch.from_numpy(numpy.asarray(values, dtype=numpy.float64))


# ---------------------------------------------------------------------------------------------------
# Differences


def absolute(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} is compared with {tuple(theirs.shape)}"
    return (ours.double() - theirs.double()).abs().max().item()


def relative(ours: Tensor, theirs: Tensor, least: float = 0.0) -> float:
    """Norm of the difference by the norm, which counts as `least` at least."""
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} is compared with {tuple(theirs.shape)}"
    norm = max(theirs.double().norm().item(), least)
    distance = (ours.double() - theirs.double()).norm().item()
    return distance / norm if norm > 0 else (0.0 if distance == 0 else math.inf)


def relative_values(ours: Tensor, theirs: Tensor) -> float:
    """The worst value's relative difference."""
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} is compared with {tuple(theirs.shape)}"
    return ((ours - theirs) / theirs).abs().max().item()


def of_prefix(tensors: Tensors, prefix: str) -> Tensors:
    return {name[len(prefix) :]: it for name, it in tensors.items() if name.startswith(prefix)}


def same_tensors(ours: Tensors, theirs: Tensors) -> float:
    """The largest absolute difference; infinite unless both sides have the same tensors."""
    theirs = {name: it for name, it in theirs.items() if not name.endswith(COUNTERS)}
    if ours.keys() != theirs.keys():
        return math.inf
    return max(absolute(ours[name], it) for name, it in theirs.items())
