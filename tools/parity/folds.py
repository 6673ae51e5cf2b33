"""Folds against scikit-learn's."""

from pathlib import Path
from typing import List, Tuple

import numpy
from exchange import Claim, Comparison, Task
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

FACES = {"source": {"synthetic": {"faces": 1003}}, "image_size": 48}


def groups(_: Path) -> Comparison:
    """Groups of random sizes and leanings, in the order in which both sides take them."""
    random = numpy.random.default_rng(23)
    cases = [case(random) for _ in range(300)]
    [output] = yield [Task({"group_folds": {"cases": [(counts.tolist(), folds) for counts, folds in cases]}}, {})]
    differing = [
        (output[f"folds {at}"].numpy() != by_scikit_learn(counts, folds)).sum() for at, (counts, folds) in enumerate(cases)
    ]
    dealt = sum(len(counts) for counts, _ in cases)
    return [Claim(f"groups of {dealt} in another fold than StratifiedGroupKFold's, {len(cases)} data sets", float(sum(differing)), 0.0)]


def case(random: numpy.random.Generator) -> Tuple[numpy.ndarray, int]:
    """Images of each class in each group: up to seven classes, so that both sides add in one order."""
    folds, classes = int(random.integers(2, 11)), int(random.integers(2, 8))
    count = int(random.integers(3 * folds, 60))
    leaning = random.dirichlet(numpy.full(classes, random.choice([0.3, 1.0, 10.0])), count)
    sizes = random.integers(1, int(random.choice([3, 20, 100])), count)
    counts = numpy.stack([random.multinomial(size, it) for size, it in zip(sizes, leaning)])
    # scikit-learn refuses a class that is rarer than there are folds.
    counts[:folds] += 1
    return counts, folds


def by_scikit_learn(counts: numpy.ndarray, folds: int) -> numpy.ndarray:
    labels = numpy.concatenate([numpy.repeat(numpy.arange(len(it)), it) for it in counts])
    of_images = numpy.repeat(numpy.arange(len(counts)), counts.sum(1))
    fold = numpy.empty(len(counts))
    for at, (_, tested) in enumerate(StratifiedGroupKFold(folds).split(labels, labels, of_images)):
        fold[of_images[tested]] = at
    return fold


def classes(_: Path) -> Comparison:
    """Drawn faces, whose classes are as uneven as those of FER2013."""
    counts = [2, 5, 10]
    data = [{**FACES, "split": {"folds": it}} for it in counts]
    outputs = yield [Task({"face_folds": {"data": it}}, {}) for it in data]
    claims: List[Claim] = []
    for folds, output in zip(counts, outputs):
        labels = numpy.sort(output["labels"].numpy().astype(int))
        tested = [it for _, it in StratifiedKFold(folds).split(labels, labels)]
        theirs = numpy.concatenate([numpy.bincount(labels[it], minlength=7) for it in tested])
        difference = numpy.abs(output["counts"].numpy() - theirs).max()
        claims.append(Claim(f"images of each class in each of {folds} folds, beside StratifiedKFold's", float(difference), 0.0))
    return claims


COMPARISONS = {"groups": groups, "classes": classes}
