"""MobileNetV2 in detail: logits, scaling, resize, training, freezing, heads, the cache of the frozen prefix."""

import copy
import math
from collections import OrderedDict
from pathlib import Path
from typing import List, Set

import torch
import torch.nn.functional as F
from exchange import COUNTERS, Claim, Comparison, Task, Tensors, absolute, numbers, of_prefix, relative_values, same_tensors, text_of
from images import CLASSES, SCALINGS, faces, levels, scaled
from networks import (
    ADAM,
    SGD,
    Trained,
    adam,
    gradients,
    natural,
    network_task,
    norms_of,
    sample,
    save_weights,
    sgd,
    stage,
    statistics,
    steady,
    take_statistics,
    train,
)
from safetensors.torch import load_file
from torch import Tensor, nn


def inference(folder: Path) -> Comparison:
    model = natural("mobilenet_v2")
    weights = save_weights(model, folder / "inference.safetensors")
    cases = [(48, 48), (96, 96), (224, 224), (48, 96)]
    images = {size: faces(6, size) for size in (48, 96, 224)}
    outputs = yield [network_task(weights, {"images": images[stored]}, size) for stored, size in cases]
    claims = []
    for (stored, size), output in zip(cases, outputs):
        with torch.no_grad():
            logits = model(scaled(images[stored], size))
        what = f"MobileNetV2's logits at {size} px" + (f", resized from {stored}" if stored != size else "")
        claims.append(Claim(what, absolute(output["logits"], logits), 1e-4))
    return claims


def resize(folder: Path) -> Comparison:
    images = {stored: faces(3, stored) for stored in (48, 100)}
    cases = [(48, 96), (100, 48)]
    outputs = yield [Task({"resize": {"size": size}}, {"images": images[stored]}) for stored, size in cases]
    expected = [F.interpolate(levels(images[stored]), (size, size), mode="bilinear", align_corners=False) for stored, size in cases]
    difference = max(absolute(output["images"], it) for output, it in zip(outputs, expected))
    return [Claim("bilinear resize 48 -> 96 and 100 -> 48 px, gray levels, against interpolate", difference, 1e-3)]


def scaling(folder: Path) -> Comparison:
    images = faces(4, 48, channels=3)
    outputs = yield [Task({"scale": {"input": name}}, {"images": images}) for name in SCALINGS]
    return [
        Claim(f"scaling of RGB pixels, `{name}`", absolute(output["images"], scale(levels(images))), limit)
        for (name, scale), output, limit in zip(SCALINGS.items(), outputs, [1e-6, 1e-6, 1e-4])
    ]


def full_training(folder: Path) -> Comparison:
    start = steady("mobilenet_v2")
    weights = save_weights(start, folder / "full.safetensors")
    images = faces(32, 64)
    [output] = yield [network_task(weights, {"images": images}, 64, stage=stage({"sgd": SGD}, batch=32))]
    theirs = train(copy.deepcopy(start).train(), scaled(images), 32, sgd)
    return [
        Claim("training mode, all layers: loss, relative", relative_values(output["losses"], theirs.losses), 1e-5),
        Claim("training mode, all layers: every gradient, relative", gradients(output, theirs), 1e-3),
        Claim("training mode, all layers: L2 norm of the gradient and of every block's, relative", block_norms(output, theirs), 1e-4),
        Claim("training mode, all layers: running statistics, relative", statistics(output, theirs), 1e-5),
    ]


def block_norms(ours: Tensors, theirs: Trained) -> float:
    """The worst relative difference of a block's gradient norm; infinite unless the blocks hold every gradient once."""
    names = text_of(ours["groups"]).split("\n")
    belong = {name: [it for it in theirs.gradients if it.startswith(f"{name}.")] for name in names}
    if sorted(sum(belong.values(), [])) != sorted(theirs.gradients):
        return math.inf
    squares = [sum(theirs.gradients[it].double().norm() ** 2 for it in them) for them in belong.values()]
    expected = numbers([*squares, sum(squares)]).sqrt()
    return relative_values(torch.cat([ours["norms"], ours["norm"]]), expected)


def natural_training(folder: Path) -> Comparison:
    """Natural weights, where rounding shows: Ferrite is about as far from PyTorch in 64 bits as PyTorch in 32 is."""
    start = natural("mobilenet_v2")
    weights = save_weights(start, folder / "natural.safetensors")
    images = faces(32, 64)
    [output] = yield [network_task(weights, {"images": images}, 64, stage=stage({"sgd": SGD}, batch=32))]
    short = train(copy.deepcopy(start).train(), scaled(images), 32, sgd)
    long = train(copy.deepcopy(start).double().train(), scaled(images).double(), 32, sgd)
    theirs = gradients({f"gradient.{name}": it for name, it in short.gradients.items()}, long)
    ratio = gradients(output, long) / theirs
    return [Claim(f"natural weights: every gradient against 64 bits, in units of PyTorch's own {theirs:.0e}", ratio, 3.0)]


def freeze(model: nn.Module, until: str, norms: str) -> nn.Module:
    """What one writes in PyTorch to train everything from the layer `until` on."""
    model.train()
    trains = False
    for name, module in model.named_modules():
        if list(module.children()) or not list(module.parameters()):
            continue
        trains = trains or f"{name}.".startswith(f"{until}.")
        module.requires_grad_(trains)
        if norms == "inference":
            module.train(trains)
    return model


def frozen(folder: Path) -> Comparison:
    """A frozen prefix that ends between blocks, one that ends within a block, and frozen norms that see batches."""
    start = steady("mobilenet_v2")
    weights = save_weights(start, folder / "frozen.safetensors")
    cases = [("features.16", "inference"), ("features.14.conv.1.0", "inference"), ("features.16", "batch-statistics")]
    images = faces(48, 64)
    outputs = yield [
        network_task(weights, {"images": images}, 64, stage=stage({"sgd": SGD}, until), norms=norms) for until, norms in cases
    ]
    claims = []
    for (until, norms), output in zip(cases, outputs):
        model = freeze(copy.deepcopy(start), until, norms)
        theirs = train(model, scaled(images), 16, sgd)
        trained = {name for name, it in model.named_parameters() if it.requires_grad}
        title = f"trainable = `{until}`" + (", frozen norms see the batch" if norms != "inference" else "")
        claims.append(Claim(f"{title}: losses of 3 steps, relative", relative_values(output["losses"], theirs.losses), 1e-4))
        claims.append(Claim(f"{title}: every gradient, relative", gradients(output, theirs), 1e-3))
        claims.append(Claim(f"{title}: running statistics, relative", statistics(output, theirs), 1e-4))
        still = {name: it for name, it in of_prefix(output, "after.").items() if stays(name, trained, norms)}
        before = {name: it for name, it in start.state_dict().items() if name in still}
        claims.append(Claim(f"{title}: change of the {len(still)} tensors that stay", same_tensors(still, before), 0.0))
    return claims


def stays(name: str, trained: Set[str], norms: str) -> bool:
    """Whether a tensor must stay as it is while `trained` tensors train."""
    if ".running_" not in name:
        return name not in trained
    return norms == "inference" and name.rpartition(".")[0] + ".weight" not in trained


def with_head(model: nn.Module, head: nn.Module) -> nn.Module:
    """`model` with another classifier, whose batch norms have the statistics of its features.

    A hidden unit that hardly varies would have its rounding blown up, so each varies by 0.5 at least.
    """
    model = copy.deepcopy(model)
    with torch.no_grad():
        features = model.features(scaled(sample()))
    averages = next(head.parameters()).shape[1] == features.shape[1]
    take_statistics(head, features.mean((2, 3)) if averages else features.flatten(1))
    for norm in norms_of(head):
        norm.running_var.clamp_(min=0.5)
    model.classifier = head
    return model.eval()


def sequential(inputs: int, *widths: int) -> nn.Sequential:
    """The head as model/head.rs describes it."""
    layers: List[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.BatchNorm1d(width), nn.Dropout(0.0)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, CLASSES))


class Flattened(nn.Module):
    """MobileNetV2 whose classifier sees every position."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.features, self.classifier = model.features, model.classifier

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def heads(folder: Path) -> Comparison:
    """Hidden layers with batch norm, on the backbone and on given features; what Ferrite saves is read by PyTorch."""
    torch.manual_seed(4)
    model = with_head(steady("mobilenet_v2"), sequential(1280, 64, 32))
    weights = save_weights(model, folder / "head.safetensors")
    images = faces(32, 64)
    features = torch.randn(32, 1, 1, 1280, generator=torch.Generator().manual_seed(5))
    settings = {"layers": [64, 32], "batch_norm": True}
    whole, alone, saved = yield [
        network_task(weights, {"images": images}, 64, settings),
        network_task(weights, {"features": features}, 64, settings, stage({"adam": ADAM}, "head")),
        network_task(weights, {"images": images}, 64, settings, stage({"adam": ADAM}), save="saved.safetensors"),
    ]
    with torch.no_grad():
        logits = model(scaled(images))
    head = nn.Sequential(OrderedDict(classifier=copy.deepcopy(model.classifier)))
    theirs = train(head.train(), features.flatten(1), 16, adam)
    loaded = copy.deepcopy(model)
    missing, unexpected = loaded.load_state_dict(load_file(folder / "saved.safetensors"), strict=False)
    strict = not unexpected and all(name.endswith(COUNTERS) for name in missing)
    with torch.no_grad():
        after = loaded.eval()(scaled(images))
    title = "a head with two hidden layers and batch norm"
    return [
        Claim(f"{title}: logits", absolute(whole["logits"], logits), 1e-4),
        Claim(f"{title}: losses of 2 steps, relative", relative_values(alone["losses"], theirs.losses), 1e-5),
        Claim(f"{title}: every gradient, relative", gradients(alone, theirs), 1e-3),
        Claim(f"{title}: running statistics, relative", statistics(alone, theirs), 1e-5),
        Claim("a model that Ferrite trained and saved: PyTorch finds every tensor and no other", 0.0 if strict else math.inf, 0.0),
        Claim("a model that Ferrite trained and saved: its logits in PyTorch", absolute(saved["logits"], after), 1e-4),
    ]


def flattened(folder: Path) -> Comparison:
    """The head on every position: their order in the vector is PyTorch's."""
    torch.manual_seed(6)
    backbone = with_head(steady("mobilenet_v2"), sequential(4 * 1280, 16))
    weights = save_weights(backbone, folder / "flat.safetensors")
    images = faces(16, 64)
    settings = {"pool": "flatten", "layers": [16], "batch_norm": True}
    [output] = yield [network_task(weights, {"images": images}, 64, settings)]
    with torch.no_grad():
        logits = Flattened(backbone).eval()(scaled(images))
    return [Claim("a head on all positions (`pool = \"flatten\"`): logits", absolute(output["logits"], logits), 1e-4)]


def cached_features(folder: Path) -> Comparison:
    """Ferrite against itself, in its own training loop with dropout: the frozen prefix once, or in every step.

    Once means in batches of another size, which some processors round otherwise; layers that train blow that up.
    """
    weights = save_weights(natural("mobilenet_v2"), folder / "cached.safetensors")
    head = {"layers": [], "dropout": 0.3}
    layers = {"head": 1e-5, "features.16": 1e-3}
    stages = [{"trainable": it, "epochs": 3, "batch_size": 16, "optimizer": {"adam": ADAM}} for it in layers]
    outputs = yield [
        Task({"cached": {"weights": weights, "head": head, "image_size": 48, "faces": 96, "stage": stage}}, {}) for stage in stages
    ]
    return [
        Claim(
            f"cached features, trainable = `{it}`: losses of 3 epochs as without a cache, relative",
            relative_values(output["cached"], output["uncached"]),
            limit,
        )
        for (it, limit), output in zip(layers.items(), outputs)
    ]


COMPARISONS = {it.__name__: it for it in (inference, resize, scaling, full_training, natural_training, frozen, heads, flattened, cached_features)}
