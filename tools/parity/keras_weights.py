"""Keras's networks with the weights of Keras's own files: what Ferrite reads of each, and computes with it."""

from pathlib import Path
from typing import Dict, List, Tuple

import absl.logging
import numpy
import torch
from exchange import Claim, Comparison, Task, relative
from images import faces
from keras_models import Case, Maps, saved

# Keras warns of every file in the older format.
absl.logging.set_verbosity(absl.logging.ERROR)

IMAGES = 4
# Of a feature map's norm: with inputs of 0 to 255 the maps of VGG have numbers of any size.
LIMIT = 1e-4


# The study's sizes, and odd ones where a padding of both sides alike would do; Xception's least is 71.
CASES = [
    Case("vgg16", "VGG16", "caffe", [48, 71], ["plain.h5"]),
    Case("vgg19", "VGG19", "caffe", [48], ["weights.weights.h5"]),
    Case("resnet50", "ResNet50", "caffe", [48, 71, 96], ["sequential.keras"]),
    Case("mobilenet_v2", "MobileNetV2", "tf", [48, 71, 96], ["plain.keras", "plain.h5", "weights.weights.h5", "old.h5"]),
    Case("mobilenet_v2", "MobileNetV2", "tf", [48], ["sequential.h5", "functional.keras", "functional.weights.h5", "flat.h5", "flat.keras"]),
    Case("xception", "Xception", "tf", [71, 72, 96], ["flat.keras"]),
    Case("xception", "Xception", "tf", [71], ["plain.h5", "sequential.weights.h5"]),
]


def levels(size: int) -> torch.Tensor:
    return faces(IMAGES, size, seed=5, channels=3)


def images_of(cases: List[Case]) -> Dict[int, numpy.ndarray]:
    return {size: levels(size).numpy() for case in cases for size in case.sizes}


def files(folder: Path) -> Comparison:
    images = images_of(CASES)
    return (yield from compared("Keras", [(case, saved(case, images, folder)) for case in CASES]))


def compared(whose: str, all: List[Tuple[Case, Maps]], below: str = "") -> Comparison:
    """Holds what Ferrite makes of each file, in the folder `below`, against what Keras made of the same weights."""
    tasks, expected = [], []
    for case, theirs in all:
        for file in case.files:
            for size, maps in theirs.items():
                work = {"keras_file": {"weights": f"{below}{case.path(file)}", "backbone": case.backbone, "image_size": size}}
                tasks.append(Task(work, {"images": levels(size)}))
                expected.append((f"{whose}'s {case.application} out of {file}, {size} pixels", torch.from_numpy(maps).permute(0, 3, 1, 2)))
    outputs = yield tasks
    return [Claim(f"{what}, relative", relative(output["maps"], maps), LIMIT) for (what, maps), output in zip(expected, outputs)]


COMPARISONS = {"files": files}
