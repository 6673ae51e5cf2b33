"""Hold training on a GPU against training on the processor: `make devices`, on a machine with a GPU.

The same small experiments run on both in 32 bits, and every epoch's losses must agree: the forward and backward passes of
four backbones, every optimizer, augmentation, mixing, clipping, averages, features that are kept, steps that are recorded.
Noise and dropout, whose numbers differ between the two by nature, must be new in every epoch and the same in every run on
the GPU, and a run that was stopped must go on as if it had not been.

Learning rates are small: training magnifies differences of rounding, those between two processors just as much.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List

COMMON = """[data]
source = {{ synthetic = {{ faces = 800 }} }}
image_size = {size}
[model]
backbone = "{backbone}"
precision = "{precision}"
{more}
"""
ALL_CHANGES = """[augment]
flip = 0.5
rotation = 10
shift = 0.1
shear = 5
zoom = 0.1
crop = 0.9
brightness = [0.8, 1.2]
contrast = [0.8, 1.2]
erase = 0.3
"""
STAGE = """[[stages]]
epochs = 3
batch_size = 32
trainable = "{trainable}"
optimizer = {optimizer}
{more}
"""


# Of each run on the processor.
THREADS = 4


class Experiment:
    def __init__(self, name: str, backbone: str, size: int, trainable: str, optimizer: str, stage: str = "", tables: str = "", precision: str = "f32", limit: float = 2e-3):
        self.name, self.limit = name, limit
        self.text = COMMON.format(size=size, backbone=backbone, precision=precision, more=tables) + STAGE.format(trainable=trainable, optimizer=optimizer, more=stage)


SAME = [
    Experiment("VGG16, everything changes the images, Adam", "vgg16", 48, "all", "{ adam = { lr = 1e-5 } }", tables=ALL_CHANGES),
    Experiment("MobileNetV2, mixed images, moving average, clipping, SGD", "mobilenet_v2", 48, "all", "{ sgd = { lr = 1e-4, momentum = 0.9, nesterov = true, weight_decay = 1e-4 } }", "mixup = 0.2\ncutmix = 1.0\nema = 0.9\nclip = { norm = 1.0 }\nschedule = \"cosine\""),
    Experiment("ResNet50, last stage on kept features, AdamW", "resnet50", 48, "layer4", "{ adamw = { lr = 1e-5 } }", "loss = { label_smoothing = 0.1, class_weights = \"balanced\" }"),
    Experiment("Xception, head under new changes of the images, RMSprop", "xception", 71, "head", "{ rmsprop = { lr = 1e-4, momentum = 0.9, centered = true } }", tables=ALL_CHANGES),
    Experiment("MobileNetV2, batch statistics where frozen, RAdam", "mobilenet_v2", 48, "features.17", "{ radam = { lr = 1e-4, weight_decay = 1e-4 } }", "sampling = \"balanced\"\nclip = { value = 0.01 }", tables="[batch_norm]\nfrozen_layers = \"batch-statistics\"\n"),
    Experiment("ResNet18, Muon on a cosine", "resnet18", 48, "all", "{ muon = { lr = 1e-4, adamw = { lr = 1e-5 } } }", "schedule = \"cosine\"\nclip = { norm = 1.0 }"),
    Experiment("ResNet18 in bfloat16, Muon", "resnet18", 48, "all", "{ muon = { lr = 1e-4, adamw = { lr = 1e-5 } } }", precision="bf16", limit=2e-2),
    Experiment("VGG16 in bfloat16, hidden layers", "vgg16", 48, "block5", "{ adam = { lr = 1e-5 } }", tables="[model.head]\nlayers = [256]\n", precision="bf16", limit=2e-2),
    Experiment("ResNet50 in bfloat16", "resnet50", 48, "all", "{ sgd = { lr = 1e-4 } }", precision="bf16", limit=2e-2),
]
STILL = Experiment("noise", "mobilenet_v2", 48, "all", "{ sgd = { lr = 1e-12 } }", tables="[model.head]\nlayers = [64]\ndropout = 0.5\n[noise]\ninput = { std = 0.5 }\nfeatures = { std = 0.1 }\n")
LONG = Experiment("resumed", "mobilenet_v2", 48, "all", "{ adam = { lr = 1e-5 } }", "ema = 0.9")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferrite", type=Path, default=Path("target/release/ferrite"), help="the program")
    parser.add_argument("--device", default="cuda", help="what is held against the processor (default: cuda)")
    arguments = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(arguments.ferrite.resolve(), Path(folder))
        # Most of the time is starting up, which some can do beside each other.
        pool = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // THREADS))
        both = [[pool.submit(runner.losses, it, device) for device in (arguments.device, "cpu")] for it in SAME]
        for experiment, pair in zip(SAME, both):
            ours, reference = (it.result() for it in pair)
            worst = apart(ours, reference)
            failed += not told(experiment.name, worst < experiment.limit, f"losses differ by {worst:.1e}, {experiment.limit:.0e} is allowed")
        pair = [pool.submit(runner.losses, STILL, arguments.device, again) for again in ("a", "b")]
        first, second = (it.result() for it in pair)
        worst = apart(first, second)
        failed += not told("noise and dropout are the same in every run", worst < 1e-5, f"losses differ by {worst:.1e}")
        training = first[::2]
        failed += not told("noise and dropout are new in every epoch", len(set(training)) == len(training), f"{training}")
        whole, resumed = runner.losses(LONG, arguments.device, "a"), runner.killed(LONG, arguments.device)
        worst = apart(whole, resumed)
        failed += not told("a run that was stopped goes on as if it had not been", worst < 1e-3, f"losses differ by {worst:.1e}")
    print(f"\n{failed} failed")
    return 1 if failed else 0


def apart(ours: List[float], theirs: List[float]) -> float:
    """The largest relative difference."""
    if not ours or len(ours) != len(theirs):
        return float("inf")
    return max(abs(a - b) / max(abs(b), 1e-6) for a, b in zip(ours, theirs))


def told(what: str, fine: bool, detail: str) -> bool:
    print(f"{'ok    ' if fine else 'FAILED'} {what}: {detail}", flush=True)
    return fine


class Runner:
    def __init__(self, ferrite: Path, folder: Path):
        self.ferrite, self.folder = ferrite, folder
        # Without it cuDNN rounds the products of 32-bit floats to 10 bits.
        self.environment = {**os.environ, "NVIDIA_TF32_OVERRIDE": "0"}

    def command(self, experiment: Experiment, device: str, again: str) -> List[str]:
        name = "".join(it if it.isalnum() else "-" for it in experiment.name.lower())
        file = self.folder / f"{name}.toml"
        file.write_text(experiment.text)
        runs = self.folder / f"runs-{device}-{again}-{name}"
        return [str(self.ferrite), "sweep", str(file), "--runs", str(runs), "--device", device, "--threads", str(THREADS), "--quiet"]

    def losses(self, experiment: Experiment, device: str, again: str = "") -> List[float]:
        """Training and validation loss of every epoch."""
        command = self.command(experiment, device, again)
        done = subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            print(done.stdout)
            return []
        (log,) = self.logs(command)
        events = [json.loads(it) for it in log.read_text().splitlines()]
        epochs: Dict[int, Dict] = {it["epoch"]: it for it in events if it["event"] == "epoch-ended"}
        return [it for epoch in epochs.values() for it in (epoch["train"]["loss"], epoch["valid"]["loss"])]

    @staticmethod
    def logs(command: List[str]) -> List[Path]:
        return list(Path(command[4]).glob("*/*/events.jsonl"))

    def killed(self, experiment: Experiment, device: str) -> List[float]:
        """The same of a run that is stopped after its first epoch, and carried out then."""
        command = self.command(experiment, device, "killed")
        process = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            time.sleep(0.02)
            if any("epoch-ended" in it.read_text() for it in self.logs(command)):
                process.send_signal(signal.SIGINT)
                break
        print(f"       (stopped with exit code {process.wait()})")
        return self.losses(experiment, device, "killed")


if __name__ == "__main__":
    sys.exit(main())
