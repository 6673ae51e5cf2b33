"""PyTorch's networks with weights that are worth comparing, and their training."""

import copy
import functools
import math
from pathlib import Path
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional

import timm
import torch
import torch.nn.functional as F
import torchvision
from exchange import Task, Tensors, of_prefix, relative
from images import CLASSES, faces, labels, scaled
from safetensors.torch import save_file
from torch import Tensor, nn

# Beside this share of the whole gradient, a tensor's own is rounding and has no direction to compare.
NO_GRADIENT = 1e-5
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
# Ferrite's names of the backbones, and how Keras calls them.
KERAS_NAMES = {
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "resnet50": "ResNet50",
    "mobilenet_v2": "MobileNetV2",
    "efficientnet_b0": "EfficientNetB0",
    "convnext_tiny": "ConvNeXtTiny",
    "xception": "Xception",
}
BACKBONES = ["vgg16", "vgg16_bn", "vgg19", "resnet18", "resnet34", "resnet50", "mobilenet_v2", "efficientnet_b0", "convnext_tiny", "xception"]
# The last batch norm of a block in each ResNet.
LAST_NORMS = {"resnet18": "bn2", "resnet34": "bn2", "resnet50": "bn3"}
# Networks whose activations have no kinks.
SMOOTH = ["efficientnet_b0", "convnext_tiny"]


# ---------------------------------------------------------------------------------------------------
# Weights


def plain(backbone: str, classes: int = CLASSES) -> nn.Module:
    """The network with one linear layer as its head, as torchvision and timm build it."""
    if backbone in ("mobilenet_v2", "efficientnet_b0"):
        return getattr(torchvision.models, backbone)(num_classes=classes, dropout=0.0)
    if backbone == "convnext_tiny":
        return torchvision.models.convnext_tiny(num_classes=classes)
    if backbone == "xception":
        return timm.create_model("legacy_xception", num_classes=classes)
    if backbone in LAST_NORMS:
        return getattr(torchvision.models, backbone)(num_classes=classes)
    # Built with torchvision's large classifier on 7x7 positions, which both sides replace.
    with torch.device("meta"):
        model = getattr(torchvision.models, backbone)(init_weights=False)
    model.avgpool, model.classifier = nn.AdaptiveAvgPool2d(1), nn.Sequential(nn.Dropout(0.0), nn.Linear(512, classes))
    model = model.to_empty(device="cpu")
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear, *NORMS)):
            layer.reset_parameters()
    return model


def classifier_of(model: nn.Module) -> nn.Linear:
    return model.fc if hasattr(model, "fc") else model.classifier[-1]


@functools.cache
def natural(backbone: str) -> nn.Module:
    """A network with weights, scales, shifts and statistics that are all different."""
    torch.manual_seed(0)
    model = plain(backbone)
    for conv in convolutions_of(model):
        if backbone.startswith("vgg"):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        if conv.bias is not None:
            nn.init.normal_(conv.bias, std=0.1)
    nn.init.normal_(classifier_of(model).weight, std=0.02)
    nn.init.normal_(classifier_of(model).bias)
    if backbone == "convnext_tiny":
        give_blocks_weight(model)
    for name, norm in model.named_modules():
        if isinstance(norm, (*NORMS, nn.LayerNorm)):
            # The last norm of a ResNet's block is weak, as after training: with strong ones PyTorch's logits
            # in 32 bits are 1e-4 from those in 64 bits.
            weak = backbone in LAST_NORMS and name.endswith(LAST_NORMS[backbone])
            nn.init.uniform_(norm.weight, *((0.2, 0.6) if weak else (0.5, 1.5)))
            nn.init.normal_(norm.bias, std=0.2)
    take_statistics(model, scaled(sample()))
    return with_small_logits(model.eval())


def give_blocks_weight(model: nn.Module) -> None:
    """Makes the blocks of a new ConvNeXt count, whose every output is scaled by a millionth."""
    for layer in model.features.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.reset_parameters()
    for name, scale in model.named_parameters():
        if name.endswith("layer_scale"):
            nn.init.uniform_(scale, 0.2, 0.6)


@functools.cache
def steady(backbone: str) -> nn.Module:
    """The same without a value near 0 (and 6), where ReLU (and ReLU6) has its kinks: for gradients.

    There the gradient jumps between 0 and 1, and rounding decides: with natural weights PyTorch differs from
    PyTorch by several per cent if only its memory layout or its precision changes. Here one channel in ten lies
    below 0, in MobileNetV2 one in ten above 6, the others between. In VGG without batch norms the convolutions
    themselves are scaled and shifted, so that their channels lie where a batch norm would put them. ResNet50 and
    MobileNetV2 then agree with themselves in 64 bits to 1e-4. The others still have max poolings, in which a few
    pairs of values are equal but for rounding: 64 bits move 2e-3 to 1e-2 of a gradient, so that only the same
    rounding gives the same. Ferrite rounds as PyTorch does, being on the same library. Smooth activations need none of it.
    """
    if backbone in SMOOTH:
        return natural(backbone)
    model = copy.deepcopy(natural(backbone))
    random = torch.Generator().manual_seed(9)
    norms = norms_of(model)
    if backbone == "mobilenet_v2":
        norms = [it[1] for it in model.modules() if isinstance(it, torchvision.ops.misc.Conv2dNormActivation)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 0.7, random)
        norm.bias.data = steady_shifts(len(norm.bias), backbone == "mobilenet_v2", random)
    if norms:
        take_statistics(model, scaled(sample()))
    else:
        settle_convolutions(model, scaled(sample()), random)
    return with_small_logits(model.eval())


def with_small_logits(model: nn.Module) -> nn.Module:
    """Scales the classifier so that no logit is above 4, as after training: their rounding is then of one size."""
    with torch.no_grad():
        largest = model(scaled(sample())).abs().max()
        classifier_of(model).weight *= 4 / largest
        classifier_of(model).bias *= 4 / largest
    return model


def steady_shifts(count: int, bounded: bool, random: torch.Generator) -> Tensor:
    lot = torch.rand(count, generator=random)
    above = torch.where(lot > 0.9, 10.0, 3.0) if bounded else torch.full((count,), 3.0)
    return torch.where(lot < 0.1, -4.0, above)


def settle_convolutions(model: nn.Module, x: Tensor, random: torch.Generator) -> None:
    """Gives every channel behind a convolution a deviation of 0.6 and a mean far from 0, front to back."""
    with torch.no_grad():
        for layer in model.features:
            if isinstance(layer, nn.Conv2d):
                layer.bias.zero_()
                out = layer(x)
                mean, deviation = out.mean((0, 2, 3)), out.std((0, 2, 3))
                layer.weight *= (0.6 / deviation).reshape(-1, 1, 1, 1)
                layer.bias.copy_(steady_shifts(len(mean), False, random) - mean * 0.6 / deviation)
            x = layer(x)


def convolutions_of(model: nn.Module) -> List[nn.Conv2d]:
    return [it for it in model.modules() if isinstance(it, nn.Conv2d)]


def norms_of(model: nn.Module) -> List[nn.Module]:
    return [it for it in model.modules() if isinstance(it, NORMS)]


def take_statistics(model: nn.Module, inputs: Tensor) -> None:
    """Makes the running statistics those of `inputs`, by a pass in training mode."""
    for norm in norms_of(model):
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(inputs)
    for norm in norms_of(model):
        norm.momentum = 0.1


def sample() -> Tensor:
    return faces(32, 64, seed=100)


def save_weights(model: nn.Module, file: Path) -> str:
    return save_tensors(model.state_dict(), file)


def save_tensors(tensors: Tensors, file: Path) -> str:
    save_file({name: value.contiguous() for name, value in tensors.items()}, file)
    return file.name


# ---------------------------------------------------------------------------------------------------
# What Ferrite is asked


def network_task(
    weights: str,
    inputs: Tensors,
    size: int,
    head: Optional[Dict[str, object]] = None,
    stage: Optional[Dict[str, object]] = None,
    norms: str = "inference",
    save: Optional[str] = None,
    backbone: str = "mobilenet_v2",
    mix: Optional[Dict[str, object]] = None,
    precision: str = "f32",
) -> Task:
    """A network from the file `weights`: trained if `stage` says how, and then its logits."""
    count = len(inputs["features"] if "features" in inputs else inputs["images"])
    setup = {
        "weights": weights,
        "backbone": backbone,
        "head": head or {"layers": []},
        "image_size": size,
        "classes": CLASSES,
        "frozen_layers": norms,
        "precision": precision,
        "stage": stage,
        "mix": mix,
        "save": save,
    }
    return Task({"network": setup}, {"labels": labels(count), **inputs})


def stage(optimizer: Dict[str, object], trainable: object = "all", batch: int = 16, **settings: object) -> Dict[str, object]:
    """A stage of one epoch, unless `settings` say otherwise."""
    return {"optimizer": optimizer, "trainable": trainable, "batch_size": batch, "epochs": 1, **settings}


SGD = {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}
ADAM = {"lr": 1e-3}
Make = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


def sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, **SGD)


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, **ADAM)


# ---------------------------------------------------------------------------------------------------
# PyTorch's training


class Trained(NamedTuple):
    losses: Tensor
    gradients: Tensors
    after: Tensors
    rates: Tensor


Loss = Callable[[Tensor, Tensor], Tensor]


def train(
    model: nn.Module,
    inputs: Tensor,
    batch: int,
    make: Make,
    *,
    epochs: int = 1,
    loss: Loss = F.cross_entropy,
    targets: Optional[Tensor] = None,
    clip: Callable[[List[nn.Parameter]], object] = lambda _: None,
    every_step: Callable[[torch.optim.Optimizer], object] = lambda _: None,
    every_epoch: Callable[[torch.optim.Optimizer], object] = lambda _: None,
) -> Trained:
    """PyTorch's loop over `inputs` in their order; modes and requires_grad are the caller's.

    Both sides draw from LibTorch's generator, seeded in each step with its number: what PyTorch leaves out of a network at
    random, Ferrite leaves out.

    In 32 bits, images lie channels last in memory as in Ferrite, since the layout decides how sums are rounded.
    """
    if inputs.dim() == 4 and inputs.dtype == torch.float32:
        model, inputs = model.to(memory_format=torch.channels_last), inputs.contiguous(memory_format=torch.channels_last)
    parameters = [it for it in model.parameters() if it.requires_grad]
    optimizer = make(parameters)
    targets = labels(len(inputs)).long() if targets is None else targets
    losses: List[float] = []
    rates: List[float] = []
    gradients: Tensors = {}
    for _ in range(epochs):
        for x, y in zip(inputs.split(batch), targets.split(batch)):
            torch.manual_seed(len(losses))
            value = loss(model(x), y)
            optimizer.zero_grad()
            value.backward()
            clip(parameters)
            if not losses:
                gradients = {name: it.grad.clone() for name, it in model.named_parameters() if it.grad is not None}
            losses.append(value.item())
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            every_step(optimizer)
        every_epoch(optimizer)
    double = functools.partial(torch.tensor, dtype=torch.float64)
    return Trained(double(losses), gradients, dict(model.state_dict()), double(rates))


def gradients(ours: Tensors, theirs: Trained) -> float:
    """The worst tensor's relative difference; infinite unless both sides train the same tensors."""
    own = of_prefix(ours, "gradient.")
    if own.keys() != theirs.gradients.keys():
        return math.inf
    whole = math.sqrt(sum(it.double().norm().item() ** 2 for it in theirs.gradients.values()))
    return max(relative(own[name], it, NO_GRADIENT * whole) for name, it in theirs.gradients.items())


def statistics(ours: Tensors, theirs: Trained, chosen: Callable[[str], bool] = lambda _: True) -> float:
    own = of_prefix(ours, "after.")
    names = [name for name in theirs.after if ".running_" in name and chosen(name)]
    return max(relative(own[name], theirs.after[name]) for name in names)
