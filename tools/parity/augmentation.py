"""Augmentation against torchvision, SciPy and Keras; views of a test image against torchvision."""

import math
from pathlib import Path
from typing import Dict, List

import numpy
import scipy.ndimage
import scipy.stats
import torch
import torch.nn.functional as F
from exchange import Claim, Comparison, Task, absolute
from images import faces, labels, levels
from keras.src.legacy.preprocessing.image import apply_affine_transform
from networks import natural, save_weights
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

STILL: Dict[str, object] = {"flip": False, "rotation": 0.0, "shift": [0.0, 0.0], "shear": 0.0, "zoom": [1.0, 1.0], "window": [0.0, 0.0, 1.0]}
INNER, EDGELESS = (..., slice(12, 36), slice(12, 36)), (..., slice(1, 47), slice(1, 47))


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
    turned = v2.functional.rotate(x, 20.0, InterpolationMode.BILINEAR)
    shifted = F.pad(x, (12, 12, 6, 6), mode="replicate")[:, :, 0:48, 24:72]
    zoomed = F.interpolate(x[:, :, 12:36, 12:36], (48, 48), mode="bilinear", align_corners=False)
    return [
        Claim("flip = left and right swapped, gray levels", absolute(flip, x.flip(3)), 1e-3),
        Claim("rotation = 90: a quarter turn counter-clockwise, gray levels", absolute(quarter, torch.rot90(x, 1, (2, 3))), 1e-2),
        Claim("rotation = 20: torchvision's rotate by 20 degrees, inner pixels", absolute(turn[INNER], turned[INNER]), 1e-2),
        Claim("shift = [0.25, -0.125]: 12 px to the left, 6 px down, edges replicated", absolute(shift, shifted), 1e-2),
        Claim("zoom = 0.5: the inner half at twice the size, all but its edge", absolute(zoom[EDGELESS], zoomed[EDGELESS]), 1e-2),
    ]


def keras_geometry(folder: Path) -> Comparison:
    """Rotation, shear and zoom as Keras's ImageDataGenerator has them, edges replicated."""
    images = faces(8, 48)
    random = numpy.random.default_rng(16)
    shears = [{"shear": angle} for angle in (10.0, -25.0, 40.0, 0.2, 60.0, -5.0, 15.0, 30.0)]
    mixed = [
        {"rotation": random.uniform(-40, 40), "shear": random.uniform(-30, 30), "zoom": list(random.uniform(0.7, 1.3, 2))} for _ in range(8)
    ]
    outputs = yield [affine_task(images, changes, 48) for changes in (shears, mixed)]
    titles = ["shear", "rotation, shear and zoom"]
    claims = []
    for title, changes, output in zip(titles, (shears, mixed), outputs):
        moved = torch.stack([moved_by_keras(image, change) for image, change in zip(levels(images), changes)])
        claims.append(Claim(f"{title}, gray levels, against Keras's apply_affine_transform", absolute(output["images"], moved), 1e-2))
    return claims


def moved_by_keras(image: Tensor, change: Dict[str, object]) -> Tensor:
    zoom_x, zoom_y = change.get("zoom", [1.0, 1.0])
    moved = apply_affine_transform(
        image.double().numpy(),
        theta=change.get("rotation", 0.0),
        shear=change["shear"],
        zx=zoom_x,
        zy=zoom_y,
        row_axis=1,
        col_axis=2,
        channel_axis=0,
        fill_mode="nearest",
        order=1,
    )
    return torch.from_numpy(moved)


def torchvision_geometry(folder: Path) -> Comparison:
    """A joint zoom as RandomAffine's scale; a crop as RandomCrop's of the picture at four thirds of its size."""
    images = faces(3, 48)
    left, top = 9, 5
    changes = [{"zoom": [0.8, 0.8]}, {"window": [left / 64, top / 64, 0.75]}]
    zoomed, cropped = yield [affine_task(images, [it] * 3, 48) for it in changes]
    x = levels(images)
    larger = v2.functional.affine(x, 0.0, [0, 0], 1 / 0.8, [0.0, 0.0], InterpolationMode.BILINEAR)
    window = v2.functional.crop(v2.functional.resize(x, [64, 64], antialias=False), top, left, 48, 48)
    return [
        Claim("joint zoom of 0.8, gray levels, against torchvision's affine, all but the edge", absolute(zoomed["images"][EDGELESS], larger[EDGELESS]), 1e-2),
        Claim("crop of 0.75, gray levels, against torchvision's crop of a larger picture", absolute(cropped["images"], window), 1e-2),
    ]


def light(folder: Path) -> Comparison:
    """Brightness and contrast, with factors at which many values are clipped."""
    factors = [0.3, 0.8, 1.0, 1.3, 2.5]
    cases = [(kind, channels) for kind in ("brightness", "contrast") for channels in (1, 3)]
    images = {channels: faces(len(factors), 48, channels=channels) for channels in (1, 3)}
    outputs = yield [Task({"light": {"light": kind, "factors": factors}}, {"images": images[channels]}) for kind, channels in cases]
    claims = []
    for (kind, channels), output in zip(cases, outputs):
        adjust = getattr(v2.functional, f"adjust_{kind}")
        expected = torch.stack([255 * adjust(x / 255, factor) for x, factor in zip(levels(images[channels]), factors)])
        what = f"{kind} of {'gray' if channels == 1 else 'RGB'} images, gray levels, against torchvision's adjust_{kind}"
        claims.append(Claim(what, absolute(output["images"], expected), 1e-2))
    return claims


VIEWED = 20
RANGES = {"rotation": 30.0, "shift": 0.1, "shear": 12.0, "zoom": 0.2, "brightness": [0.7, 1.2], "contrast": [0.6, 1.5], "crop": 0.8}
DRAWS = 4000


def draws(folder: Path) -> Comparison:
    """What is drawn is uniform in its range, by the Kolmogorov-Smirnov test at one in a thousand."""
    tables = [{**RANGES, "flip": 0.3, "zoom_axes": axes} for axes in ("independent", "joint")]
    own, joint = yield [Task({"draws": {"augment": it, "count": DRAWS}}) for it in tables]
    spans = {
        "rotation": (-30, 30),
        "shift_x": (-0.1, 0.1),
        "shift_y": (-0.1, 0.1),
        "shear": (-12, 12),
        "zoom_x": (0.8, 1.2),
        "zoom_y": (0.8, 1.2),
        "left": (0, 0.2),
        "top": (0, 0.2),
        "brightness": (0.7, 1.2),
        "contrast": (0.6, 1.5),
    }
    limit = scipy.stats.kstwo.isf(1e-3, DRAWS)
    claims = [
        Claim(f"{name} as drawn {DRAWS} times: distance from uniform in {low}..{high}", uniform_distance(own[name], low, high), limit)
        for name, (low, high) in spans.items()
    ]
    correlation = abs(numpy.corrcoef(own["zoom_x"], own["zoom_y"])[0, 1])
    return claims + [
        Claim("flip = 0.3 as drawn, in standard errors", abs(own["flip"].mean().item() - 0.3) / math.sqrt(0.21 / DRAWS), 3.5),
        Claim("zoom of each axis by itself: correlation of the two as drawn", correlation, 3.5 / math.sqrt(DRAWS)),
        Claim("zoom_axes = joint: difference of the two as drawn", absolute(joint["zoom_x"], joint["zoom_y"]), 0.0),
    ]


def uniform_distance(values: Tensor, low: float, high: float) -> float:
    return scipy.stats.kstest(values.numpy(), scipy.stats.uniform(low, high - low).cdf).statistic


def views(folder: Path) -> Comparison:
    """The final evaluation over views of each image, from a FER2013 table to the probabilities."""
    model = natural("mobilenet_v2")
    weights = save_weights(model, folder / "views.safetensors")
    images, truths = faces(VIEWED, 48), labels(VIEWED)
    rows = [f"{int(label)},{' '.join(map(str, image.flatten().tolist()))},PublicTest" for label, image in zip(truths, images)]
    training = [row.replace("PublicTest", "Training") for row in rows]
    (folder / "views.csv").write_text("\n".join(["emotion,pixels,Usage", *training, *rows]) + "\n")
    kinds = {"plain": "plain", "flip": "flip", "ten-crop of 0.75": {"ten_crop": {"size": 0.75}}}
    outputs = yield [Task({"views": {"weights": weights, "image_size": 48, "csv": "views.csv", "views": it}}) for it in kinds.values()]
    x = levels(images)
    # The window's pixels are those of a picture at four thirds of the size.
    ten = v2.TenCrop(48)(v2.functional.resize(x, [64, 64], antialias=False))
    expected = [[x], [x, v2.functional.horizontal_flip(x)], ten]
    claims = []
    for name, output, them in zip(kinds, outputs, expected):
        with torch.no_grad():
            mean = torch.stack([model((it / 127.5 - 1).expand(-1, 3, -1, -1)).double().softmax(1) for it in them]).mean(0)
        loss = F.nll_loss(mean.log(), truths.long())
        title = f"views = {name}, against the mean softmax of torchvision's views"
        claims.append(Claim(f"{title}: probabilities", absolute(output["probabilities"], mean), 1e-5))
        claims.append(Claim(f"{title}: loss", absolute(output["loss"], loss[None]), 1e-5))
    return claims


COMPARISONS = {it.__name__: it for it in (affine, single_changes, keras_geometry, torchvision_geometry, light, draws, views)}
