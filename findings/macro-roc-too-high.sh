#!/usr/bin/env bash
# A macro-average ROC curve that is interpolated at every false positive rate of its classes encloses more than their mean AUC.
#
# Versions: scikit-learn 1.9.1, NumPy 2.3.5, Python 3.11.
#
# The recipe is copied everywhere: gather the false positive rates of all classes with numpy.unique, interpolate each class's curve
# there with numpy.interp, take the mean, and integrate it. A ROC curve rises upright wherever a rate occurs twice, and numpy.interp
# gives one value there, the highest. So the mean rises aslant to where it should first run level, and its area is too high: by
# 0.025 with twelve images, by less than 0.001 with a thousand. It matters for rare classes, and no warning is given. The mean of
# roc_auc_score over the classes is right, and so is a curve that is interpolated on an even grid of many rates.
#
# Seen on 2026-11-28: images, mean of the classes' AUC, area of the curve at the union of rates, area on an even grid of 10,001
#     12: 0.9506  0.9753  0.9506
#     60: 0.9697  0.9735  0.9697
#   1000: 0.9590  0.9593  0.9590
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.3.5
cat > areas.py <<'PYTHON'
import numpy as np
from sklearn.metrics import auc, roc_auc_score, roc_curve

CLASSES = 3
random = np.random.default_rng(0)


def areas(images):
    """The mean AUC, and the area of the mean curve at the union of rates and on an even grid."""
    truth = random.integers(0, CLASSES, images)
    score = random.dirichlet(np.ones(CLASSES), images)
    score[np.arange(images), truth] += 0.6
    curves = [roc_curve(truth == it, score[:, it])[:2] for it in range(CLASSES)]
    mean = np.mean([roc_auc_score(truth == it, score[:, it]) for it in range(CLASSES)])

    def area(rates):
        return auc(rates, np.mean([np.interp(rates, *it) for it in curves], axis=0))

    return mean, area(np.unique(np.concatenate([it[0] for it in curves]))), area(np.linspace(0, 1, 10_001))


for images, least in ((12, 0.01), (60, 0.002), (1000, 0.0001)):
    mean, union, even = areas(images)
    print(f"{images} images: mean AUC {mean:.4f}, at the union of rates {union:.4f}, on an even grid {even:.4f}")
    assert union - mean > least, "the curve at the union of rates no longer encloses too much"
    assert abs(even - mean) < 1e-3, "the curve on an even grid is no longer right"
PYTHON
python/bin/python areas.py
