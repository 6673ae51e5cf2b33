"""Networks of finished runs in onnxruntime and in PyTorch, held against what the runs themselves said of their test images.

All backbones, heads of every kind and every scaling of pixels, with weights as training left them.
"""

import csv
import json
import subprocess
from pathlib import Path
from typing import Dict, List, NamedTuple

import numpy
import study
from study import Place, Wrong, same

# Settings beside the backbone: `[model.head]` and others.
HEADS = {
    "plain": "",
    "hidden": "dropout = 0.2\nlayers = [24, 16]\nbatch_norm = true",
    "flatten": 'pool = "flatten"\ndropout = 0.2',
    "hidden_flatten": 'pool = "flatten"\nlayers = [16]',
}
CASES = [
    ("vgg16", "plain", False),
    ("vgg16_bn", "hidden", True),
    ("vgg19", "flatten", False),
    ("resnet18", "hidden_flatten", True),
    ("resnet34", "flatten", False),
    ("resnet50", "hidden", False),
    ("mobilenet_v2", "plain", True),
    ("mobilenet_v2", "flatten", False),
    ("efficientnet_b0", "flatten", False),
    ("efficientnet_b0", "hidden", False),
    ("convnext_tiny", "plain", False),
    ("convnext_tiny", "flatten", False),
    ("xception", "plain", False),
    ("xception", "hidden_flatten", True),
]
EXPERIMENT = """[data]
source = {{ folder = {{ path = "{pictures}", classes = {classes} }} }}
image_size = {size}
[model]
backbone = "{backbone}"
precision = "f32"
input_norm = {input_norm}
[model.head]
{head}
[[stages]]
name = "all"
trainable = "all"
epochs = 2
batch_size = 4
optimizer = {{ adam = {{ lr = {rate} }} }}
"""
# Predictions have six decimals.
ONNX_NEAR = 1e-5
TORCH_NEAR = 1e-4


class Network(NamedTuple):
    name: str
    folder: Path
    ids: List[str]
    expected: numpy.ndarray


def check(place: Place, torch: Path, pictures: Path = None) -> int:
    (place.root / "experiments/rates.toml").unlink(missing_ok=True)
    if pictures is None:
        pictures = place.root / "pictures"
        if not pictures.exists():
            place.run("data", "draw", str(pictures), "--each", "8")
    classes = json.dumps(sorted(it.name for it in pictures.iterdir() if it.is_dir()))
    values, worst = 0, {"onnx": 0.0, "torch": 0.0}
    for backbone, head, norm in CASES:
        # Pictures of 48 pixels are enlarged; Xception takes none of less than 71.
        size = 72 if backbone == "xception" else 56
        # Without batch norms long steps leave a network that says the same of every picture.
        rate = 1e-5 if backbone in ("vgg16", "vgg19") else 3e-4
        text = EXPERIMENT.format(pictures=pictures.resolve(), classes=classes, size=size, rate=rate, backbone=backbone, head=HEADS[head], input_norm=str(norm).lower())
        (place.root / f"experiments/{backbone}-{head}.toml").write_text(text)
        place.run("sweep", f"{backbone}-{head}", "--quiet", "--jobs", "1")
        network = trained(place, f"{backbone}-{head}")
        values += near(network, "onnx", by_onnxruntime(place, network, pictures), ONNX_NEAR, worst)
        values += near(network, "torch", by_torch(place, network, pictures, torch), TORCH_NEAR, worst)
    print(f"the farthest from a run's own predictions: {worst}", flush=True)
    said = place.run("export", "onnx", "mobilenet_v2-nothing", "--out", "none.onnx", code=2)
    return values + same("what is no run", "there is no run" in said, True)


def trained(place: Place, experiment: str) -> Network:
    (folder,) = (it.parent for it in (place.root / "runs" / experiment).glob("*/predictions.csv"))
    with open(folder / "predictions.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    probabilities = numpy.array([[float(it) for it in row[3:]] for row in rows])
    return Network(str(folder.relative_to(place.root / "runs")), folder, [row[0] for row in rows], probabilities)


def near(network: Network, what: str, found: numpy.ndarray, most: float, worst: Dict[str, float]) -> int:
    distance = float(numpy.abs(found - network.expected).max())
    worst[what] = max(worst[what], distance)
    spread = float(network.expected.std(axis=0).max())
    if not distance <= most:
        raise Wrong(f"{what}: {network.name} is {distance:.2e} from its own predictions")
    if spread < 10 * ONNX_NEAR:
        raise Wrong(f"{network.name} says the same of every picture, so that this shows nothing")
    return found.size


def by_onnxruntime(place: Place, network: Network, pictures: Path) -> numpy.ndarray:
    import onnx
    import onnxruntime
    from PIL import Image

    path = place.root / f"{network.name.replace('/', '_')}.onnx"
    place.run("export", "onnx", network.name, "--out", str(path))
    before = path.read_bytes()
    place.run("export", "onnx", network.name, "--out", str(path))
    same("the same export again", path.read_bytes(), before)
    onnx.checker.check_model(str(path), full_check=True)
    # What its optimizer puts together rounds otherwise, from which networks that were hardly trained make 1e-5 more.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    mode = {1: "L", 3: "RGB"}[given.shape[1]]
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    same("the classes", classes, sorted(it.name for it in pictures.iterdir() if it.is_dir()))
    images = [numpy.asarray(Image.open(pictures / it).convert(mode), numpy.float32) for it in network.ids]
    batch = numpy.stack([it.reshape(*it.shape[:2], -1).transpose(2, 0, 1) for it in images])
    logits, together = session.run(["logits", "probabilities"], {"image": batch})
    # The number of pictures is free, and what is said of one does not depend on the others.
    alone = numpy.concatenate([session.run(["probabilities"], {"image": it[None]})[0] for it in batch[:5]])
    numpy.testing.assert_allclose(alone, together[:5], atol=1e-6)
    shifted = numpy.exp(logits - logits.max(axis=1, keepdims=True))
    numpy.testing.assert_allclose(shifted / shifted.sum(axis=1, keepdims=True), together, atol=1e-6)
    return together


def by_torch(place: Place, network: Network, pictures: Path, torch: Path) -> numpy.ndarray:
    folder = place.root / f"{network.name.replace('/', '_')}-torch"
    place.run("export", "torch", network.name, "--out", str(folder))
    command = [str(torch), str(folder / "load.py"), *(str(pictures / it) for it in network.ids)]
    done = subprocess.run(command, capture_output=True, text=True, env={**place.environment, "OMP_NUM_THREADS": "1"})
    if done.returncode != 0:
        raise Wrong(f"the script of {network.name} fails: {done.stderr[-800:]}")
    rows = [line.split(" ")[-network.expected.shape[1] :] for line in done.stdout.splitlines()]
    return numpy.array([[float(it.split("=")[1]) for it in row] for row in rows])
