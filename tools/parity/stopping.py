"""Early stopping, the plateau schedule and Gaussian noise against Keras's own callbacks and layer."""

import math
from pathlib import Path
from typing import Dict, List, Tuple

import keras
import numpy
import torch
from exchange import Claim, Comparison, Task, absolute, numbers, relative_values
from images import SCALINGS, faces, levels
from networks import natural, save_tensors

# Ferrite's names of what is monitored: Keras's, and the place in an epoch's scores.
MONITORS = {"train_loss": ("loss", 0), "train_accuracy": ("accuracy", 1), "valid_loss": ("val_loss", 2), "valid_accuracy": ("val_accuracy", 3)}
EPOCHS = 24
CASES = 300
NOISE = 0.1
History = List[List[float]]


def small_model() -> keras.Model:
    """A model whose weight can be set and read, with metrics as `mode="auto"` looks for them."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.train_on_batch(numpy.zeros((1, 1)), numpy.zeros((1,)))
    return model


def history(random: numpy.random.Generator) -> History:
    """Scores on a coarse grid, so that many are equal; some fall, some rise, some stay for a while."""
    steps = random.integers(-2, 3, (EPOCHS, 4)) * (random.random((EPOCHS, 4)) < 0.7)
    drift = random.choice([-1, 0, 1], 4) * numpy.arange(EPOCHS)[:, None] // 2
    # Exact in binary, so that thresholds are met exactly, too.
    return (0.5 + (numpy.cumsum(steps, axis=0) + drift) / 64).tolist()


def watched(random: numpy.random.Generator) -> Dict[str, object]:
    return {
        "monitor": str(random.choice(list(MONITORS))),
        "mode": str(random.choice(["auto", "min", "max"])),
        "patience": int(random.integers(1, 13)),
        "min_delta": float(random.choice([0.0, 1 / 64, 3 / 64])),
    }


def in_keras(settings: Dict[str, object]) -> Dict[str, object]:
    return {**settings, "monitor": MONITORS[settings["monitor"]][0]}


def logs(scores: List[float]) -> Dict[str, float]:
    return {name: scores[place] for name, place in MONITORS.values()}


def early_stopping(_: Path) -> Comparison:
    random = numpy.random.default_rng(21)
    cases = []
    for _ in range(CASES):
        settings = watched(random)
        settings["start_from_epoch"] = int(random.choice([0, 0, 3, 8]))
        settings["baseline"] = random.choice([None, 0.4, 0.5, 0.6])
        cases.append((settings, history(random)))
    [output] = yield [Task({"stopping": {"cases": cases}})]
    theirs = numpy.array([stops_in_keras(*case) for case in cases])
    ours = output["ends"].numpy().reshape(-1, 2)
    stopped = int((theirs[:, 0] > 0).sum())
    return [
        Claim(f"EarlyStopping in Keras, {CASES} histories of which {stopped} stop: other epochs to stop", int((ours != theirs)[:, 0].sum()), 0),
        Claim(f"EarlyStopping in Keras, {CASES} histories: other weights that go on", int((ours != theirs)[:, 1].sum()), 0),
    ]


def stops_in_keras(settings: Dict[str, object], scores: History) -> Tuple[int, int]:
    """The epoch after which Keras stops (0: never), and the one whose weights it restores.

    The model's weight is the number of the epoch, so it says itself where it is from.
    """
    model = small_model()
    callback = keras.callbacks.EarlyStopping(**in_keras(settings), restore_best_weights=True)
    callback.set_model(model)
    callback.on_train_begin()
    stopped = 0
    for epoch, values in enumerate(scores):
        model.set_weights([numpy.full((1, 2), epoch + 1.0)])
        callback.on_epoch_end(epoch, logs(values))
        if model.stop_training:
            stopped = epoch + 1
            break
    callback.on_train_end()
    return stopped, int(model.get_weights()[0][0, 0])


def plateau(_: Path) -> Comparison:
    random = numpy.random.default_rng(22)
    cases = []
    for _ in range(CASES):
        settings = watched(random)
        settings["factor"] = float(random.choice([0.1, 0.5, 0.8]))
        settings["cooldown"] = int(random.choice([0, 0, 1, 4]))
        settings["min_lr"] = float(random.choice([0.0, 0.003, 0.011]))
        cases.append((settings, history(random)))
    lr = 0.01
    tasks = []
    for settings, scores in cases:
        stage = {"optimizer": {"sgd": {"lr": lr}}, "schedule": {"plateau": settings}, "epochs": EPOCHS + 1}
        tasks.append(Task({"rates": {"stage": stage, "steps_per_epoch": 1, "history": scores}}))
    outputs = yield tasks
    theirs = [rates_in_keras(lr, *case) for case in cases]
    falls = sum(len(set(it)) - 1 for it in theirs)
    # Keras keeps the rate in 32 bits.
    difference = max(relative_values(output["rates"][1:], numbers(it)) for output, it in zip(outputs, theirs))
    return [Claim(f"ReduceLROnPlateau in Keras, {CASES} histories with {falls} falls: rate after every epoch, relative", difference, 1e-6)]


def rates_in_keras(lr: float, settings: Dict[str, object], scores: History) -> List[float]:
    model = small_model()
    model.optimizer.learning_rate = lr
    callback = keras.callbacks.ReduceLROnPlateau(**in_keras(settings))
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, values in enumerate(scores):
        callback.on_epoch_end(epoch, logs(values))
        rates.append(float(model.optimizer.learning_rate.value))
    return rates


def gaussian_noise(folder: Path) -> Comparison:
    """On pixels in every scaling and on features, whose head is made to show them as they are."""
    channels, gray = 1280, 0.75
    model = natural("mobilenet_v2")
    tensors = {**model.state_dict(), "classifier.1.weight": torch.eye(channels), "classifier.1.bias": torch.zeros(channels)}
    weights = save_tensors(tensors, folder / "noise.safetensors")
    images = faces(24, 48, channels=3)
    features = torch.rand(64, 1, 1, channels, generator=torch.Generator().manual_seed(8))
    cases = [(unit, scaling) for unit in ("layer", "gray") for scaling in SCALINGS]
    tasks = []
    for unit, scaling in cases:
        noise = {"std": NOISE if unit == "layer" else gray, "unit": unit}
        setup = {"weights": weights, "noise": noise, "input": scaling, "signal": 60.0}
        tasks.append(Task({"noise": setup}, {"images": images, "features": features}))
    outputs = yield tasks
    x = levels(images)
    claims = []
    for (unit, scaling), output in zip(cases, outputs):
        scale = SCALINGS[scaling]
        # In gray levels, Keras's layer stands in front of the scaling. It takes no more than 1.
        noisy = scale(x) + in_training(NOISE, scale(x) * 0) if unit == "layer" else scale(x + in_training(gray, x * 0))
        claims += noise_claims(f"pixels `{scaling}`, std in units of {unit}", output["pixels"], noisy - scale(x))
    flat = features.flatten(1)
    quiet = absolute(outputs[0]["inferred"], keras.layers.GaussianNoise(NOISE)(flat, training=False))
    claims += noise_claims("features", outputs[0]["trained"] - flat, in_training(NOISE, flat) - flat)
    return [*claims, Claim("GaussianNoise in Keras, features: none in inference", quiet, 1e-6)]


def in_training(std: float, x: torch.Tensor) -> torch.Tensor:
    return keras.layers.GaussianNoise(std, seed=5)(x, training=True)


def noise_claims(title: str, ours: torch.Tensor, theirs: torch.Tensor) -> List[Claim]:
    """Channel by channel where there are channels; the worst counts."""
    channels = range(3) if ours.dim() == 4 else [slice(None)]
    errors = [in_standard_errors(ours[:, it], theirs[:, it]) for it in channels]
    return [
        Claim(f"GaussianNoise in Keras, {title}: {what}, in standard errors", max(it), 4.5)
        for what, it in zip(("mean", "deviation"), zip(*errors))
    ]


def in_standard_errors(ours: torch.Tensor, theirs: torch.Tensor) -> Tuple[float, float]:
    """How far the means and the standard deviations of two samples are apart."""
    a, b = ours.double(), theirs.double()
    error = math.sqrt(a.var() / a.numel() + b.var() / b.numel())
    error_of_deviation = math.sqrt(a.var() / a.numel() / 2 + b.var() / b.numel() / 2)
    return abs(a.mean() - b.mean()).item() / error, abs(a.std() - b.std()).item() / error_of_deviation


COMPARISONS = {"early_stopping": early_stopping, "plateau": plateau, "gaussian_noise": gaussian_noise}
