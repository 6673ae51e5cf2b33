"""Show that Ferrite computes what PyTorch and others compute: `make parity`.

Every line is one claim: the largest difference that was measured, the largest that is allowed, and what was
compared. `crates/engine/examples/parity` is Ferrite's side and knows no expected value; PyTorch, torchvision, timm, Keras, SciPy,
scikit-learn, OpenCV, pandas, DuckDB and a few lines of plain arithmetic are the other side, here. Both get the same images and the same
weights: randomly initialised networks, so nothing is downloaded. All of it runs on the CPU, and in 32-bit floats
unless the line says otherwise.

A difference of a tensor is relative where the line says so: the norm of the difference by the norm. The exit
code is 1 if a claim fails.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List

# Keras computes with PyTorch, which is here anyway.
os.environ["KERAS_BACKEND"] = "torch"

import attribution
import augmentation
import backbones
import bfloat16
import data_out
import faces
import folds
import keras_2
import keras_layers
import keras_weights
import losses
import network
import optimizers
import pictures
import scores
import stopping
from exchange import Claim, Comparison, Start, run_ferrite

MODULES = [network, backbones, attribution, bfloat16, keras_layers, keras_weights, keras_2, optimizers, losses, stopping, augmentation, pictures, faces, scores, folds, data_out]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=Path("target/debug/examples/parity"), help="Ferrite's side")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the exchanged files in this folder")
    parser.add_argument("--only", metavar="NAME", action="append", help="only the comparisons with this in their name; may be repeated")
    parser.add_argument("--list", action="store_true", help="list the comparisons")
    arguments = parser.parse_args()
    comparisons = {name: it for name, it in every_comparison().items() if chosen(name, arguments.only)}
    if not comparisons:
        parser.error("no comparison has this in its name; --list lists them")
    if arguments.list:
        print("\n".join(comparisons))
        return 0
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        failed = compare(folder, arguments.program.resolve(), list(comparisons.values()))
    print(f"in {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


def every_comparison() -> Dict[str, Start]:
    """All comparisons by name: module and function, such as `network.inference`."""
    return {f"{module.__name__}.{name}": start for module in MODULES for name, start in module.COMPARISONS.items()}


def chosen(name: str, only: List[str]) -> bool:
    return not only or any(it in name for it in only)


def compare(folder: Path, program: Path, starts: List[Start]) -> int:
    """Runs the comparisons and prints their claims; how many failed."""
    comparisons = [start(folder) for start in starts]
    tasks = [next(comparison) for comparison in comparisons]
    results = run_ferrite(folder, program, tasks)
    print("difference      limit")
    claims = []
    for comparison, outputs in zip(comparisons, results):
        for claim in conclude(comparison, outputs):
            verdict = "ok    " if claim.holds() else "FAILED"
            print(f"{claim.difference:10.1e} {claim.limit:10.1e}  {verdict}  {claim.what}")
            claims.append(claim)
    failed = sum(not claim.holds() for claim in claims)
    print(f"parity: {len(claims) - failed} passed, {failed} failed")
    return failed


def conclude(comparison: Comparison, outputs: List) -> List[Claim]:
    try:
        comparison.send(outputs)
    except StopIteration as end:
        return end.value
    raise AssertionError("a comparison asks Ferrite once")


if __name__ == "__main__":
    sys.exit(main())
