#!/usr/bin/env bash
# Keras's RandomErasing(1.0) erases a part of every second image, although its documentation says of every one.
#
# Versions: Keras 3.15.1 on JAX 0.8.1 (and on PyTorch 2.9.1, seen by hand), Python 3.11.
#
# `factor` reads like a probability, and the docstring says "`factor=1.0` means erasing is always applied". But a single number is
# the upper end of a range: the probability itself is drawn between 0 and it for each image, so on average half as many
# images are changed as the number says, and half as many as torchvision's RandomErasing(p) or timm's reprob change with the same
# number. Only a pair of equal numbers is the probability that one means.
#
# Seen on 2026-11-28: factor, share of 4,000 images that were changed
#   1.0: 0.48    (1.0, 1.0): 1.00
#   0.5: 0.24    (0.5, 0.5): 0.49
#   0.25: 0.12   (0.25, 0.25): 0.24
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check keras==3.15.1 jax==0.8.1
cat > erased.py <<'PYTHON'
import numpy as np
from keras import layers, ops

IMAGES = 4000
gray = np.full((IMAGES, 32, 32, 3), 100.0, "float32")


def share(factor):
    """The share of images in which anything is erased."""
    layer = layers.RandomErasing(factor=factor, scale=(0.1, 0.2), fill_value=0.0, seed=1)
    there = ops.convert_to_numpy(layer(gray, training=True))
    return float((np.abs(there - gray).reshape(IMAGES, -1).max(axis=1) > 0).mean())


for meant in (1.0, 0.5, 0.25):
    single, pair = share(meant), share((meant, meant))
    print(f"factor {meant}: {single:.2f} of the images; ({meant}, {meant}): {pair:.2f}")
    # Five standard deviations of a share of so many images.
    close = 5 * (0.25 / IMAGES) ** 0.5
    assert abs(single - meant / 2) < close, "a single number is no longer the upper end of a range"
    assert abs(pair - meant) < close, "a pair of equal numbers is no longer the probability"
PYTHON
KERAS_BACKEND=jax python/bin/python erased.py
