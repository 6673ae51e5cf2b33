"""Keras's lists of layers, by which `trainable = { last = N }` counts, and its defaults, which the manual names."""

import inspect
import json
import re
from pathlib import Path
from typing import Dict

import keras
from exchange import Claim, Comparison, Task, absolute, numbers, text_of
from networks import KERAS_NAMES

LAST = 6
MANUAL = Path(__file__).resolve().parents[2] / "docs/config.md"
# What stands there between Ferrite's default and Keras's.
KERAS = "; Keras "

# What settings are called in Keras: whose argument they are, and its name.
ARGUMENTS = {
    "data.image_size": (keras.utils.image_dataset_from_directory, "image_size"),
    "model.weights": (keras.applications.VGG16, "weights"),
    "stages.epochs": (keras.Model.fit, "epochs"),
    "stages.batch_size": (keras.utils.image_dataset_from_directory, "batch_size"),
    "stages.optimizer": (keras.Model.compile, "optimizer"),
    "stages.optimizer.adam.lr": (keras.optimizers.Adam, "learning_rate"),
    "stages.optimizer.adam.eps": (keras.optimizers.Adam, "epsilon"),
    "stages.optimizer.adamw.lr": (keras.optimizers.AdamW, "learning_rate"),
    "stages.optimizer.adamw.eps": (keras.optimizers.AdamW, "epsilon"),
    "stages.optimizer.adamw.weight_decay": (keras.optimizers.AdamW, "weight_decay"),
    "stages.optimizer.sgd.lr": (keras.optimizers.SGD, "learning_rate"),
    "stages.optimizer.sgd.momentum": (keras.optimizers.SGD, "momentum"),
    "stages.optimizer.sgd.nesterov": (keras.optimizers.SGD, "nesterov"),
    "stages.optimizer.rmsprop.lr": (keras.optimizers.RMSprop, "learning_rate"),
    "stages.optimizer.rmsprop.alpha": (keras.optimizers.RMSprop, "rho"),
    "stages.optimizer.rmsprop.eps": (keras.optimizers.RMSprop, "epsilon"),
    "stages.optimizer.rmsprop.momentum": (keras.optimizers.RMSprop, "momentum"),
    "stages.optimizer.rmsprop.centered": (keras.optimizers.RMSprop, "centered"),
    "stages.schedule.plateau.factor": (keras.callbacks.ReduceLROnPlateau, "factor"),
    "stages.schedule.plateau.patience": (keras.callbacks.ReduceLROnPlateau, "patience"),
    "stages.schedule.plateau.min_delta": (keras.callbacks.ReduceLROnPlateau, "min_delta"),
    "stages.schedule.plateau.cooldown": (keras.callbacks.ReduceLROnPlateau, "cooldown"),
    "stages.schedule.plateau.min_lr": (keras.callbacks.ReduceLROnPlateau, "min_lr"),
    "stages.early_stopping.mode": (keras.callbacks.EarlyStopping, "mode"),
    "stages.early_stopping.patience": (keras.callbacks.EarlyStopping, "patience"),
    "stages.early_stopping.min_delta": (keras.callbacks.EarlyStopping, "min_delta"),
    "stages.early_stopping.start_from_epoch": (keras.callbacks.EarlyStopping, "start_from_epoch"),
    "stages.early_stopping.restore_best": (keras.callbacks.EarlyStopping, "restore_best_weights"),
    "stages.loss.label_smoothing": (keras.losses.CategoricalCrossentropy, "label_smoothing"),
}


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


def defaults(_: Path) -> Comparison:
    yield []
    cells = defaults_of_manual()
    claims = []
    for setting, (owner, argument) in ARGUMENTS.items():
        theirs = inspect.signature(owner).parameters[argument].default
        # Ferrite's images are square.
        theirs = theirs[0] if isinstance(theirs, tuple) else theirs
        other = int(keras_default(cells[setting]) != theirs)
        claims.append(Claim(f"{setting}: the manual says another default of {argument} than Keras has ({theirs})", other, 0))
    unknown = [key for key, cell in cells.items() if KERAS in cell and key not in ARGUMENTS]
    claims.append(Claim(f"defaults of Keras in the manual that are compared with none {unknown}", len(unknown), 0))
    return claims


def defaults_of_manual() -> Dict[str, str]:
    """What stands in the column of defaults, by the dotted key of the setting."""
    cells, place = {}, ""
    for line in MANUAL.read_text().splitlines():
        heading = re.match(r"#+ `(.*)`$", line)
        if heading:
            place = heading[1].replace(".<name>", "")
        row = re.match(r"\| `(\w+)` \| [^|]* \| ([^|]*) \|", line)
        if row and place:
            cells[f"{place}.{row[1]}"] = row[2]
    return cells


def keras_default(cell: str) -> object:
    """The default in Keras: the one that is named, or else Ferrite's own."""
    return json.loads(cell.split(KERAS)[-1].strip("`"))


COMPARISONS = {"layers": layers, "defaults": defaults}
