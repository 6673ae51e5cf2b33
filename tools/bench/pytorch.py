"""PyTorch's side of the benchmark: does the work that it is asked for, a round at a time.

The same protocol as `examples/bench`: the work is named on the command line as JSON, a line says that all is
prepared, then a round is done and told of for each line of the input.

This is what an experienced user would write: batches prepared in memory, the memory layout and the precision
that `mode` names, nothing else in the loop.
"""

import json
import sys
import time
from typing import Callable, Dict, List

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 7


def main() -> None:
    kind, setup = next(iter(json.loads(sys.argv[1]).items()))
    torch.set_num_threads(setup["threads"])
    torch.manual_seed(0)
    {"step": train, "inference": infer, "frozen_stage": frozen_stage}[kind](setup)


# ---------------------------------------------------------------------------------------------------
# Turns


def turns(figures: Dict) -> bool:
    """Gives the figures and waits for the next turn; whether there is one."""
    print(json.dumps(figures), flush=True)
    return bool(sys.stdin.readline())


def memory(line: str) -> float:
    """A line of what Linux says about this process's memory, in MB."""
    with open("/proc/self/status") as status:
        return next(int(it.split()[1]) / 1024 for it in status if it.startswith(line + ":"))


def ready() -> None:
    turns({"ready": True, "mb": memory("VmRSS")})


def done(images: int, seconds: float, loss: float) -> bool:
    return turns({"images_per_second": images / seconds, "loss": loss, "peak_mb": memory("VmHWM")})


# ---------------------------------------------------------------------------------------------------
# Networks


def network(backbone: str) -> nn.Module:
    """The backbone, global average pooling, and one linear layer."""
    import torchvision

    if backbone == "xception":
        import timm

        return timm.create_model("legacy_xception", num_classes=CLASSES)
    if backbone == "mobilenet_v2":
        return torchvision.models.mobilenet_v2(num_classes=CLASSES, dropout=0.0)
    if backbone == "resnet50":
        return torchvision.models.resnet50(num_classes=CLASSES)
    model = getattr(torchvision.models, backbone)(weights=None, init_weights=False)
    model.avgpool, model.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, CLASSES)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return model


def freeze(model: nn.Module, trained: List[str]) -> None:
    """Only what begins with one of these names trains; norms that do not train are in inference mode."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(name.startswith(it) for it in trained))
    for layer in model.modules():
        own = list(layer.parameters(recurse=False))
        if isinstance(layer, nn.BatchNorm2d) and not own[0].requires_grad:
            layer.eval()


def batches(setup: Dict) -> List[Tensor]:
    shape = (setup["batch"], 3, setup["size"], setup["size"])
    images = [torch.rand(shape) * 2 - 1 for _ in range(setup["batches"])]
    if setup["mode"] != "float32":
        images = [it.contiguous(memory_format=torch.channels_last) for it in images]
    return images


def prepared(model: nn.Module, mode: str) -> Callable[[Tensor], Tensor]:
    """The forward pass in a mode."""
    if mode != "float32":
        model.to(memory_format=torch.channels_last)
    if mode in ("float32", "channels_last"):
        return model
    half = mode.endswith("bfloat16")
    inner = torch.compile(model) if mode.startswith("compiled") else model

    def forward(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return inner(x)

    return forward


# ---------------------------------------------------------------------------------------------------
# Work


def train(setup: Dict) -> None:
    ready()
    model = network(setup["backbone"]).train()
    if setup["trained"] is not None:
        freeze(model, setup["trained"])
    forward = prepared(model, setup["mode"])
    optimizer = torch.optim.Adam([it for it in model.parameters() if it.requires_grad], lr=1e-4)
    images = batches(setup)
    labels = [torch.randint(0, CLASSES, (setup["batch"],)) for _ in images]
    while True:
        began, total = time.perf_counter(), torch.zeros(())
        for x, y in zip(images, labels):
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(forward(x).float(), y)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        loss = float(total) / len(images)
        if not done(setup["batch"] * len(images), time.perf_counter() - began, loss):
            return


def infer(setup: Dict) -> None:
    ready()
    model = network(setup["backbone"]).eval()
    forward = prepared(model, setup["mode"])
    images = batches(setup)
    with torch.inference_mode():
        while True:
            began = time.perf_counter()
            scores = [forward(x).float().softmax(1) for x in images]
            if not done(setup["batch"] * len(images), time.perf_counter() - began, float(scores[-1].max())):
                return


def frozen_stage(setup: Dict) -> None:
    """The usual loop: in every one of twenty epochs each image goes through the frozen network."""
    epochs = 20
    ready()
    images = batches(setup)
    labels = [torch.randint(0, CLASSES, (setup["batch"],)) for _ in images]
    while True:
        model = network(setup["backbone"]).train()
        freeze(model, setup["trained"])
        forward = prepared(model, setup["mode"])
        optimizer = torch.optim.Adam([it for it in model.parameters() if it.requires_grad], lr=1e-4)
        began = time.perf_counter()
        for _ in range(epochs):
            for x, y in zip(images, labels):
                optimizer.zero_grad(set_to_none=True)
                loss = F.cross_entropy(forward(x).float(), y)
                loss.backward()
                optimizer.step()
        if not done(epochs * setup["batch"] * len(images), time.perf_counter() - began, float(loss)):
            return


if __name__ == "__main__":
    main()
