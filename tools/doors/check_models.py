"""Networks of finished runs in onnxruntime, PyTorch and Keras, held against what the runs themselves said of their test images.

All backbones, heads of every kind and every scaling of pixels, gray and in colour, with weights as training left them.
"""

import csv
import json
import os
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


class Case(NamedTuple):
    backbone: str
    head: str
    input_norm: bool = False
    # Whether it begins with weights that Keras wrote, and so is Keras's network.
    from_keras: bool = False
    colours: bool = False

    @property
    def name(self) -> str:
        return "-".join([self.backbone, self.head, *(["keras"] if self.from_keras else []), *(["colours"] if self.colours else [])])


CASES = [
    Case("vgg16", "plain"),
    Case("vgg16_bn", "hidden", True),
    Case("vgg19", "flatten"),
    Case("resnet18", "hidden_flatten", True),
    Case("resnet34", "flatten"),
    Case("resnet50", "hidden"),
    Case("mobilenet_v2", "plain", True),
    Case("mobilenet_v2", "flatten"),
    Case("efficientnet_b0", "flatten"),
    Case("efficientnet_b0", "hidden"),
    Case("convnext_tiny", "plain"),
    Case("convnext_tiny", "flatten"),
    Case("xception", "plain"),
    Case("xception", "hidden_flatten", True),
    Case("resnet50", "hidden_flatten", from_keras=True, colours=True),
    Case("resnet50", "plain", True, from_keras=True),
    Case("mobilenet_v2", "flatten", from_keras=True, colours=True),
    Case("mobilenet_v2", "hidden", from_keras=True),
    Case("xception", "hidden", from_keras=True, colours=True),
    Case("xception", "flatten", from_keras=True),
]


class Network(NamedTuple):
    name: str
    folder: Path
    ids: List[str]
    expected: numpy.ndarray


# What Keras calls its networks, of which those of VGG are PyTorch's as well.
APPLICATIONS = {"vgg16": "VGG16", "vgg19": "VGG19", "resnet50": "ResNet50", "mobilenet_v2": "MobileNetV2", "xception": "Xception"}
EXPERIMENT = """[data]
source = {{ folder = {{ path = "{pictures}", classes = {classes} }} }}
image_size = {size}
[model]
backbone = "{backbone}"
precision = "f32"
input_norm = {input_norm}
{weights}
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
NEAR = {"onnx": 1e-5, "torch": 1e-4, "keras": 1e-5}


def check(place: Place, torch: Path, pictures: Path = None) -> int:
    (place.root / "experiments/rates.toml").unlink(missing_ok=True)
    if pictures is None:
        pictures = place.root / "pictures"
        if not pictures.exists():
            place.run("data", "draw", str(pictures), "--each", "8")
    tinted = place.root / "tinted"
    if not tinted.exists():
        tint(pictures, tinted)
    classes = json.dumps(sorted(it.name for it in pictures.iterdir() if it.is_dir()))
    values, worst = 0, dict.fromkeys(NEAR, 0.0)
    for case in CASES:
        seen = (tinted if case.colours else pictures).resolve()
        # Pictures of 48 pixels are enlarged; Xception takes none of less than 71.
        size = 72 if case.backbone == "xception" else 56
        # Without batch norms, and with Keras's, whose statistics follow slowly, long steps leave a network that says the same
        # of every picture.
        rate = 1e-5 if case.from_keras or case.backbone in ("vgg16", "vgg19") else 3e-4
        weights = f'weights = {{ file = {{ path = "{by_keras(torch, case, place, tinted)}" }} }}' if case.from_keras else ""
        settings = {"pictures": seen, "classes": classes, "size": size, "rate": rate, "weights": weights}
        text = EXPERIMENT.format(**settings, backbone=case.backbone, head=HEADS[case.head], input_norm=str(case.input_norm).lower())
        (place.root / f"experiments/{case.name}.toml").write_text(text)
        place.run("sweep", case.name, "--quiet", "--jobs", "1")
        network = trained(place, case.name)
        values += near(network, "onnx", by_onnxruntime(place, network, seen), worst)
        values += whose(place, case, network, seen, torch, worst)
    print(f"the farthest from a run's own predictions: {worst}", flush=True)
    said = place.run("export", "onnx", "mobilenet_v2-nothing", "--out", "none.onnx", code=2)
    return values + same("what is no run", "there is no run" in said, True)


def whose(place: Place, case: Case, network: Network, seen: Path, torch: Path, worst: Dict[str, float]) -> int:
    """Holds the exports for PyTorch and Keras against the run; each refuses a network that is the other's."""
    values = 0
    everywhere = case.backbone in ("vgg16", "vgg19")
    if everywhere or not case.from_keras:
        values += near(network, "torch", by_torch(place, network, seen, torch), worst)
    else:
        said = place.run("export", "torch", network.name, "--out", "refused", code=2)
        values += same("what is Keras's", "export keras" in " ".join(said.split()), True)
    if everywhere or case.from_keras:
        values += near(network, "keras", in_keras(place, case, network, seen, torch), worst)
    else:
        said = place.run("export", "keras", network.name, "--out", "refused.keras", code=2)
        values += same("what is PyTorch's", "export torch" in " ".join(said.split()), True)
    return values


def tint(pictures: Path, into: Path) -> None:
    """The same faces in colours, of which each class has others."""
    from PIL import Image

    for index, folder in enumerate(sorted(it for it in pictures.iterdir() if it.is_dir())):
        (into / folder.name).mkdir(parents=True)
        for at, file in enumerate(sorted(folder.iterdir())):
            gray = numpy.asarray(Image.open(file).convert("L"), float)
            shares = [1 - 0.06 * index, 1 - 0.03 * (at % 5), 0.4 + 0.08 * index]
            Image.fromarray(numpy.stack([gray * it for it in shares], axis=2).astype(numpy.uint8)).save(into / folder.name / f"{file.stem}.png")


def trained(place: Place, experiment: str) -> Network:
    (folder,) = (it.parent for it in (place.root / "runs" / experiment).glob("*/predictions.csv"))
    with open(folder / "predictions.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    probabilities = numpy.array([[float(it) for it in row[3:]] for row in rows])
    return Network(str(folder.relative_to(place.root / "runs")), folder, [row[0] for row in rows], probabilities)


def near(network: Network, what: str, found: numpy.ndarray, worst: Dict[str, float]) -> int:
    distance = float(numpy.abs(found - network.expected).max())
    worst[what] = max(worst[what], distance)
    spread = float(network.expected.std(axis=0).max())
    if not distance <= NEAR[what]:
        raise Wrong(f"{what}: {network.name} is {distance:.2e} from its own predictions")
    if spread < 10 * NEAR["onnx"]:
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


def by_keras(torch: Path, case: Case, place: Place, pictures: Path) -> Path:
    """Weights that Keras drew and saved."""
    path = place.root / f"{case.backbone}.weights.h5"
    if not path.exists():
        keras(torch, "--weights", str(path), APPLICATIONS[case.backbone], *(str(it) for it in sorted(pictures.glob("*/000.*"))))
    return path


def keras(torch: Path, *words: str) -> str:
    command = [str(torch), str(Path(__file__).with_name("by_keras.py")), *words]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode != 0:
        raise Wrong(f"Keras refuses {words[0]}: {done.stderr[-800:]}")
    return done.stdout


def in_keras(place: Place, case: Case, network: Network, pictures: Path, torch: Path) -> numpy.ndarray:
    path = place.root / f"{network.name.replace('/', '_')}.keras"
    place.run("export", "keras", network.name, "--out", str(path))
    before = path.read_bytes()
    place.run("export", "keras", network.name, "--out", str(path))
    same("the same export again", path.read_bytes(), before)
    told = json.loads(keras(torch, str(path), APPLICATIONS[case.backbone], *(str(pictures / it) for it in network.ids)).splitlines()[-1])
    same(f"whether the layers of {network.name} are Keras's", told["layers_are_keras_s"], True)
    same("the classes", told["metadata"]["classes"], sorted(it.name for it in pictures.iterdir() if it.is_dir()))
    # What is exported can begin another run.
    said = place.run("weights", "inspect", str(path), "--backbone", case.backbone)
    same("whether all of the backbone is in it", "missing" not in said, True)
    return numpy.array(told["probabilities"])
