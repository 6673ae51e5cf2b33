"""Keras's lists of layers, by which `trainable = { last = N }` counts."""

from pathlib import Path

import keras
from exchange import Claim, Comparison, Task, absolute, numbers, text_of
from networks import KERAS_NAMES

LAST = 6


def layers(_: Path) -> Comparison:
    outputs = yield [Task({"layers": {"backbone": name, "last": LAST}}) for name in KERAS_NAMES]
    claims = []
    for name, output in zip(KERAS_NAMES.values(), outputs):
        # Automatic names, such as `conv2d_1`, count from the session's beginning.
        keras.backend.clear_session()
        theirs = getattr(keras.applications, name)(include_top=False, weights=None).layers
        ours = text_of(output["names"]).split("\n")
        other = sum(a != b.name for a, b in zip(ours, theirs)) + abs(len(ours) - len(theirs))
        counts = numbers([trainable_parameters(it) for it in theirs])
        last = numbers([counts[-LAST:].sum()])
        claims.append(Claim(f"{name} in Keras: names of its {len(theirs)} layers that differ", other, 0))
        claims.append(Claim(f"{name} in Keras: trainable parameters of each layer", absolute(output["parameters"], counts), 0))
        claims.append(Claim(f"{name} in Keras: parameters of layers[-{LAST}:] ({int(last)})", absolute(output["last"], last), 0))
    return claims


def trainable_parameters(layer: keras.layers.Layer) -> int:
    return sum(weight.value.numel() for weight in layer.trainable_weights)


COMPARISONS = {"layers": layers}
