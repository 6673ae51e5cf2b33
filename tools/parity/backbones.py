"""Every backbone against torchvision's and timm's network of the same name, with the same weights."""

import copy
import math
from functools import partial
from pathlib import Path
from typing import NamedTuple, Tuple

import torch
from exchange import COUNTERS, Claim, Comparison, Tensors, absolute, relative_values
from images import faces, scaled
from networks import BACKBONES, Trained, gradients, natural, network_task, norms_of, plain, save_weights, stage, statistics, steady, train
from safetensors.torch import load_file
from torch import Tensor, nn


class Sizes(NamedTuple):
    """Pixels a side: of the images whose logits are compared, and of those that train."""

    eval: Tuple[int, ...]
    train: int


SIZES = {
    "vgg16": Sizes((32, 48, 96), 48),
    "vgg16_bn": Sizes((32, 48, 96), 48),
    "vgg19": Sizes((32, 48, 96), 48),
    "resnet18": Sizes((32, 48, 96), 64),
    "resnet34": Sizes((32, 48, 96), 64),
    "resnet50": Sizes((32, 48, 96), 64),
    "mobilenet_v2": Sizes((32, 71, 128), 64),
    "efficientnet_b0": Sizes((32, 71, 96), 64),
    "convnext_tiny": Sizes((32, 71, 128), 64),
    "xception": Sizes((71, 96, 128), 71),
}
TRAINED = 16
LIMIT = 1e-3
ONE_VALUE = 3e-2
# Small enough that the logits keep their size, and with it their rounding.
OPTIMIZER = {"lr": 1e-3, "momentum": 0.9}


def backbone(name: str, folder: Path) -> Comparison:
    """Logits with natural weights; a step of training with steady ones, saved and loaded by PyTorch."""
    sizes, start, settled = SIZES[name], natural(name), steady(name)
    images, few = faces(TRAINED, sizes.train), faces(3, 48)
    saved = f"{name}-saved.safetensors"
    logits, trained = yield [
        network_task(
            save_weights(start, folder / f"{name}.safetensors"),
            {"images": few, **{f"images.{size}": few for size in sizes.eval}},
            sizes.eval[0],
            backbone=name,
        ),
        network_task(
            save_weights(settled, folder / f"{name}-steady.safetensors"),
            {"images": images},
            sizes.train,
            stage=stage({"sgd": OPTIMIZER}, batch=TRAINED),
            save=saved,
            backbone=name,
        ),
    ]
    claims = []
    for size in sizes.eval:
        with torch.no_grad():
            expected = start(scaled(few, size))
        claims.append(Claim(f"{name}: logits at {size} px", absolute(logits[f"logits.{size}"], expected), 1e-4))
    theirs = train(copy.deepcopy(settled).train(), scaled(images), TRAINED, lambda them: torch.optim.SGD(them, **OPTIMIZER))
    title = f"{name}: training at {sizes.train} px"
    claims.append(Claim(f"{title}, loss, relative", relative_values(trained["losses"], theirs.losses), 1e-5))
    what = f"{title}, every one of {len(theirs.gradients)} gradients"
    difference = gradients(trained, theirs)
    if difference > LIMIT and norms_of(settled):
        claims.append(near_64_bits(what, trained, theirs, in_64_bits(settled, images)))
    else:
        claims.append(Claim(f"{what}, relative", difference, LIMIT))
    if norms_of(settled):
        claims.append(Claim(f"{title}, running statistics, relative", statistics(trained, theirs), 1e-5))
    loaded = plain(name).eval()
    strict = loads(loaded, folder / saved)
    claims.append(Claim(f"{name} as Ferrite saved it: PyTorch finds every tensor and no other", 0.0 if strict else math.inf, 0.0))
    with torch.no_grad():
        after = loaded(scaled(images))
    claims.append(Claim(f"{name} as Ferrite saved it: logits in PyTorch", absolute(trained["logits"], after), 1e-4))
    return claims


def in_64_bits(start: nn.Module, images: Tensor) -> Trained:
    sgd = partial(torch.optim.SGD, **OPTIMIZER)
    return train(copy.deepcopy(start).double().train(), scaled(images).double(), TRAINED, sgd)


def near_64_bits(what: str, ours: Tensors, theirs: Trained, exact: Trained) -> Claim:
    """Gradients are as near to 64 bits as PyTorch's, or but for one value.

    Ferrite rounds its batch norms differently. At a tie of a max pooling, or where a ReLU behind a residual's sum
    has its kink, rounding decides which way one value's gradient goes: some hundredths of one tensor's.
    """
    own = gradients({f"gradient.{name}": it for name, it in theirs.gradients.items()}, exact)
    return Claim(f"{what} against 64 bits, relative; PyTorch's own {own:.0e}", gradients(ours, exact), max(3 * own, ONE_VALUE))


def loads(model: nn.Module, file: Path) -> bool:
    """Fills `model`; whether the file had all it asks for but counters, and nothing else."""
    missing, unexpected = model.load_state_dict(load_file(file), strict=False)
    return not unexpected and all(it.endswith(COUNTERS) for it in missing)


def pytorch_files(folder: Path) -> Comparison:
    """What `torch.save` wrote, in its format of today and its first one."""
    formats = {"zip": True, "legacy": False}
    cases = [(name, kind) for name in ("resnet50", "vgg16_bn") for kind in formats]
    tasks = []
    images = faces(3, 48)
    for name, kind in cases:
        file = folder / f"{name}-{kind}.pth"
        torch.save(natural(name).state_dict(), file, _use_new_zipfile_serialization=formats[kind])
        tasks.append(network_task(file.name, {"images": images}, 48, backbone=name))
    outputs = yield tasks
    claims = []
    for (name, kind), output in zip(cases, outputs):
        with torch.no_grad():
            expected = natural(name)(scaled(images))
        claims.append(Claim(f"{name} from torch.save's {kind} format: logits", absolute(output["logits"], expected), 1e-4))
    return claims


COMPARISONS = {**{name: partial(backbone, name) for name in BACKBONES}, "pytorch_files": pytorch_files}
