"""Measure Ferrite and PyTorch on the same work, alternately, on this machine: `make bench`.

Both sides do the same steps on as many images of the same size, with the same batch and threads. PyTorch does them in
each of several modes, as the version whose LibTorch Ferrite trains on and as the newest one, and the fastest of all is what
Ferrite is held against. Ferrite's rounds include making the
batches; PyTorch's are handed finished ones. Every figure is the median over rounds; memory is the peak of the process
above what its libraries take. Everything runs on the CPU, or with `--device cuda` the networks' steps on a GPU; memory is
then what LibTorch holds there.

The last part is no work of rounds: a sweep of the study's experiments, beside a script that carries them out with
PyTorch. It needs `data/fer2013.csv` and takes minutes.

The figures go to `target/bench.json`; parts that were not measured keep what stands there.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Tuple

import sides

PROGRAM = Path("target/release/examples/bench")
FERRITE = Path("target/release/ferrite")
RESULT = Path("target/bench.json")
BATCH = 64


class Backbone(NamedTuple):
    """The study's input size, and what trains in its last block: to Ferrite and to PyTorch."""

    size: int
    last: str
    trained: List[str]


BACKBONES = {
    "vgg16": Backbone(48, "block5", ["features.24", "features.26", "features.28", "classifier"]),
    "vgg16_bn": Backbone(48, "block5", ["features.34", "features.37", "features.40", "features.35", "features.38", "features.41", "classifier"]),
    "vgg19": Backbone(48, "block5", ["features.28", "features.30", "features.32", "features.34", "classifier"]),
    "resnet18": Backbone(48, "layer4", ["layer4", "fc"]),
    "resnet34": Backbone(48, "layer4", ["layer4", "fc"]),
    "resnet50": Backbone(48, "layer4", ["layer4", "fc"]),
    "mobilenet_v2": Backbone(96, "features.17", ["features.17", "features.18", "classifier"]),
    "efficientnet_b0": Backbone(96, "features.7", ["features.7", "features.8", "classifier"]),
    "convnext_tiny": Backbone(96, "features.7", ["features.7", "classifier"]),
    "xception": Backbone(71, "block13", ["block12", "conv3", "bn3", "conv4", "bn4", "fc"]),
}
STUDY = ["vgg16", "resnet50", "mobilenet_v2", "xception"]
# The version of the same LibTorch is that of this very Python, and the newest one is what a user would install today.
PYTHONS = {"same": Path(sys.executable), "newest": Path(".venv-newest/bin/python")}
MODES = ["float32", "channels_last", "bfloat16", "compiled", "compiled_bfloat16", "graphs_bfloat16"]
WORKS = ["step", "last", "frozen", "inference"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PART", action="append", choices=list(PARTS), help=f"only this part; may be repeated: {', '.join(PARTS)}")
    parser.add_argument("--backbone", action="append", choices=list(BACKBONES), help="only this backbone; may be repeated (default: the study's four)")
    parser.add_argument("--size", type=int, help="pixels a side (default: the study's)")
    parser.add_argument("--work", action="append", choices=WORKS, help="only this kind of step; may be repeated (default: step and inference)")
    parser.add_argument("--mode", action="append", choices=MODES, help="only this mode of PyTorch; may be repeated (default: all that this processor has)")
    parser.add_argument("--pytorch", action="append", choices=list(PYTHONS), help="only this version of PyTorch; may be repeated (default: both, on a GPU the same)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each side (default: 5)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where networks train; cuda wants a Python with PyTorch for CUDA (default: cpu)")
    parser.add_argument("--batch", type=int, default=64, help="images of a batch (default: 64)")
    parser.add_argument("--batches", type=int, help="batches of a round (default: those that take some seconds on a CPU)")
    parser.add_argument("--program", type=Path, default=PROGRAM, help="Ferrite's side (default: what `make bench` builds)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each side (default: all cores)")
    parser.add_argument("--study-images", type=int, default=2000, help="faces of the study's sweep (default: 2000)")
    parser.add_argument("--study-epochs", type=int, default=10, help="epochs of each of its experiments, at most (default: 10)")
    arguments = parser.parse_args()
    arguments.mode = arguments.mode or modes_of(arguments.device)
    arguments.pytorch = arguments.pytorch or (["same"] if arguments.device == "cuda" else list(PYTHONS))
    arguments.backbone = arguments.backbone or STUDY
    arguments.work = arguments.work or ["step", "inference"]
    figures = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    machine = {"processor": processor(), "threads": arguments.threads, "date": time.strftime("%Y-%m-%d")}
    figures["machine" if arguments.device == "cpu" else f"machine.{arguments.device}"] = machine
    for part in arguments.only or list(PARTS):
        PARTS[part](arguments, figures)
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(figures, indent=2) + "\n")
    print(RESULT)
    return 0


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((it.split(":")[1].strip() for it in lines if it.startswith("model name")), "unknown")


def modes_of(device: str) -> List[str]:
    """Without instructions for bfloat16, PyTorch emulates it and is ten times slower. CUDA graphs are for GPUs alone."""
    if device == "cuda":
        return MODES
    flags = Path("/proc/cpuinfo").read_text()
    has_bfloat16 = "avx512_bf16" in flags or "amx_bf16" in flags
    return [it for it in MODES if not it.startswith("graphs") and (has_bfloat16 or not it.endswith("bfloat16"))]


# ---------------------------------------------------------------------------------------------------
# Networks


def networks(arguments: argparse.Namespace, figures: Dict) -> None:
    for work in arguments.work:
        print(f"\n{work:10} {'':4} {'Ferrite':>9} {'best PyTorch':>24} {'ratio':>6}   memory of a step, MB")
        for name in arguments.backbone:
            size = arguments.size or BACKBONES[name].size
            measured = measure(work, name, size, arguments)
            ours = measured.pop(sides.OURS)
            best = max(measured, key=lambda it: measured[it].images_per_second)
            theirs = measured[best]
            ratio = ours.images_per_second / theirs.images_per_second
            memory = f"{ours.step_mb:5.0f} {theirs.step_mb:5.0f}"
            print(f"{name:12} {size:3} {ours.images_per_second:8.1f}  {best:>24} {theirs.images_per_second:8.1f} {ratio:6.2f}   {memory}", flush=True)
            usual = {"cpu": arguments.device, str(BACKBONES[name].size): str(size), str(BATCH): str(arguments.batch)}
            row = figures.setdefault(".".join([work, *(it for standard, it in usual.items() if it != standard)]), {})
            row[name] = {
                "ours_img_s": ours.images_per_second,
                "pytorch_best_img_s": theirs.images_per_second,
                "pytorch_best_mode": best,
                "ratio": ratio,
                "ours_peak_mb": ours.step_mb,
                "pytorch_peak_mb": theirs.step_mb,
                "ours_process_mb": ours.peak_mb,
                "pytorch_process_mb": theirs.peak_mb,
                "pytorch_img_s": {mode: it.images_per_second for mode, it in measured.items()},
            }


def measure(work: str, name: str, size: int, arguments: argparse.Namespace) -> Dict[str, sides.Measured]:
    backbone = BACKBONES[name]
    kind = "inference" if work == "inference" else "step"
    trained = {"last": backbone.trained, "frozen": [backbone.trained[-1]]}.get(work)
    setup = setup_of(work, name, size, arguments)
    both = [sides.ferrite(arguments.program, {kind: setup}, arguments.threads)]
    both += pytorch(kind, {**setup, "trained": trained}, arguments.mode, arguments)
    return sides.take_turns(both, arguments.rounds)


def pytorch(kind: str, setup: Dict, modes: List[str], arguments: argparse.Namespace) -> List[sides.Side]:
    """Every version in each of `modes`, by names such as `compiled` and `newest compiled`."""
    return [
        sides.pytorch(kind, setup, mode, arguments.threads, PYTHONS[version], mode if version == "same" else f"{version} {mode}")
        for version in arguments.pytorch
        for mode in modes
    ]


def setup_of(work: str, name: str, size: int, arguments: argparse.Namespace) -> Dict:
    """A round of Ferrite, in the words of crates/engine/examples/bench."""
    # A round takes some seconds.
    batches = arguments.batches or (2 if work == "step" else 6)
    trainable = {"last": BACKBONES[name].last, "frozen": "head"}.get(work, "all")
    return {
        "backbone": name,
        "size": size,
        "batch": arguments.batch,
        "batches": batches,
        "threads": arguments.threads,
        "device": arguments.device,
        "trainable": trainable,
    }


def precision(arguments: argparse.Namespace, figures: Dict) -> None:
    """Whether `precision = "auto"` is the faster choice on this machine: Ferrite against itself, by turns."""
    names = ["auto", "f32", "bf16"]
    for work in arguments.work:
        print(f"\n{work:10} {'':4}" + "".join(f"{it:>9}" for it in names) + "   auto to the faster one")
        for name in arguments.backbone:
            size = arguments.size or BACKBONES[name].size
            setup = setup_of(work, name, size, arguments)
            kind = "inference" if work == "inference" else "step"
            all_sides = [sides.ferrite(arguments.program, {kind: {**setup, "precision": it}}, arguments.threads) for it in names]
            for side, it in zip(all_sides, names):
                side.name = it
            speeds = {it: measured.images_per_second for it, measured in sides.take_turns(all_sides, arguments.rounds).items()}
            ratio = speeds["auto"] / max(speeds["f32"], speeds["bf16"])
            print(f"{name:12} {size:3} " + "".join(f"{speeds[it]:9.1f}" for it in names) + f"   {ratio:.2f}", flush=True)
            figures.setdefault(f"precision.{work}", {})[name] = {**speeds, "auto_to_the_faster": ratio}


def frozen_stage(arguments: argparse.Namespace, figures: Dict) -> None:
    """Twenty epochs of a head on the study's frozen MobileNetV2, from the images on."""
    backbone = BACKBONES["mobilenet_v2"]
    setup = {"backbone": "mobilenet_v2", "size": backbone.size, "batch": BATCH, "batches": 16, "threads": arguments.threads, "device": arguments.device}
    ours = sides.ferrite(arguments.program, {"frozen_stage": setup}, arguments.threads)
    # What is compiled pays for that only in longer stages.
    modes = [it for it in arguments.mode if not it.startswith(("compiled", "graphs"))] or ["channels_last"]
    theirs = pytorch("frozen_stage", {**setup, "trained": ["classifier"]}, modes, arguments)
    # A stage is long enough to need no warming up.
    measured = sides.take_turns([ours, *theirs], 2, warm_up=False)
    speeds = {name: it.images_per_second for name, it in measured.items()}
    best = max((it for it in speeds if it != ours.name), key=lambda it: speeds[it])
    ratio = speeds[ours.name] / speeds[best]
    print(f"\nfrozen stage of 20 epochs: {ratio:.1f} times as fast as the usual loop ({best})")
    figures["frozen_stage"] = {"ratio": ratio, **{f"{name}_img_s": it for name, it in speeds.items()}}


def pipeline(arguments: argparse.Namespace, figures: Dict) -> None:
    """What making batches with the study's augmentation takes of a training step, for the fastest network."""
    name = "mobilenet_v2"
    setup = {"backbone": name, "size": BACKBONES[name].size, "batch": BATCH, "batches": 4, "threads": arguments.threads, "device": arguments.device}
    both = [
        sides.ferrite(arguments.program, {"pipeline": setup}, arguments.threads),
        sides.ferrite(arguments.program, {"step": {**setup, "trainable": "all"}}, arguments.threads),
    ]
    both[0].name, both[1].name = "batches", "step"
    speeds = {name: it.images_per_second for name, it in sides.take_turns(both, arguments.rounds).items()}
    figures["augment_share"] = speeds["step"] / speeds["batches"]
    print(f"\naugmentation and batches: {100 * figures['augment_share']:.1f} % of a step of {name}")


# ---------------------------------------------------------------------------------------------------
# Data and sweeps


def csv(arguments: argparse.Namespace, figures: Dict) -> None:
    """A table of FER2013's shape and size, read and opened again."""
    import numpy

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fer2013.csv"
        numbers = numpy.array([str(it) for it in range(256)])
        random = numpy.random.default_rng(0)
        with path.open("w") as file:
            file.write("emotion,pixels,Usage\n")
            for row in range(35_887):
                usage = "Training" if row < 28_709 else "PublicTest" if row < 32_298 else "PrivateTest"
                file.write(f"{row % 7},{' '.join(numbers[random.integers(0, 256, 2304)])},{usage}\n")
        side = sides.ferrite(arguments.program, {"csv": {"path": str(path)}}, arguments.threads)
        rounds = [side.go() for _ in range(arguments.rounds)]
        side.close()
        megabytes = path.stat().st_size / 1e6
    figures["csv_parse_s"] = statistics.median(it["parse_s"] for it in rounds)
    figures["csv_reopen_s"] = statistics.median(it["reopen_s"] for it in rounds)
    print(f"\ntable of {megabytes:.0f} MB: read in {figures['csv_parse_s']:.2f} s, opened again in {1000 * figures['csv_reopen_s']:.1f} ms")


FOLDER_IMAGES = 30_000
FOLDER_SIDE = 100


def folder(arguments: argparse.Namespace, figures: Dict) -> None:
    """A folder of JPEG files of RAF-DB's size, read for a network of 48 pixels a side."""
    import numpy
    from PIL import Image

    classes = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    random = numpy.random.default_rng(0)
    with tempfile.TemporaryDirectory() as path:
        for index in range(FOLDER_IMAGES):
            place = Path(path) / classes[index % len(classes)] / f"{index:05d}.jpg"
            place.parent.mkdir(exist_ok=True)
            # Smooth with some noise, as photographs are.
            coarse = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=numpy.uint8))
            smooth = numpy.asarray(coarse.resize((FOLDER_SIDE, FOLDER_SIDE), Image.BICUBIC), dtype=numpy.int16)
            noisy = smooth + random.integers(-6, 7, smooth.shape, dtype=numpy.int16)
            Image.fromarray(noisy.clip(0, 255).astype(numpy.uint8)).save(place, quality=90)
        setup = {"path": path, "classes": classes, "size": 48}
        both = [sides.ferrite(arguments.program, {"folder": setup}, arguments.threads)]
        for workers in (0, arguments.threads):
            mode = f"{workers} workers"
            both += pytorch("folder", {**setup, "device": "cpu", "threads": arguments.threads}, [mode], arguments)
        speeds = {name: it.images_per_second for name, it in sides.take_turns(both, min(arguments.rounds, 3)).items()}
    best = max((it for it in speeds if it != sides.OURS), key=lambda it: speeds[it])
    ratio = speeds[sides.OURS] / speeds[best]
    figures["folder"] = {"ratio": ratio, **{f"{name}_img_s": it for name, it in speeds.items()}}
    print(f"\nfolder of {FOLDER_IMAGES:,} JPEG files: {speeds[sides.OURS]:.0f} images/s, ImageFolder with {best} {speeds[best]:.0f}, ratio {ratio:.2f}")


FACES = 2000


def faces(arguments: argparse.Namespace, figures: Dict) -> None:
    """Faces found in pictures of FER2013's size, enlarged to 224 pixels, beside OpenCV with the same network."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        subprocess.run([str(arguments.program), json.dumps({"draw_faces": {"pictures": str(pictures), "count": FACES}})], check=True)
        model = os.environ.get("FERRITE_DETECTOR") or ".detector/face_detection_yunet_2023mar.onnx"
        setup = {"pictures": str(pictures), "model": str(Path(model).resolve()), "side": 48, "size": 224, "threads": arguments.threads}
        both = [sides.ferrite(arguments.program, {"faces": setup}, arguments.threads)]
        both += [sides.opencv(setup, mode) for mode in ("threads", "one")]
        measured = sides.take_turns(both, arguments.rounds)
    speeds = {name: it.images_per_second for name, it in measured.items()}
    best = max((it for it in speeds if it != sides.OURS), key=lambda it: speeds[it])
    ratio = speeds[sides.OURS] / speeds[best]
    figures["faces"] = {"ratio": ratio, "ours_peak_mb": measured[sides.OURS].peak_mb, **{f"{name}_img_s": it for name, it in speeds.items()}}
    print(f"\nfaces in {FACES:,} pictures: {speeds[sides.OURS]:.0f} pictures/s, FaceDetectorYN ({best}) {speeds[best]:.0f}, ratio {ratio:.2f}")


TINY = """seeds = [{seeds}]
[data]
source = {{ synthetic = {{ faces = 60 }} }}
image_size = 32
[[stages]]
trainable = "head"
epochs = 1
"""


def sweep_of(folder: str, text: str) -> Tuple[List[str], Path]:
    """The command that sweeps the experiment `text`, and the folder of its runs."""
    experiment, runs = Path(folder) / "experiment.toml", Path(folder) / "runs"
    experiment.write_text(text)
    return [str(FERRITE.resolve()), "sweep", str(experiment), "--runs", str(runs), "--quiet"], runs


def noop(arguments: argparse.Namespace, figures: Dict) -> None:
    """A sweep of a hundred trials that are all finished."""
    with tempfile.TemporaryDirectory() as folder:
        command, _ = sweep_of(folder, TINY.format(seeds=", ".join(map(str, range(100)))))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = []
        for _ in range(max(arguments.rounds, 5)):
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - began)
    figures["noop_sweep_s"] = statistics.median(seconds)
    print(f"\nsweep of 100 finished trials: {figures['noop_sweep_s']:.2f} s")


LONGER = """[data]
source = { synthetic = { faces = 1200 } }
image_size = 48
[[stages]]
trainable = "all"
epochs = 8
"""


def bookkeeping(arguments: argparse.Namespace, figures: Dict) -> None:
    """What a run's events and checkpoints take of its training: the time between the epochs."""
    with tempfile.TemporaryDirectory() as folder:
        command, runs = sweep_of(folder, LONGER)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        lines = next(runs.glob("*/*/events.jsonl")).read_text().splitlines()
    events = [json.loads(it) for it in lines]
    epochs = [it for it in events if it["event"] == "epoch-ended"]
    trained = sum(it["seconds"] for it in epochs)
    ended = next(it for it in events if it["event"] == "stage-ended")
    passed = (ended["at_ms"] - epochs[0]["at_ms"]) / 1000 + epochs[0]["seconds"]
    figures["bookkeeping_share"] = (passed - trained) / passed
    print(f"\nevents and checkpoints: {100 * figures['bookkeeping_share']:.1f} % of {passed:.0f} s of training")


def study(arguments: argparse.Namespace, figures: Dict) -> None:
    # It loads PyTorch, which the other parts leave to their processes.
    import study_sweep

    study_sweep.measure(arguments, figures)


PARTS: Dict[str, Callable[[argparse.Namespace, Dict], None]] = {
    "networks": networks,
    "precision": precision,
    "frozen_stage": frozen_stage,
    "pipeline": pipeline,
    "csv": csv,
    "folder": folder,
    "faces": faces,
    "noop": noop,
    "bookkeeping": bookkeeping,
    "study": study,
}


if __name__ == "__main__":
    sys.exit(main())
