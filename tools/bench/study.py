"""PyTorch's side of the study: its eleven experiments, one after another, as an experienced user's script.

Images lie in memory, resized and scaled once; channels last; bfloat16 where the processor has it; Adam in one kernel;
no gradients for what is frozen; Keras's plateau and early stopping. In every epoch each image goes through the whole
network. Nothing is written to disk, and of the study's two checkpoints only the one on the validation loss is kept,
both in PyTorch's favour.

bfloat16 holds for MobileNetV2, too: where everything trains float32 is faster, but most of it is frozen here, and
without gradients it runs 1.4 to 1.6 times as fast in bfloat16.

The job is named on the command line as JSON. A line of JSON says how each experiment ended.
"""

import json
import math
import sys
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))

import numpy
import torch
import torch.nn.functional as F
from images import CLASSES, SCALINGS, levels
from networks import plain
from pytorch import freeze
from safetensors.torch import load_file
from torch import Tensor, nn

BATCH = 64
INFERENCE_BATCH = 128
RATE, EPSILON = 1e-4, 1e-7
DROPOUT = 0.5
# Epochs without a better validation loss: after so many Keras lowers the rate, and after so many it stops.
LOWER_AFTER, STOP_AFTER = 5, 10
NOISE = 0.1
SIDE = 48
USAGES = ["Training", "PrivateTest", "PublicTest"]


class Experiment(NamedTuple):
    backbone: str
    size: int = SIDE
    # The last six layers as Keras counts them train too, under a larger head with batch norms.
    modified: bool = False
    noise: bool = False
    # A batch norm in front of the noise, which is then in its units and else in gray levels.
    input_norm: bool = False
    seed: int = 0


EXPERIMENTS = {
    "mobilenetv2-frozen": Experiment("mobilenet_v2", 96),
    "mobilenetv2-last6": Experiment("mobilenet_v2", 96, modified=True),
    "resnet50-frozen": Experiment("resnet50"),
    "vgg16-face": Experiment("vgg16", modified=True, seed=1),
    "vgg16-frozen": Experiment("vgg16"),
    "vgg16-input-norm-noise": Experiment("vgg16", modified=True, noise=True, input_norm=True),
    "vgg16-last6": Experiment("vgg16", modified=True),
    "vgg16-noise": Experiment("vgg16", modified=True, noise=True),
    "vgg16-noise-face": Experiment("vgg16", modified=True, noise=True, seed=1),
    "vgg19-last6": Experiment("vgg19", modified=True),
    "xception-frozen": Experiment("xception", 71),
}
# Keras's last six layers, within torchvision's `features`.
LAST_SIX = {
    "vgg16": ["21.", "24.", "26.", "28."],
    "vgg19": ["28.", "30.", "32.", "34."],
    "mobilenet_v2": ["17.conv.2.", "17.conv.3.", "18."],
}


def main() -> None:
    job = json.loads(sys.argv[1])
    table = read(Path(job["csv"]))
    for name, experiment in EXPERIMENTS.items():
        began = time.time()
        outcome = carry_out(experiment, job, table)
        print(json.dumps({"name": name, "began": began, "ended": time.time(), **outcome}), flush=True)


# ---------------------------------------------------------------------------------------------------
# Data

# Images and labels.
Split = Tuple[Tensor, Tensor]


def read(path: Path) -> List[Split]:
    """The images of each split as bytes: [count, side, side, 1]."""
    splits: Dict[str, Tuple[List[numpy.ndarray], List[int]]] = {it: ([], []) for it in USAGES}
    with path.open() as file:
        next(file)
        for line in file:
            emotion, pixels, usage = line.rstrip("\n").split(",")
            images, labels = splits[usage]
            images.append(numpy.fromstring(pixels, numpy.uint8, sep=" "))
            labels.append(int(emotion))
    return [(torch.from_numpy(numpy.stack(images)).reshape(-1, SIDE, SIDE, 1), torch.tensor(labels)) for images, labels in splits.values()]


def prepared(images: Tensor, size: int, scaling: str) -> Tensor:
    """What the network reads: [count, 3, size, size]."""
    x = levels(images)
    if size != SIDE:
        x = F.interpolate(x, (size, size), mode="bilinear", align_corners=False)
    return SCALINGS[scaling](x.expand(-1, 3, -1, -1)).contiguous(memory_format=torch.channels_last)


# ---------------------------------------------------------------------------------------------------
# Networks


class Noise(nn.Module):
    """Keras's GaussianNoise, with a deviation for each channel."""

    def __init__(self, std: Tensor):
        super().__init__()
        self.register_buffer("std", std)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.std * torch.randn_like(x) if self.training else x


def network(experiment: Experiment, weights: Dict[str, str]) -> nn.Sequential:
    """What stands in front of the backbone, the backbone, the head. What is frozen asks for no gradient."""
    model = backbone(experiment.backbone, Path(weights["path"])).eval()
    with torch.no_grad():
        shape = model(torch.zeros(1, 3, experiment.size, experiment.size)).shape[1:]
    train_mode(experiment, model)
    head = modified_head(shape.numel()) if experiment.modified else frozen_head(shape[0])
    return nn.Sequential(*front(experiment, weights["input"]), model, head)


def backbone(name: str, path: Path) -> nn.Module:
    """Feature maps of `name`, with the weights in `path`."""
    model = plain(name)
    tensors = {key: it for key, it in load_file(path).items() if not key.startswith(("classifier.", "fc."))}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected and all(it.startswith(("classifier.", "fc.")) or it.endswith("tracked") for it in missing)
    if name == "xception":
        model.reset_classifier(0, "")
        return model
    return nn.Sequential(*list(model.children())[:-2]) if name == "resnet50" else model.features


def front(experiment: Experiment, scaling: str) -> List[nn.Module]:
    if experiment.input_norm:
        return [nn.BatchNorm2d(3), Noise(torch.tensor(NOISE))]
    if experiment.noise:
        level = torch.ones(1, 3, 1, 1)
        return [Noise(NOISE * (SCALINGS[scaling](level) - SCALINGS[scaling](0 * level)).abs())]
    return []


def frozen_head(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *hidden(channels, 1024), *hidden(1024, 1024), nn.Linear(1024, CLASSES))


def modified_head(values: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), *hidden(values, 1024, norm=True), *hidden(1024, 512, norm=True), nn.Linear(512, CLASSES))


def hidden(values: int, width: int, norm: bool = False) -> List[nn.Module]:
    return [nn.Linear(values, width), nn.ReLU(), *([nn.BatchNorm1d(width)] if norm else []), nn.Dropout(DROPOUT)]


def train_mode(experiment: Experiment, model: nn.Module) -> None:
    """Training mode for the backbone `model`, but for the batch norms that are frozen."""
    model.train()
    freeze(model, LAST_SIX[experiment.backbone] if experiment.modified else [])


# ---------------------------------------------------------------------------------------------------
# Training


def carry_out(experiment: Experiment, job: Dict, table: List[Split]) -> Dict[str, float]:
    torch.manual_seed(experiment.seed)
    weights = job["weights"][experiment.backbone]
    half = job["bfloat16"]
    train, valid, test = [(prepared(images, experiment.size, weights["input"]), labels) for images, labels in table]
    model = network(experiment, weights).to(memory_format=torch.channels_last)
    trained = [it for it in model.parameters() if it.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=RATE, eps=EPSILON, fused=True)
    # PyTorch lowers the rate one epoch later than Keras with the same patience.
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=LOWER_AFTER - 1, threshold=1e-4, threshold_mode="abs")
    best, waited = math.inf, 0
    for epoch in range(1, job["epochs"] + 1):
        train_epoch(experiment, model, optimizer, train, half)
        loss, _ = scores(model, valid, half)
        plateau.step(loss)
        waited += 1
        if loss < best:
            best, best_epoch, waited = loss, epoch, 0
            kept = {name: it.clone() for name, it in model.state_dict().items()}
        if waited >= STOP_AFTER:
            break
    model.load_state_dict(kept)
    return {
        "epochs": epoch,
        "best_epoch": best_epoch,
        "valid_loss": best,
        "test_accuracy": scores(model, test, half)[1],
        "trained": sum(it.numel() for it in trained),
    }


def train_epoch(experiment: Experiment, model: nn.Sequential, optimizer: torch.optim.Optimizer, split: Split, half: bool) -> None:
    model.train()
    train_mode(experiment, model[-2])
    images, labels = split
    for chosen in torch.randperm(len(images)).split(BATCH):
        x = images[chosen].contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = model(x)
        F.cross_entropy(logits.float(), labels[chosen]).backward()
        optimizer.step()


@torch.inference_mode()
def scores(model: nn.Module, split: Split, half: bool) -> Tuple[float, float]:
    """Loss and accuracy."""
    model.eval()
    images, labels = split
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits = torch.cat([model(x) for x in images.split(INFERENCE_BATCH)]).float()
    return F.cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).double().mean().item()


if __name__ == "__main__":
    main()
