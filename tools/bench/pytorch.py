"""PyTorch's side of the benchmark: does the work that it is asked for, a round at a time.

The same protocol as `crates/engine/examples/bench`: the work is named on the command line as JSON, a line says that all is
prepared, then a round is done and told of for each line of the input.

This is what an experienced user would write: batches prepared in memory, the memory layout and the precision
that `mode` names, nothing else in the loop.
"""

import json
import sys
import time
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Tuple

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))

import torch
import torch.nn.functional as F
from images import CLASSES
from networks import plain
from torch import Tensor, nn
from turns import memory, turns


# Where everything happens.
DEVICE = torch.device("cpu")


def main() -> None:
    kind, setup = next(iter(json.loads(sys.argv[1]).items()))
    global DEVICE
    DEVICE = torch.device(setup["device"])
    torch.set_num_threads(setup["threads"])
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    {"step": train, "inference": infer, "frozen_stage": frozen_stage, "folder": folder}[kind](setup)


# ---------------------------------------------------------------------------------------------------
# Turns


def ready() -> None:
    turns({"ready": True, "mb": 0.0 if DEVICE.type == "cuda" else memory("VmRSS")})


def done(images: int, seconds: float, loss: float) -> bool:
    peak = torch.cuda.max_memory_reserved() / 2**20 if DEVICE.type == "cuda" else memory("VmHWM")
    return turns({"images_per_second": images / seconds, "loss": loss, "peak_mb": peak})


# ---------------------------------------------------------------------------------------------------
# Networks


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
    images = [torch.rand(shape, device=DEVICE) * 2 - 1 for _ in range(setup["batches"])]
    if setup["mode"] != "float32":
        images = [it.contiguous(memory_format=torch.channels_last) for it in images]
    return images


def prepared(model: nn.Module, mode: str) -> Callable[[Tensor], Tensor]:
    """The forward pass in a mode."""
    model.to(DEVICE)
    if mode != "float32":
        model.to(memory_format=torch.channels_last)
    if mode in ("float32", "channels_last"):
        return model
    half = mode.endswith("bfloat16")
    if mode.startswith("compiled"):
        inner = torch.compile(model)
    elif mode.startswith("graphs"):
        inner = torch.compile(model, mode="reduce-overhead")
    else:
        inner = model

    def forward(x: Tensor) -> Tensor:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=half):
            return inner(x)

    return forward


class Trainer:
    """A network and its optimizer, in the mode that is asked for."""

    def __init__(self, setup: Dict):
        model = plain(setup["backbone"]).train()
        if setup["trained"] is not None:
            freeze(model, setup["trained"])
        self.forward = prepared(model, setup["mode"])
        # On a GPU as one operation, which on the CPU is no faster.
        fused = True if DEVICE.type == "cuda" else None
        self.optimizer = torch.optim.Adam([it for it in model.parameters() if it.requires_grad], lr=1e-4, fused=fused)

    def epoch(self, data: Iterable[Tuple[Tensor, Tensor]]) -> float:
        """Steps over all of `data`; the mean loss."""
        losses = []
        for x, y in data:
            self.optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(self.forward(x).float(), y)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())


def labelled(setup: Dict) -> List[Tuple[Tensor, Tensor]]:
    return [(x, torch.randint(0, CLASSES, (len(x),), device=DEVICE)) for x in batches(setup)]


# ---------------------------------------------------------------------------------------------------
# Work


def train(setup: Dict) -> None:
    ready()
    trainer, data = Trainer(setup), labelled(setup)
    while True:
        began = time.perf_counter()
        loss = trainer.epoch(data)
        if not done(setup["batch"] * len(data), time.perf_counter() - began, loss):
            return


def frozen_stage(setup: Dict) -> None:
    """The usual loop: in every one of twenty epochs each image goes through the frozen network."""
    epochs = 20
    ready()
    data = labelled(setup)
    while True:
        trainer = Trainer(setup)
        began = time.perf_counter()
        for _ in range(epochs):
            loss = trainer.epoch(data)
        if not done(epochs * setup["batch"] * len(data), time.perf_counter() - began, loss):
            return


def infer(setup: Dict) -> None:
    ready()
    model = plain(setup["backbone"]).eval()
    forward = prepared(model, setup["mode"])
    images = batches(setup)
    with torch.inference_mode():
        while True:
            began = time.perf_counter()
            scores = [forward(x).float().softmax(1) for x in images]
            # Which waits for the device.
            most = float(scores[-1].max())
            if not done(setup["batch"] * len(images), time.perf_counter() - began, most):
                return


def folder(setup: Dict) -> None:
    """torchvision's folder of pictures, read by as many workers as `mode` says and brought to the network's size."""
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    seen = v2.Compose([v2.Resize((setup["size"], setup["size"])), v2.PILToTensor()])
    workers = int(setup["mode"].split()[0])
    ready()
    while True:
        began = time.perf_counter()
        images = sum(len(x) for x, _ in torch.utils.data.DataLoader(ImageFolder(setup["path"], seen), 64, num_workers=workers))
        if not done(images, time.perf_counter() - began, 0.0):
            return


if __name__ == "__main__":
    main()
