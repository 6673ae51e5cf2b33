"""Keras's networks with weights in which every number counts, and the files that Keras saves them in.

`keras_weights` uses it with Keras 3. With Keras 2 it is a program of its own, `keras_models.py FOLDER`, for an environment with
`tf_keras`: it reads cases and images there, saves the files beside them, and what the networks say of the images.
"""

import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple

import numpy

if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tf_keras as keras

    # Keras warns of every file in the older format.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", UserWarning)
else:
    import keras

CLASSES = 7


class Case(NamedTuple):
    backbone: str
    application: str
    # How Keras scales pixels for it.
    mode: str
    sizes: List[int]
    # The files that it is saved into, each by a way of its own.
    files: List[str]

    def path(self, file: str) -> str:
        return f"{self.backbone}-{file}"



# Feature maps of a network for images of a size, [batch, height, width, channels].
Maps = Dict[int, numpy.ndarray]

def network(application: str, size: int) -> keras.Model:
    return getattr(keras.applications, application)(input_shape=(size, size, 3), include_top=False, weights=None)


def natural(case: Case, images: numpy.ndarray) -> keras.Model:
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
    model(preprocessed(case, images), training=True)
    for layer in norms:
        layer.momentum = 0.99
    return model


def preprocessed(case: Case, images: numpy.ndarray) -> numpy.ndarray:
    return keras.applications.imagenet_utils.preprocess_input(images.astype("float32"), mode=case.mode)


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
    """As the name says: the model around the base, `_weights` for weights alone in the older format, and the format."""
    kind = path.name.split("-")[-1].split(".")[0]
    is_weights = kind.endswith("_weights") or path.name.endswith(".weights.h5")
    kind = kind.split("_weights")[0]
    if kind == "old":
        save_as_keras_1(base, path)
        return
    model = WRAPPERS[kind](base)
    if is_weights:
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


def saved(case: Case, images: Dict[int, numpy.ndarray], folder: Path) -> Maps:
    """Saves a network in all files of `case`, and gives what it makes of the images."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    base = natural(case, images[case.sizes[0]])
    for file in case.files:
        save(base, folder / case.path(file))
    return {size: features(case, base, images[size]) for size in case.sizes}


def features(case: Case, base: keras.Model, images: numpy.ndarray) -> numpy.ndarray:
    model = network(case.application, images.shape[1])
    model.set_weights(base.get_weights())
    maps = model.predict(preprocessed(case, images), verbose=0)
    assert maps.std() > 1e-3 * numpy.abs(maps).max() > 0, "maps of one value would be equal by chance"
    return maps


def main() -> None:
    folder = Path(sys.argv[1])
    cases = [Case(**it) for it in json.loads((folder / "cases.json").read_text())]
    images = {size: numpy.load(folder / f"levels-{size}.npy") for case in cases for size in case.sizes}
    for index, case in enumerate(cases):
        for size, maps in saved(case, images, folder).items():
            numpy.save(folder / f"maps-{index}-{size}.npy", maps)
    print(keras.__version__)


if __name__ == "__main__":
    main()
