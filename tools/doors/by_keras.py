"""What a `.keras` file says of pictures, by Keras itself, as JSON; with `--weights`, weights that it draws itself.

    by_keras.py MODEL APPLICATION PICTURE...
    by_keras.py --weights FILE APPLICATION PICTURE...
"""

import json
import os
import sys
import zipfile
from typing import List

os.environ["KERAS_BACKEND"] = "torch"
import keras  # noqa: E402
import numpy  # noqa: E402
from PIL import Image  # noqa: E402


def application(name: str) -> keras.Model:
    return getattr(keras.applications, name)(input_shape=(96, 96, 3), include_top=False, weights=None)


def pixels(pictures: List[str], channels: int) -> numpy.ndarray:
    images = [numpy.asarray(Image.open(it).convert({1: "L", 3: "RGB"}[channels]), "float32") for it in pictures]
    return numpy.stack([it.reshape(*it.shape[:2], channels) for it in images])


def draw(file: str, name: str, pictures: List[str]) -> None:
    """Weights with statistics of these pictures: those of a fresh network fit none, and Keras's move by 1 % a step."""
    keras.utils.set_random_seed(1)
    model = application(name)
    mode = "caffe" if name.startswith(("VGG", "ResNet")) else "tf"
    seen = keras.ops.image.resize(pixels(pictures, 3), (96, 96))
    norms = [it for it in model.layers if isinstance(it, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
    model(keras.applications.imagenet_utils.preprocess_input(seen, mode=mode), training=True)
    model.save_weights(file)


def main() -> None:
    if sys.argv[1] == "--weights":
        return draw(sys.argv[2], sys.argv[3], sys.argv[4:])
    file, name, *pictures = sys.argv[1:]
    # Names that Keras counts are those of a fresh session.
    theirs = [(type(it).__name__, it.name, [tuple(v.shape) for v in it.variables]) for it in application(name).layers[1:]]
    model = keras.models.load_model(file)
    layers = [(type(it).__name__, it.name, [tuple(v.shape) for v in it.variables]) for it in model.layers]
    batch = pixels(pictures, model.input_shape[-1])
    first = next(at for at, layer in enumerate(layers) if layer[1] == theirs[0][1])
    same = layers[first : first + len(theirs)] == theirs
    # What is said of a picture depends on no other.
    numpy.testing.assert_allclose(model.predict(batch[:3], verbose=0), model.predict(batch, verbose=0)[:3], atol=1e-6)
    metadata = json.loads(zipfile.ZipFile(file).read("metadata.json"))
    told = model.predict(batch, verbose=0)
    print(json.dumps({"layers_are_keras_s": same, "metadata": metadata, "probabilities": told.tolist()}))


if __name__ == "__main__":
    main()
