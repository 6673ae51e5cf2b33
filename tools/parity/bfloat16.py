"""`precision = "bf16"` against 32 bits, and how far PyTorch's own autocast is from them."""

import copy
import statistics
from functools import partial
from pathlib import Path
from typing import Callable

import torch
import torch.nn.functional as F
from backbones import OPTIMIZER, SIZES, TRAINED
from exchange import Claim, Comparison, Tensors, relative
from images import faces, scaled
from networks import Trained, natural, network_task, save_weights, stage, steady, train
from torch import Tensor, nn

BACKBONES = ["vgg16", "resnet18", "resnet50", "mobilenet_v2", "efficientnet_b0", "convnext_tiny", "xception"]
# Rounding differs from one to the other; it must not be of another size.
AS_FAR = 1.5


def backbone(name: str, folder: Path) -> Comparison:
    """Logits in inference mode, and the first gradients of training."""
    sizes, start, settled = SIZES[name], natural(name), steady(name)
    few, images = faces(8, sizes.eval[0]), faces(TRAINED, sizes.train)
    logits, ours = yield [
        network_task(save_weights(start, folder / f"{name}-bf16.safetensors"), {"images": few}, sizes.eval[0], backbone=name, precision="bf16"),
        network_task(
            save_weights(settled, folder / f"{name}-bf16-steady.safetensors"),
            {"images": images},
            sizes.train,
            stage=stage({"sgd": OPTIMIZER}, batch=TRAINED),
            backbone=name,
            precision="bf16",
        ),
    ]
    with torch.no_grad():
        exact, rounded = start(scaled(few)), cast(start)(scaled(few)).float()
    gradients, own = trained(copy.deepcopy(settled), images), trained(cast(settled), images)
    own_gradients = {f"gradient.{key}": it for key, it in own.gradients.items()}
    title = f"{name} in bfloat16 against 32 bits"
    return [
        claim(f"{title}: logits", relative(logits["logits"], exact), relative(rounded, exact)),
        claim(f"{title}: the median of {len(gradients.gradients)} gradients", median(ours, gradients), median(own_gradients, gradients)),
    ]


def claim(what: str, ours: float, own: float) -> Claim:
    return Claim(f"{what}, relative; PyTorch's own {own:.1e}", ours, AS_FAR * own)


def cast(model: nn.Module) -> nn.Module:
    """A copy that PyTorch runs under autocast."""
    model = copy.deepcopy(model)
    model.forward = torch.autocast("cpu", dtype=torch.bfloat16)(model.forward)
    return model


def trained(model: nn.Module, images: Tensor) -> Trained:
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), labels)

    make: Callable = partial(torch.optim.SGD, **OPTIMIZER)
    return train(model.train(), scaled(images), TRAINED, make, loss=loss)


def median(ours: Tensors, theirs: Trained) -> float:
    return statistics.median(relative(ours[f"gradient.{key}"], it) for key, it in theirs.gradients.items())


COMPARISONS = {name: partial(backbone, name) for name in BACKBONES}
