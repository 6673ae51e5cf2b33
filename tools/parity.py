#!/usr/bin/env python3
"""Show that Ferrite computes what PyTorch computes: `make parity`.

Every line is one claim: the largest difference that was measured, the largest that is allowed, and what was
compared. `examples/parity/main.rs` is Ferrite's side and knows no expected value; PyTorch, torchvision, SciPy,
scikit-learn and a few lines of plain arithmetic are the other side, here. Both get the same images and the same
weights: a randomly initialised torchvision network, so nothing is downloaded. All of it runs on the CPU, and in
32-bit floats unless the line says otherwise.

A difference of a tensor is relative where the line says so: the norm of the difference by the norm. The exit
code is 1 if a claim fails.
"""

import argparse
import contextlib
import copy
import functools
import json
import math
import subprocess
import sys
import tempfile
import time
from collections import OrderedDict
from pathlib import Path
from typing import Callable, Dict, Generator, Iterable, List, NamedTuple, Optional, Set, Tuple

import numpy
import scipy.ndimage
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file, save_file
from sklearn import metrics
from torch import Tensor, nn

CLASSES = 7
# Beside this share of the whole gradient, a tensor's own is rounding and has no direction to compare.
NO_GRADIENT = 1e-5
COUNTERS = "num_batches_tracked"


class Claim(NamedTuple):
    what: str
    difference: float
    limit: float

    def holds(self) -> bool:
        return self.difference <= self.limit  # False for NaN, too


class Task(NamedTuple):
    """What Ferrite is asked to compute, and from which tensors."""

    work: Dict[str, object]
    tensors: Dict[str, Tensor]


Tensors = Dict[str, Tensor]
# A comparison hands out its tasks, gets Ferrite's results in the same order, and makes its claims.
Comparison = Generator[List[Task], List[Tensors], List[Claim]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=Path("target/debug/examples/parity"), help="Ferrite's side")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the exchanged files in this folder")
    arguments = parser.parse_args()
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        failed = compare(folder, arguments.program.resolve())
    print(f"in {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


def compare(folder: Path, program: Path) -> int:
    """Runs every comparison and prints its claims; how many failed."""
    comparisons = [start(folder) for start in COMPARISONS]
    tasks = [next(comparison) for comparison in comparisons]
    results = run_ferrite(folder, program, tasks)
    print("difference      limit")
    claims = []
    for comparison, outputs in zip(comparisons, results):
        for claim in conclude(comparison, outputs):
            verdict = "ok    " if claim.holds() else "FAILED"
            print(f"{claim.difference:10.1e} {claim.limit:10.1e}  {verdict}  {claim.what}")
            claims.append(claim)
    failed = sum(not claim.holds() for claim in claims)
    print(f"parity: {len(claims) - failed} passed, {failed} failed")
    return failed


def conclude(comparison: Comparison, outputs: List[Tensors]) -> List[Claim]:
    try:
        comparison.send(outputs)
    except StopIteration as end:
        return end.value
    raise AssertionError("a comparison asks Ferrite once")


def run_ferrite(folder: Path, program: Path, tasks: List[List[Task]]) -> List[List[Tensors]]:
    """Ferrite's results for all tasks, in one process."""
    names = [[f"case-{outer}-{inner}" for inner in range(len(group))] for outer, group in enumerate(tasks)]
    cases = []
    for name, task in zip(sum(names, []), sum(tasks, [])):
        tensors = task.tensors or {"none": torch.zeros(1)}
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"{name}.in.safetensors")
        cases.append({"name": name, "work": task.work})
    (folder / "job.json").write_text(json.dumps(cases, indent=1))
    print(f"Ferrite computes {len(cases)} cases", file=sys.stderr)
    done = subprocess.run([str(program), str(folder)], check=False)
    if done.returncode != 0:
        sys.exit(f"error: {program.name} ended with code {done.returncode}")
    return [[load_file(folder / f"{name}.out.safetensors") for name in group] for group in names]


# ---------------------------------------------------------------------------------------------------
# Networks and images


@functools.cache
def natural_mobilenet() -> nn.Module:
    """torchvision's MobileNetV2 with weights, scales, shifts and statistics that are all different."""
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v2(num_classes=CLASSES, dropout=0.0)
    nn.init.normal_(model.classifier[1].weight, std=0.02)
    nn.init.normal_(model.classifier[1].bias)
    for norm in norms_of(model):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.2)
    take_statistics(model, scaled(sample()))
    return model.eval()


@functools.cache
def steady_mobilenet() -> nn.Module:
    """The same without a value near 0 or 6, where ReLU6 has its kinks: for gradients.

    There the gradient jumps between 0 and 1, and rounding decides: with natural weights PyTorch differs from
    PyTorch by several per cent if only its memory layout or its precision changes. Here one channel in ten lies
    below 0, one in ten above 6, the others between, and PyTorch agrees with itself to 1e-3.
    """
    model = copy.deepcopy(natural_mobilenet())
    random = torch.Generator().manual_seed(9)
    for block in model.modules():
        if isinstance(block, torchvision.ops.misc.Conv2dNormActivation):
            norm = block[1]
            nn.init.uniform_(norm.weight, 0.5, 0.7, random)
            lot = torch.rand(len(norm.bias), generator=random)
            norm.bias.data = torch.where(lot < 0.1, -4.0, torch.where(lot > 0.9, 10.0, 3.0))
    take_statistics(model, scaled(sample()))
    return model.eval()


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


def norms_of(model: nn.Module) -> List[nn.Module]:
    return [it for it in model.modules() if isinstance(it, (nn.BatchNorm1d, nn.BatchNorm2d))]


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


def faces(count: int, size: int, seed: int = 1, channels: int = 1) -> Tensor:
    """Smooth gray images with some noise, as bytes: [count, size, size, channels]."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 6, 6, generator=random)
    smooth = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    noisy = smooth + 0.1 * torch.randn(smooth.shape, generator=random)
    return (255 * noisy).clamp(0, 255).byte().permute(0, 2, 3, 1)


def labels(count: int) -> Tensor:
    return torch.randint(CLASSES, (count,), generator=torch.Generator().manual_seed(2)).byte()


def levels(images: Tensor) -> Tensor:
    """Images as floats 0-255, channels first."""
    return images.permute(0, 3, 1, 2).float()


def scaled(images: Tensor, size: Optional[int] = None) -> Tensor:
    """Images as a network reads them: within -1..1, three channels, at `size`."""
    x = levels(images) / 127.5 - 1
    if size is not None:
        x = F.interpolate(x, (size, size), mode="bilinear", align_corners=False)
    return x.expand(-1, 3, -1, -1)


def save_weights(model: nn.Module, file: Path) -> str:
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, file)
    return file.name


HEADLESS: Dict[str, object] = {"layers": []}


def network_task(
    weights: str,
    inputs: Tensors,
    size: int,
    head: Dict[str, object] = HEADLESS,
    train: Optional[Dict[str, object]] = None,
    save: Optional[str] = None,
) -> Task:
    """A network from the file `weights`: trained if `train` says how, and then its logits."""
    count = len(next(iter(inputs.values())))
    setup = {"weights": weights, "head": head, "image_size": size, "classes": CLASSES, "train": train, "save": save}
    return Task({"network": setup}, {**inputs, "labels": labels(count)})


def training(optimizer: Dict[str, object], trainable: str = "all", batch: int = 16, norms: str = "inference") -> Dict[str, object]:
    return {"trainable": trainable, "frozen_layers": norms, "optimizer": optimizer, "batch_size": batch}


SGD = {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}
ADAM = {"lr": 1e-3}
ADAMW = {"lr": 1e-3, "weight_decay": 0.05}
OPTIMIZERS: List[Tuple[str, Dict[str, object], Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]]] = [
    ("SGD with Nesterov momentum and decay", {"sgd": SGD}, lambda them: torch.optim.SGD(them, **SGD)),
    ("Adam", {"adam": ADAM}, lambda them: torch.optim.Adam(them, **ADAM)),
    ("AdamW", {"adamw": ADAMW}, lambda them: torch.optim.AdamW(them, **ADAMW)),
]


class Trained(NamedTuple):
    losses: Tensor
    gradients: Tensors
    after: Tensors


def train(model: nn.Module, inputs: Tensor, batch: int, make: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]) -> Trained:
    """PyTorch's loop: one pass over `inputs` in their order; modes and requires_grad are the caller's.

    In 32 bits, images lie channels last in memory as in Ferrite, since the layout decides how sums are rounded.
    """
    if inputs.dim() == 4 and inputs.dtype == torch.float32:
        model, inputs = model.to(memory_format=torch.channels_last), inputs.contiguous(memory_format=torch.channels_last)
    optimizer = make([it for it in model.parameters() if it.requires_grad])
    losses: List[float] = []
    gradients: Tensors = {}
    for x, y in zip(inputs.split(batch), labels(len(inputs)).long().split(batch)):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        if not losses:
            gradients = {name: it.grad.clone() for name, it in model.named_parameters() if it.grad is not None}
        losses.append(loss.item())
        optimizer.step()
    return Trained(torch.tensor(losses, dtype=torch.float64), gradients, dict(model.state_dict()))


# ---------------------------------------------------------------------------------------------------
# Differences


def absolute(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} is compared with {tuple(theirs.shape)}"
    return (ours.double() - theirs.double()).abs().max().item()


def relative(ours: Tensor, theirs: Tensor, least: float = 0.0) -> float:
    """Norm of the difference by the norm, which counts as `least` at least."""
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} is compared with {tuple(theirs.shape)}"
    norm = max(theirs.double().norm().item(), least)
    distance = (ours.double() - theirs.double()).norm().item()
    return distance / norm if norm > 0 else (0.0 if distance == 0 else math.inf)


def relative_losses(ours: Tensor, theirs: Tensor) -> float:
    return ((ours - theirs) / theirs).abs().max().item()


def of_prefix(tensors: Tensors, prefix: str) -> Tensors:
    return {name[len(prefix) :]: it for name, it in tensors.items() if name.startswith(prefix)}


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


def same_tensors(ours: Tensors, theirs: Tensors) -> float:
    """The largest absolute difference; infinite unless both sides have the same tensors."""
    theirs = {name: it for name, it in theirs.items() if not name.endswith(COUNTERS)}
    if ours.keys() != theirs.keys():
        return math.inf
    return max(absolute(ours[name], it) for name, it in theirs.items())


# ---------------------------------------------------------------------------------------------------
# Comparisons: the network


def inference(folder: Path) -> Comparison:
    model = natural_mobilenet()
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
    """Ferrite's images are RGB; Caffe's networks read BGR."""
    images = faces(4, 48, channels=3)
    names = ["plus-minus-one", "torchvision", "caffe"]
    outputs = yield [Task({"scale": {"input": name}}, {"images": images}) for name in names]
    x = levels(images)
    normalize = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    means = torch.tensor([103.939, 116.779, 123.68]).reshape(1, 3, 1, 1)
    expected = [x / 127.5 - 1, normalize(x / 255), x.flip(1) - means]
    return [
        Claim(f"scaling of RGB pixels, `{name}`", absolute(output["images"], it), limit)
        for name, output, it, limit in zip(names, outputs, expected, [1e-6, 1e-6, 1e-4])
    ]


def full_training(folder: Path) -> Comparison:
    start = steady_mobilenet()
    weights = save_weights(start, folder / "full.safetensors")
    images = faces(32, 64)
    [output] = yield [network_task(weights, {"images": images}, 64, train=training({"sgd": SGD}, batch=32))]
    theirs = train(copy.deepcopy(start).train(), scaled(images), 32, OPTIMIZERS[0][2])
    return [
        Claim("training mode, all layers: loss, relative", relative_losses(output["losses"], theirs.losses), 1e-5),
        Claim("training mode, all layers: every gradient, relative", gradients(output, theirs), 1e-3),
        Claim("training mode, all layers: running statistics, relative", statistics(output, theirs), 1e-5),
    ]


def natural_training(folder: Path) -> Comparison:
    """Natural weights, where rounding shows: Ferrite is about as far from PyTorch in 64 bits as PyTorch in 32 is."""
    start = natural_mobilenet()
    weights = save_weights(start, folder / "natural.safetensors")
    images = faces(32, 64)
    [output] = yield [network_task(weights, {"images": images}, 64, train=training({"sgd": SGD}, batch=32))]
    short = train(copy.deepcopy(start).train(), scaled(images), 32, OPTIMIZERS[0][2])
    long = train(copy.deepcopy(start).double().train(), scaled(images).double(), 32, OPTIMIZERS[0][2])
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
    start = steady_mobilenet()
    weights = save_weights(start, folder / "frozen.safetensors")
    cases = [("features.16", "inference"), ("features.14.conv.1.0", "inference"), ("features.16", "batch-statistics")]
    images = faces(48, 64)
    outputs = yield [
        network_task(weights, {"images": images}, 64, train=training({"sgd": SGD}, until, 16, norms)) for until, norms in cases
    ]
    claims = []
    for (until, norms), output in zip(cases, outputs):
        model = freeze(copy.deepcopy(start), until, norms)
        theirs = train(model, scaled(images), 16, OPTIMIZERS[0][2])
        trained = {name for name, it in model.named_parameters() if it.requires_grad}
        title = f"trainable = `{until}`" + (", frozen norms see the batch" if norms != "inference" else "")
        claims.append(Claim(f"{title}: losses of 3 steps, relative", relative_losses(output["losses"], theirs.losses), 1e-4))
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


def optimizers(folder: Path) -> Comparison:
    start = steady_mobilenet()
    weights = save_weights(start, folder / "optimizers.safetensors")
    images = faces(5 * 32, 64)
    outputs = yield [network_task(weights, {"images": images}, 64, train=training(table, batch=32)) for _, table, _ in OPTIMIZERS]
    claims = []
    for (name, _, make), output in zip(OPTIMIZERS, outputs):
        theirs = train(copy.deepcopy(start).train(), scaled(images), 32, make)
        difference = relative_losses(output["losses"], theirs.losses)
        claims.append(Claim(f"losses of 5 steps of {name}, all layers, relative", difference, 1e-3))
    return claims


def toy_head(folder: Path) -> Comparison:
    """The optimizers by themselves: one linear layer on given features, so that rounding does not grow."""
    start = steady_mobilenet()
    weights = save_weights(start, folder / "toy.safetensors")
    features = torch.rand(50 * 8, 1, 1, 1280, generator=torch.Generator().manual_seed(3))
    outputs = yield [
        network_task(weights, {"features": features}, 48, train=training(table, "head", 8)) for _, table, _ in OPTIMIZERS
    ]
    claims = []
    for (name, _, make), output in zip(OPTIMIZERS, outputs):
        head = copy.deepcopy(start.classifier)
        theirs = train(head, features.flatten(1), 8, make)
        difference = relative_losses(output["losses"], theirs.losses)
        after = max(absolute(output[f"after.classifier.{key}"], it) for key, it in theirs.after.items())
        claims.append(Claim(f"losses of 50 steps of {name}, a linear layer, relative", difference, 1e-5))
        claims.append(Claim(f"weights after 50 steps of {name}, a linear layer", after, 1e-5))
    return claims


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
    model = with_head(steady_mobilenet(), sequential(1280, 64, 32))
    weights = save_weights(model, folder / "head.safetensors")
    images = faces(32, 64)
    features = torch.randn(32, 1, 1, 1280, generator=torch.Generator().manual_seed(5))
    settings = {"layers": [64, 32], "batch_norm": True}
    whole, alone, saved = yield [
        network_task(weights, {"images": images}, 64, settings),
        network_task(weights, {"features": features}, 64, settings, training({"adam": ADAM}, "head")),
        network_task(weights, {"images": images}, 64, settings, training({"adam": ADAM}), "saved.safetensors"),
    ]
    with torch.no_grad():
        logits = model(scaled(images))
    head = nn.Sequential(OrderedDict(classifier=copy.deepcopy(model.classifier)))
    theirs = train(head.train(), features.flatten(1), 16, OPTIMIZERS[1][2])
    loaded = copy.deepcopy(model)
    missing, unexpected = loaded.load_state_dict(load_file(folder / "saved.safetensors"), strict=False)
    strict = not unexpected and all(name.endswith(COUNTERS) for name in missing)
    with torch.no_grad():
        after = loaded.eval()(scaled(images))
    title = "a head with two hidden layers and batch norm"
    return [
        Claim(f"{title}: logits", absolute(whole["logits"], logits), 1e-4),
        Claim(f"{title}: losses of 2 steps, relative", relative_losses(alone["losses"], theirs.losses), 1e-5),
        Claim(f"{title}: every gradient, relative", gradients(alone, theirs), 1e-3),
        Claim(f"{title}: running statistics, relative", statistics(alone, theirs), 1e-5),
        Claim("a model that Ferrite trained and saved: PyTorch finds every tensor and no other", 0.0 if strict else math.inf, 0.0),
        Claim("a model that Ferrite trained and saved: its logits in PyTorch", absolute(saved["logits"], after), 1e-4),
    ]


def flattened(folder: Path) -> Comparison:
    """The head on every position: their order in the vector is PyTorch's."""
    torch.manual_seed(6)
    backbone = with_head(steady_mobilenet(), sequential(4 * 1280, 16))
    weights = save_weights(backbone, folder / "flat.safetensors")
    images = faces(16, 64)
    settings = {"pool": "flatten", "layers": [16], "batch_norm": True}
    [output] = yield [network_task(weights, {"images": images}, 64, settings)]
    with torch.no_grad():
        logits = Flattened(backbone).eval()(scaled(images))
    return [Claim("a head on all positions (`pool = \"flatten\"`): logits", absolute(output["logits"], logits), 1e-4)]


# ---------------------------------------------------------------------------------------------------
# Comparisons: augmentation


STILL: Dict[str, object] = {"flip": False, "rotation": 0.0, "shift": [0.0, 0.0], "zoom": [1.0, 1.0]}


def affine_task(images: Tensor, changes: List[Dict[str, object]], size: int) -> Task:
    return Task({"affine": {"size": size, "changes": [{**STILL, **change} for change in changes]}}, {"images": images})


def mixed_changes(count: int) -> List[Dict[str, object]]:
    random = numpy.random.default_rng(6)
    return [
        {
            "flip": bool(random.random() < 0.5),
            "rotation": random.uniform(-40, 40),
            "shift": list(random.uniform(-0.2, 0.2, 2)),
            "zoom": list(random.uniform(0.7, 1.3, 2)),
        }
        for _ in range(count)
    ]


def affine(folder: Path) -> Comparison:
    """Everything at once: as PyTorch samples Ferrite's matrices, and as SciPy moves the image by the settings."""
    images, changes = faces(12, 48), mixed_changes(12)
    same, larger = yield [affine_task(images, changes, 48), affine_task(images, changes, 96)]
    grids = [F.affine_grid(it["maps"], (12, 1, size, size), align_corners=False) for it, size in ((same, 48), (larger, 96))]
    sampled = [F.grid_sample(levels(images), grid, padding_mode="border", align_corners=False) for grid in grids]
    moved = torch.stack([moved_by_scipy(image, change) for image, change in zip(levels(images), changes)])
    return [
        Claim("augmentation 48 -> 48 px, gray levels, against grid_sample", absolute(same["images"], sampled[0]), 1e-3),
        Claim("augmentation 48 -> 96 px, gray levels, against grid_sample", absolute(larger["images"], sampled[1]), 1e-3),
        Claim("all geometry at once, gray levels, against scipy.ndimage", absolute(same["images"], moved), 1e-2),
    ]


def moved_by_scipy(image: Tensor, change: Dict[str, object]) -> Tensor:
    """The settings in pixels from the centre, rows first: flip, zoom about the centre, turn, shift."""
    size, angle = image.shape[-1], math.radians(change["rotation"])
    zoom_x, zoom_y = change["zoom"]
    mirror = -1 if change["flip"] else 1
    turn = numpy.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    matrix = turn @ numpy.diag([zoom_y, zoom_x * mirror])
    centre = numpy.full(2, (size - 1) / 2)
    shift = size * numpy.array(change["shift"][::-1])
    moved = scipy.ndimage.affine_transform(image[0].double().numpy(), matrix, centre + shift - matrix @ centre, order=1, mode="nearest")
    return torch.from_numpy(moved)[None]


def single_changes(folder: Path) -> Comparison:
    """Each setting by itself against a way to get the same picture that knows no matrix."""
    images = faces(2, 48)
    changes = [{"flip": True}, {"rotation": 90.0}, {"rotation": 20.0}, {"shift": [0.25, -0.125]}, {"zoom": [0.5, 0.5]}]
    outputs = yield [affine_task(images, [change] * 2, 48) for change in changes]
    flip, quarter, turn, shift, zoom = (output["images"] for output in outputs)
    x = levels(images)
    turned = torchvision.transforms.functional.rotate(x, 20.0, torchvision.transforms.InterpolationMode.BILINEAR)
    shifted = F.pad(x, (12, 12, 6, 6), mode="replicate")[:, :, 0:48, 24:72]
    zoomed = F.interpolate(x[:, :, 12:36, 12:36], (48, 48), mode="bilinear", align_corners=False)
    inner, edgeless = (..., slice(12, 36), slice(12, 36)), (..., slice(1, 47), slice(1, 47))
    return [
        Claim("flip = left and right swapped, gray levels", absolute(flip, x.flip(3)), 1e-3),
        Claim("rotation = 90: a quarter turn counter-clockwise, gray levels", absolute(quarter, torch.rot90(x, 1, (2, 3))), 1e-2),
        Claim("rotation = 20: torchvision's rotate by 20 degrees, inner pixels", absolute(turn[inner], turned[inner]), 1e-2),
        Claim("shift = [0.25, -0.125]: 12 px to the left, 6 px down, edges replicated", absolute(shift, shifted), 1e-2),
        Claim("zoom = 0.5: the inner half at twice the size, all but its edge", absolute(zoom[edgeless], zoomed[edgeless]), 1e-2),
    ]


# ---------------------------------------------------------------------------------------------------
# Comparisons: training


def cached_features(folder: Path) -> Comparison:
    """Ferrite against itself, in its own training loop with dropout: the frozen prefix once, or in every step."""
    weights = save_weights(steady_mobilenet(), folder / "cached.safetensors")
    head = {"layers": [], "dropout": 0.3}
    layers = ["head", "features.16"]
    stages = [{"trainable": it, "epochs": 3, "batch_size": 16, "optimizer": {"adam": ADAM}} for it in layers]
    outputs = yield [
        Task({"cached": {"weights": weights, "head": head, "image_size": 48, "faces": 96, "stage": stage}}, {}) for stage in stages
    ]
    return [
        Claim(
            f"cached features, trainable = `{it}`: losses of 3 epochs as without a cache, relative",
            relative_losses(output["cached"], output["uncached"]),
            1e-5,
        )
        for it, output in zip(layers, outputs)
    ]


def cosine(folder: Path) -> Comparison:
    lr, steps = 0.1, 60
    [output] = yield [Task({"cosine": {"lr": lr, "steps": steps}}, {})]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    difference = absolute(output["rates"], torch.tensor(rates, dtype=torch.float64))
    return [Claim("cosine schedule, 60 steps, against CosineAnnealingLR", difference, 1e-9)]


def scores(folder: Path) -> Comparison:
    """Random predictions, some right; a class that nobody has or guesses, and one that is never guessed."""
    random = numpy.random.default_rng(7)
    truths = random.integers(0, 6, 500)
    guesses = numpy.where(random.random(500) < 0.6, truths, random.integers(0, 6, 500))
    guesses[guesses == 5] = 4
    tensors = {"truths": torch.from_numpy(truths).byte(), "guesses": torch.from_numpy(guesses).byte()}
    [output] = yield [Task({"scores": {"classes": CLASSES}}, tensors)]
    expected = {
        "accuracy": [metrics.accuracy_score(truths, guesses)],
        "macro_f1": [metrics.f1_score(truths, guesses, average="macro", zero_division=0)],
        "balanced_accuracy": [metrics.balanced_accuracy_score(truths, guesses)],
        "classes": numpy.stack(
            metrics.precision_recall_fscore_support(truths, guesses, labels=range(CLASSES), zero_division=0)[:3], axis=1
        ).flatten(),
    }
    titles = {"macro_f1": "macro F1", "balanced_accuracy": "balanced accuracy", "classes": "precision, recall and F1 of each class"}
    return [
        Claim(f"{titles.get(name, name)} against scikit-learn", absolute(output[name], torch.tensor(numpy.array(it))), 1e-12)
        for name, it in expected.items()
    ]


COMPARISONS: List[Callable[[Path], Comparison]] = [
    inference,
    resize,
    scaling,
    full_training,
    natural_training,
    frozen,
    optimizers,
    toy_head,
    heads,
    flattened,
    affine,
    single_changes,
    cached_features,
    cosine,
    scores,
]


if __name__ == "__main__":
    sys.exit(main())
