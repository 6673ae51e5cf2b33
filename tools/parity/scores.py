"""Metrics against scikit-learn, statistics against SciPy."""

import math
from pathlib import Path
from typing import Dict, List, Sequence

import numpy
import scipy.stats
import torch
from exchange import Claim, Comparison, Task, Tensors, absolute, numbers, relative_values
from images import CLASSES
from sklearn import metrics
from sklearn.calibration import calibration_curve
from torch import Tensor


def classification(_: Path) -> Comparison:
    """Random predictions of seven classes, some right, in the situations in which a score divides by zero."""
    random = numpy.random.default_rng(7)
    situations = {
        "one class that nobody has or guesses, and one that is never guessed": (numpy.arange(6), [0, 1, 2, 3, 4, 4]),
        "classes that nobody has and some guess": (numpy.array([0, 2, 3, 5]), range(7)),
        "a single class": (numpy.array([4]), range(7)),
    }
    drawn = [predictions_of(random, occurring, numpy.array(named)) for occurring, named in situations.values()]
    outputs = yield [Task({"scores": {"classes": CLASSES}}, tensors) for tensors in drawn]
    return [claim for name, tensors, output in zip(situations, drawn, outputs) for claim in score_claims(name, tensors, output)]


def predictions_of(random: numpy.random.Generator, occurring: numpy.ndarray, named: numpy.ndarray) -> Tensors:
    truths = random.choice(occurring, 500)
    guesses = named[numpy.where(random.random(500) < 0.6, truths, random.integers(0, len(named), 500)).clip(max=len(named) - 1)]
    return {
        "truths": torch.from_numpy(truths).byte(),
        "guesses": torch.from_numpy(guesses).byte(),
        "probabilities": torch.from_numpy(coarse_probabilities(random, truths)),
    }


def score_claims(situation: str, tensors: Tensors, output: Tensors) -> List[Claim]:
    truths, guesses = tensors["truths"].numpy(), tensors["guesses"].numpy()
    probabilities = tensors["probabilities"].numpy()
    occurring = numpy.unique(truths)
    # A class without images has no F1 in Ferrite; scikit-learn's is 0 if it was guessed.
    of_classes = numpy.stack(
        metrics.precision_recall_fscore_support(truths, guesses, labels=range(CLASSES), zero_division=numpy.nan)[:3], axis=1
    )
    of_classes[numpy.setdiff1d(range(CLASSES), occurring), 2] = numpy.nan
    averaged = {"labels": occurring, "average": "macro", "zero_division": numpy.nan}
    # scikit-learn refuses truths that lack a class, so it gets the others one by one.
    areas = [metrics.roc_auc_score(truths == it, probabilities[:, it]) for it in occurring] if len(occurring) > 1 else [numpy.nan]
    expected = {
        "accuracy": [metrics.accuracy_score(truths, guesses)],
        "macro_f1": [metrics.f1_score(truths, guesses, **averaged)],
        "macro_precision_and_recall": [metrics.precision_score(truths, guesses, **averaged), metrics.recall_score(truths, guesses, **averaged)],
        "balanced_accuracy": [metrics.balanced_accuracy_score(truths, guesses)],
        "classes": of_classes.flatten(),
        "roc_auc": [numpy.mean(areas)],
        "confusion": metrics.confusion_matrix(truths, guesses, labels=range(CLASSES)).flatten(),
    }
    titles = {
        "macro_f1": "macro F1 of the classes that occur",
        "macro_precision_and_recall": "macro precision and recall of the classes that occur",
        "balanced_accuracy": "balanced accuracy",
        "classes": "precision, recall and F1 of each class",
        "confusion": "confusion matrix",
        "roc_auc": "ROC-AUC with ties, mean of the classes that occur,",
    }
    return [
        Claim(f"{titles.get(name, name)} against scikit-learn; {situation}", absolute_where_defined(output[name], numbers(it)), 1e-12)
        for name, it in expected.items()
    ]


def absolute_where_defined(ours: Tensor, theirs: Tensor) -> float:
    """The largest absolute difference; infinite unless the same values are undefined on both sides."""
    if not torch.equal(ours.isnan(), theirs.isnan()):
        return math.inf
    return absolute(ours.nan_to_num(), theirs.nan_to_num())


def areas(_: Path) -> Comparison:
    """Truths of all seven classes, and probabilities of which many are equal."""
    random = numpy.random.default_rng(13)
    truths = random.integers(0, CLASSES, 800)
    probabilities = coarse_probabilities(random, truths)
    guesses = probabilities.argmax(1)
    tensors = {"truths": torch.from_numpy(truths).byte(), "guesses": torch.from_numpy(guesses).byte(), "probabilities": torch.from_numpy(probabilities)}
    [output] = yield [Task({"scores": {"classes": CLASSES}}, tensors)]
    area = metrics.roc_auc_score(truths, probabilities, multi_class="ovr", average="macro")
    confidence, right = probabilities.max(1).astype(float), truths == guesses
    bins = numpy.minimum((confidence * 10).astype(int), 9)
    gap = sum(abs((confidence - right)[bins == it].sum()) for it in range(10)) / len(truths)
    return [
        Claim("macro ROC-AUC, one class against the rest, against scikit-learn", absolute(output["roc_auc"], numbers([area])), 1e-12),
        Claim("expected calibration error against a few lines of NumPy", absolute(output["calibration_error"], numbers([gap])), 1e-12),
    ]


def curves(_: Path) -> Comparison:
    """Probabilities of which many are equal, and others of which none are: the more that are equal, the fewer points a curve has."""
    random = numpy.random.default_rng(19)
    truths = random.integers(0, CLASSES - 1, 2000)
    fine = random.dirichlet(numpy.ones(CLASSES), 2000) + numpy.eye(CLASSES)[truths] * random.random((2000, 1))
    drawn = {"many equal": coarse_probabilities(random, truths), "none equal": (fine / fine.sum(1, keepdims=True)).astype(numpy.float32)}
    tensors = [given(truths, it) for it in drawn.values()]
    outputs = yield [Task({"curves": {"classes": CLASSES}}, it) for it in tensors]
    return [claim for name, it, output in zip(drawn, drawn.values(), outputs) for claim in curve_claims(name, truths, it, output)]


def given(truths: numpy.ndarray, probabilities: numpy.ndarray) -> Tensors:
    guesses = probabilities.argmax(1)
    return {"truths": torch.from_numpy(truths).byte(), "guesses": torch.from_numpy(guesses).byte(), "probabilities": torch.from_numpy(probabilities)}


def curve_claims(situation: str, truths: numpy.ndarray, probabilities: numpy.ndarray, output: Tensors) -> List[Claim]:
    """The last class has no images, hence no curves."""
    probabilities = probabilities.astype(float)
    differences = {"ROC curve's points and thresholds": 0.0, "area under the ROC curve": 0.0}
    differences |= {"precision-recall curve's points and thresholds": 0.0, "average precision": 0.0}
    for it in numpy.unique(truths):
        of_class, scores = truths == it, probabilities[:, it]
        rates = metrics.roc_curve(of_class, scores, drop_intermediate=False)
        found = [output[f"roc.{it}.{part}"] for part in ("x", "y", "thresholds")]
        worst(differences, "ROC curve's points and thresholds", found, rates)
        worst(differences, "area under the ROC curve", [output[f"roc.{it}.area"]], [[metrics.roc_auc_score(of_class, scores)]])
        precision, recall, thresholds = metrics.precision_recall_curve(of_class, scores)
        found = [output[f"precision_recall.{it}.{part}"] for part in ("x", "y", "thresholds")]
        worst(differences, "precision-recall curve's points and thresholds", found, (recall, precision, thresholds))
        area = metrics.average_precision_score(of_class, scores)
        worst(differences, "average precision", [output[f"precision_recall.{it}.area"]], [[area]])
    claims = [Claim(f"{name} against scikit-learn; {situation}", it, 1e-9) for name, it in differences.items()]
    moved = max(it.abs().item() for name, it in output.items() if name.endswith(".moved"))
    absent = sum(name.startswith((f"roc.{CLASSES - 1}.", f"precision_recall.{CLASSES - 1}.")) for name in output)
    return [
        *claims,
        Claim(f"area that a drawn curve has more or less; {situation}", moved, 1e-3),
        Claim(f"curves of a class without images; {situation}", absent, 0),
        *reliability_claims(situation, truths, probabilities, output),
    ]


def worst(differences: Dict[str, float], name: str, ours: List[Tensor], theirs: Sequence[Sequence[float]]) -> None:
    """Notes the largest difference so far; infinite values, as that of a curve's first threshold, must be the same."""
    for one, other in zip(ours, theirs):
        other = numbers(numpy.ascontiguousarray(other))
        same = one.shape == other.shape and torch.equal(one.isinf(), other.isinf())
        difference = absolute(one[~one.isinf()], other[~other.isinf()]) if same else math.inf
        differences[name] = max(differences[name], difference)


def reliability_claims(situation: str, truths: numpy.ndarray, probabilities: numpy.ndarray, output: Tensors) -> List[Claim]:
    confidence, right = probabilities.max(1), truths == probabilities.argmax(1)
    # scikit-learn leaves out bins without images, and its bins hold their upper edges.
    share, mean = calibration_curve(right, confidence, n_bins=10, strategy="uniform")
    on_edge = numpy.isin(confidence, numpy.linspace(0, 1, 11)[1:-1]).any()
    there = output["bins.images"] > 0
    counts = numpy.bincount(numpy.minimum((confidence * 10).astype(int), 9), minlength=10)
    error = numpy.abs(mean - share) @ counts[counts > 0] / len(truths)
    claims = [Claim(f"images in each bin of confidence against NumPy; {situation}", absolute(output["bins.images"], numbers(counts)), 0)]
    if not on_edge:
        claims += [
            Claim(f"reliability diagram's confidences against calibration_curve; {situation}", absolute(output["bins.confidence"][there], numbers(mean)), 1e-9),
            Claim(f"reliability diagram's accuracies against calibration_curve; {situation}", absolute(output["bins.accuracy"][there], numbers(share)), 1e-9),
            Claim(f"expected calibration error of these bins; {situation}", absolute(output["bins.error"], numbers([error])), 1e-9),
        ]
    return claims


def coarse_probabilities(random: numpy.random.Generator, truths: numpy.ndarray) -> numpy.ndarray:
    """A row for each image that favours its class, in 32nds: exact in binary, so that a sum of 1 is one."""
    rows = numpy.stack([random.multinomial(32, numpy.where(numpy.arange(CLASSES) == it, 0.28, 0.12)) for it in truths])
    return (rows / 32).astype(numpy.float32)


COUNTS = [(0, 0, 50), (3, 0, 50), (7, 7, 100), (12, 5, 100), (40, 61, 700), (120, 80, 1000), (300, 231, 3589), (900, 0, 3589)]
RESAMPLES = 9999


def verdicts(_: Path) -> Comparison:
    random = numpy.random.default_rng(14)
    lists = [random.beta(0.3, 2, size).tolist() for size in (1, 2, 5, 17, 40)] + [[0.01, 0.01, 0.2, 0.01]]
    counts = [{"gained": gained, "lost": lost, "images": images} for gained, lost, images in COUNTS]
    [output] = yield [Task({"statistics": {"counts": counts, "p": lists}})]
    tests = [scipy.stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0 for gained, lost, _ in COUNTS]
    intervals = [scipy.stats.binomtest(gained, images).proportion_ci(method="wilson") for gained, _, images in COUNTS]
    wilson = [edge for it in intervals for edge in it]
    adjusted = [value for it in lists for value in holm(it)]
    return [
        Claim("McNemar's exact test against scipy.stats.binomtest, relative", relative_values(output["mcnemar"], numbers(tests)), 1e-9),
        Claim("Wilson's interval against scipy.stats.binomtest", absolute(output["wilson"], numbers(wilson)), 1e-12),
        Claim("Holm's adjustment against a few lines of NumPy", absolute(output["holm"], numbers(adjusted)), 1e-12),
        *bootstrap_claims(output["bootstrap"].numpy().reshape(-1, 2)),
    ]


def holm(p: List[float]) -> numpy.ndarray:
    order = numpy.argsort(p, kind="stable")
    steps = numpy.maximum.accumulate(numpy.array(p)[order] * numpy.arange(len(p), 0, -1)).clip(max=1.0)
    return steps[numpy.argsort(order, kind="stable")]


def bootstrap_claims(ours: numpy.ndarray) -> List[Claim]:
    """SciPy draws resamples, Ferrite computes their distribution: they differ by SciPy's sampling error.

    A quantile at 2.5 % of 9999 draws has a standard error of 0.027 of their standard deviation; four of these, and
    one step between two possible values, are allowed.
    """
    claims = []
    for (gained, lost, images), interval in zip(COUNTS, ours):
        if not 30 < gained + lost < images:
            continue
        gains = numpy.repeat([1, -1, 0], [gained, lost, images - gained - lost])
        theirs = scipy.stats.bootstrap(
            (gains,), numpy.mean, n_resamples=RESAMPLES, method="percentile", vectorized=True, batch=500, rng=numpy.random.default_rng(15)
        )
        deviation = theirs.bootstrap_distribution.std()
        difference = numpy.abs(interval - numpy.array(theirs.confidence_interval)).max() / deviation
        what = f"bootstrap interval, {gained} gained and {lost} lost of {images}, against SciPy's, in its deviations"
        claims.append(Claim(what, difference, 4 * 0.027 + 1 / images / deviation))
    return claims


COMPARISONS = {"classification": classification, "areas": areas, "curves": curves, "verdicts": verdicts}
