"""Files that Keras 2 wrote, by `tf_keras` in an environment of its own: what Ferrite reads of each, and computes with it."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy
from exchange import Comparison
from keras_models import Case
from keras_weights import compared, images_of

# Behind all others: names of modules there are names of modules here, too.
sys.path.append(str(Path(__file__).parents[1]))

from pinned import environment

FOLDER = Path(".keras-2")
# Only for x86-64 there is a TensorFlow without what GPUs need.
TENSORFLOW = "tensorflow-cpu" if platform.machine() == "x86_64" else "tensorflow"
PACKAGES = [f"{TENSORFLOW}==2.21.0", "tf-keras==2.21.0"]

# Whole models and weights alone in the format of Keras 2, and both in that of Keras 3, which late versions of Keras 2 write too.
CASES = [
    Case("vgg16", "VGG16", "caffe", [48], ["plain.h5", "sequential_weights.h5"]),
    Case("vgg19", "VGG19", "caffe", [48], ["plain_weights.h5"]),
    Case("resnet50", "ResNet50", "caffe", [48, 71], ["plain.h5"]),
    Case("resnet50", "ResNet50", "caffe", [48], ["functional_weights.h5", "sequential.keras", "flat.weights.h5"]),
    Case("mobilenet_v2", "MobileNetV2", "tf", [48, 71], ["plain_weights.h5"]),
    Case("mobilenet_v2", "MobileNetV2", "tf", [48], ["functional.h5", "sequential.h5", "flat.h5", "flat.keras", "plain.weights.h5"]),
    Case("xception", "Xception", "tf", [71, 72], ["flat.h5"]),
    Case("xception", "Xception", "tf", [71], ["sequential_weights.h5", "functional.weights.h5", "plain.keras"]),
]


def files(folder: Path) -> Comparison:
    # Files of this comparison have names that others have as well.
    folder = folder / "keras-2"
    folder.mkdir()
    for size, images in images_of(CASES).items():
        numpy.save(folder / f"levels-{size}.npy", images)
    (folder / "cases.json").write_text(json.dumps([it._asdict() for it in CASES]))
    program = Path(__file__).with_name("keras_models.py")
    python = environment(FOLDER, "ferrite-keras-2.txt", PACKAGES)
    subprocess.run([python, program, folder], check=True, stdout=subprocess.DEVNULL)
    theirs = [{size: numpy.load(folder / f"maps-{index}-{size}.npy") for size in case.sizes} for index, case in enumerate(CASES)]
    return (yield from compared("Keras 2", list(zip(CASES, theirs)), "keras-2/"))


COMPARISONS = {"files": files}
