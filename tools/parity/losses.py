"""The loss and its gradient against PyTorch's cross_entropy: smoothing, class weights, soft and mixed labels."""

import itertools
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import torch
import torch.nn.functional as F
from exchange import Claim, Comparison, relative, relative_values
from images import CLASSES, labels
from networks import natural, network_task, save_tensors, stage
from torch import Tensor

IMAGES, FEATURES = 48, 1280
CLASS_WEIGHTS = [0.5, 2.0, 1.0, 0.25, 3.0, 1.5, 0.75]


class Case(NamedTuple):
    smoothing: float
    weights: object
    labels: str


def cross_entropy(folder: Path) -> Comparison:
    """The gradient of the logits: image i has a 1 at feature i alone, so column i of the layer's weight is its logits."""
    random = torch.Generator().manual_seed(12)
    logits = 3 * torch.randn(IMAGES, CLASSES, generator=random)
    shares = torch.rand(IMAGES, CLASSES, generator=random).softmax(1)
    partners = torch.randperm(IMAGES, generator=random)
    weight = torch.zeros(CLASSES, FEATURES)
    weight[:, :IMAGES] = logits.T
    tensors = {**natural("mobilenet_v2").state_dict(), "classifier.1.weight": weight, "classifier.1.bias": torch.zeros(CLASSES)}
    file = save_tensors(tensors, folder / "losses.safetensors")
    features = torch.eye(IMAGES, FEATURES).reshape(IMAGES, 1, 1, FEATURES)
    kinds = ["one class", "soft", "mixed", "soft and mixed"]
    cases = [Case(*it) for it in itertools.product([0.0, 0.1], ["none", CLASS_WEIGHTS, "balanced"], kinds)]
    own = 0.3
    tasks = []
    for it in cases:
        table = {"label_smoothing": it.smoothing, "class_weights": it.weights}
        inputs = {"features": features, **({"shares": shares} if "soft" in it.labels else {})}
        mix = {"partners": partners.tolist(), "own": own} if "mixed" in it.labels else None
        tasks.append(network_task(file, inputs, 48, stage=stage({"sgd": {"lr": 0.1}}, "head", IMAGES, loss=table), mix=mix))
    outputs = yield tasks
    values: Dict[str, List[float]] = {kind: [] for kind in kinds}
    gradients: Dict[str, List[float]] = {kind: [] for kind in kinds}
    for it, output in zip(cases, outputs):
        x = logits.clone().requires_grad_()
        loss = expected_loss(x, it, shares, partners, own)
        loss.backward()
        gradient = output["gradient.classifier.1.weight"][:, :IMAGES].T
        values[it.labels].append(relative_values(output["losses"][0], loss.detach().double()))
        gradients[it.labels].append(relative(gradient, x.grad))
    settings = "with and without smoothing, class weights none, given and balanced"
    claims = []
    for kind in kinds:
        title = f"cross_entropy, {kind} labels, {settings}"
        claims.append(Claim(f"{title}: value, relative", max(values[kind]), 1e-6))
        claims.append(Claim(f"{title}: gradient of the logits, relative", max(gradients[kind]), 1e-5))
    return claims


def expected_loss(logits: Tensor, case: Case, shares: Tensor, partners: Tensor, own: float) -> Tensor:
    """Mixed labels as the mixup paper's code has them: two losses, weighted; they are equal to a mixed target."""
    classes = labels(IMAGES).long()
    weights = class_weights(case.weights, classes)
    options = {"weight": weights, "label_smoothing": case.smoothing}
    if "mixed" not in case.labels:
        return F.cross_entropy(logits, shares if case.labels == "soft" else classes, **options)
    # As distributions, so that class weights divide by the number of images.
    rows = shares if "soft" in case.labels else F.one_hot(classes, CLASSES).float()
    return own * F.cross_entropy(logits, rows, **options) + (1 - own) * F.cross_entropy(logits, rows[partners], **options)


def class_weights(setting: object, classes: Tensor) -> Optional[Tensor]:
    if setting == "none":
        return None
    if setting == "balanced":
        return len(classes) / (CLASSES * torch.bincount(classes, minlength=CLASSES).clamp(min=1))
    return torch.tensor(setting)


COMPARISONS = {"cross_entropy": cross_entropy}
