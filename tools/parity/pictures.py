"""Files of pictures as a network sees them, against Pillow and torchvision."""

from pathlib import Path
from typing import List

import torch
from exchange import Claim, Comparison, Task, absolute
from images import faces
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

SIZE = 48
# RAF-DB, JAFFE, CK+ and KDEF have their pictures in these sizes; the others are smaller, wider and higher than the network's.
SIZES = [(100, 100), (256, 256), (640, 490), (562, 762), (48, 48), (30, 30), (49, 49), (20, 90), (300, 31)]
MODES = ["L", "RGB", "RGBA", "LA", "P", "1"]
LOSSLESS = {"png": {}, "bmp": {}, "tiff": {"compression": "tiff_lzw"}, "webp": {"lossless": True, "exact": True}}


def picture(index: int, width: int, height: int) -> Image.Image:
    square = faces(1, max(width, height), seed=index + 3, channels=3)[0]
    return Image.fromarray(square[:height, :width].contiguous().numpy())


def written(folder: Path, index: int, image: Image.Image, kind: str, options: dict) -> str:
    name = f"picture-{index}-{image.width}x{image.height}.{kind}"
    image.save(folder / name, **options)
    return name


def seen(folder: Path, name: str, mode: str) -> Tensor:
    """Square pictures that are no larger are enlarged as floats, all others brought to the size as bytes."""
    image = v2.functional.pil_to_tensor(Image.open(folder / name).convert(mode))
    if image.shape[1] == image.shape[2] <= SIZE:
        return v2.functional.resize(image.float(), [SIZE, SIZE], InterpolationMode.BILINEAR, antialias=True)
    return v2.functional.resize(image, [SIZE, SIZE], InterpolationMode.BILINEAR, antialias=True).float()


def sizes_and_kinds(folder: Path) -> Comparison:
    """Every size and kind of pixels in every lossless format, seen in colour and in gray."""
    names: List[str] = []
    for mode in MODES:
        for kind, options in LOSSLESS.items():
            if (kind, mode) in {("bmp", "RGBA"), ("bmp", "LA"), ("webp", "P"), ("webp", "1"), ("webp", "L"), ("webp", "LA"), ("tiff", "P"), ("tiff", "1"), ("tiff", "LA")}:
                continue  # Pillow does not write it, or Ferrite does not read it
            names += [written(folder, len(names) + at, picture(at, *size).convert(mode), kind, options) for at, size in enumerate(SIZES)]
    colour, gray = yield [Task({"files": {"files": names, "size": SIZE, "gray": it}}) for it in (False, True)]
    claims = []
    for title, output, mode in (("in colour", colour, "RGB"), ("in gray", gray, "L")):
        expected = torch.stack([seen(folder, name, mode) for name in names])
        claims.append(Claim(f"{len(names)} files of {len(SIZES)} sizes {title}, gray levels, against Pillow and v2.Resize(antialias=True)", absolute(output["seen"], expected), 1.0))
    return claims


def jpeg(folder: Path) -> Comparison:
    """JPEG decoders differ where colours are kept at half the size."""
    options = [{"quality": 90, "subsampling": 0}, {"quality": 75, "subsampling": 2}, {"quality": 85, "subsampling": 0, "progressive": True}]
    groups = [[written(folder, 1000 + 100 * group + at, picture(at, *size), "jpg", option) for at, size in enumerate(SIZES)] for group, option in enumerate(options)]
    outputs = yield [Task({"files": {"files": names, "size": SIZE, "gray": False}}) for names in groups]
    claims = []
    for names, output, option in zip(groups, outputs, options):
        expected = torch.stack([seen(folder, name, "RGB") for name in names])
        what = "4:4:4" if option["subsampling"] == 0 else "4:2:0"
        kind = "progressive" if option.get("progressive") else "baseline"
        claims.append(Claim(f"{len(names)} {kind} JPEG files ({what}), mean difference in gray levels, against Pillow and v2.Resize", (output["seen"] - expected).abs().mean().item(), 0.5))
    return claims


COMPARISONS = {it.__name__: it for it in (sizes_and_kinds, jpeg)}
