"""Keras's networks with the weights of Keras's own files: what Ferrite reads of each, and computes with it."""

from pathlib import Path
from typing import Callable, Dict, List, NamedTuple

import absl.logging
import keras
import numpy
import torch
from exchange import Claim, Comparison, Task, relative
from images import CLASSES, faces

# Keras warns of every file in the older format.
absl.logging.set_verbosity(absl.logging.ERROR)

IMAGES = 4
# Of a feature map's norm: with inputs of 0 to 255 the maps of VGG have numbers of any size.
LIMIT = 1e-4


class Case(NamedTuple):
    backbone: str
    application: str
    # How Keras scales pixels for it.
    mode: str
    sizes: List[int]
    # The files that it is saved into, each by a way of its own.
    files: List[str]


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


def network(application: str, size: int) -> keras.Model:
    return getattr(keras.applications, application)(input_shape=(size, size, 3), include_top=False, weights=None)


def natural(case: Case) -> keras.Model:
    """A network in which every scale, shift and statistic is another, and its values stay about 1."""
    # Automatic names then count from another number than in a fresh session.
    keras.layers.Conv2D(1, 1), keras.layers.BatchNormalization()
    model = network(case.application, case.sizes[0])
    random = numpy.random.default_rng(3)
    norms = [it for it in model.layers if isinstance(it, keras.layers.BatchNormalization)]
    for layer in norms:
        # The last one of a ResNet's block is weak, as after training: with strong ones float32 is 1e-4 from float64.
        weak = layer.name.endswith("_3_bn")
        layer.gamma.assign(random.uniform(*((0.2, 0.6) if weak else (0.5, 1.5)), layer.gamma.shape))
        layer.beta.assign(random.normal(0, 0.2, layer.beta.shape))
        layer.momentum = 0.0
    for layer in model.layers:
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(random.normal(0, 0.1, layer.bias.shape))
    model(preprocessed(case, levels(case.sizes[0])), training=True)
    for layer in norms:
        layer.momentum = 0.99
    return model


def levels(size: int) -> torch.Tensor:
    return faces(IMAGES, size, seed=5, channels=3)


def preprocessed(case: Case, images: torch.Tensor) -> numpy.ndarray:
    return keras.applications.imagenet_utils.preprocess_input(images.numpy().astype("float32"), mode=case.mode)


def sequential(base: keras.Model) -> keras.Model:
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(8, "relu"), keras.layers.BatchNormalization(), keras.layers.Dense(CLASSES)]
    return keras.Sequential([keras.Input(base.input_shape[1:]), base, *head])


def functional(base: keras.Model) -> keras.Model:
    """A fine-tuned model as the guides write it: the base as one layer, some of it frozen."""
    for layer in base.layers[:-3]:
        layer.trainable = False
    inputs = keras.Input(base.input_shape[1:])
    x = keras.layers.RandomFlip()(inputs)
    x = keras.layers.Flatten()(base(x))
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(x))


def flat(base: keras.Model) -> keras.Model:
    """The base's layers and those of the head in one model, with an optimizer that remembers something."""
    x = keras.layers.Conv2D(16, 1, use_bias=False)(base.output)
    x = keras.layers.BatchNormalization()(x)
    model = keras.Model(base.input, keras.layers.Dense(CLASSES)(keras.layers.Flatten()(x)))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


WRAPPERS: Dict[str, Callable[[keras.Model], keras.Model]] = {
    "plain": lambda base: base,
    "weights": lambda base: base,
    "sequential": sequential,
    "functional": functional,
    "flat": flat,
}


def save(base: keras.Model, path: Path) -> None:
    kind = path.name.split("-")[-1].split(".")[0]
    if kind == "old":
        save_as_keras_1(base, path)
        return
    model = WRAPPERS[kind](base)
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)


def save_as_keras_1(base: keras.Model, path: Path) -> None:
    """As the first official files: all layers in their order, of which the names say nothing."""
    import h5py

    with h5py.File(path, "w") as file:
        names = [f"layer_{index}" for index in range(len(base.layers))]
        file.attrs["layer_names"] = [it.encode() for it in names]
        for name, layer in zip(names, base.layers):
            group = file.create_group(name)
            variables = [f"{name}_{index}:0" for index in range(len(layer.variables))]
            group.attrs["weight_names"] = [it.encode() for it in variables]
            for variable, value in zip(variables, layer.variables):
                group.create_dataset(variable, data=value.numpy() if hasattr(value, "numpy") else value, chunks=True, compression="gzip", shuffle=True)


def files(folder: Path) -> Comparison:
    tasks, expected = [], []
    for case in CASES:
        keras.backend.clear_session()
        base = natural(case)
        theirs = {size: features(case, base, size) for size in case.sizes}
        for file in case.files:
            path = folder / f"{case.backbone}-{file}"
            save(base, path)
            for size in case.sizes:
                work = {"keras_file": {"weights": path.name, "backbone": case.backbone, "image_size": size}}
                tasks.append(Task(work, {"images": levels(size)}))
                expected.append((f"Keras's {case.application} out of {file}, {size} pixels", theirs[size]))
    outputs = yield tasks
    return [Claim(f"{what}, relative", relative(output["maps"], maps), LIMIT) for (what, maps), output in zip(expected, outputs)]


def features(case: Case, base: keras.Model, size: int) -> torch.Tensor:
    model = network(case.application, size)
    model.set_weights(base.get_weights())
    maps = model(preprocessed(case, levels(size)), training=False)
    assert maps.std() > 1e-3 * maps.abs().max() > 0, "maps of one value would be equal by chance"
    return maps.detach().permute(0, 3, 1, 2)


COMPARISONS = {"files": files}
