"""Where networks look: Grad-CAM against hooks on torchvision's networks."""

from functools import partial
from pathlib import Path
from typing import Dict, List

import torch
import torch.nn.functional as F
from exchange import Claim, Comparison, Task, absolute
from images import CLASSES, faces, scaled
from networks import save_weights, steady
from torch import Tensor, nn

SIZE = 64
IMAGES = 12
# Blocks in the middle and at the end, by what Ferrite calls them, and the module whose output theirs is: VGG's blocks end behind
# the activation, or behind the pooling where one follows.
LAYERS: Dict[str, Dict[str, str]] = {
    "vgg16": {"features.21": "features.23", "features.26": "features.27", "features.28": "features.30"},
    "resnet18": {name: name for name in ("layer2.1", "layer3.1", "layer4.1")},
    "resnet50": {name: name for name in ("layer2.3", "layer3.2", "layer4.2")},
    "mobilenet_v2": {name: name for name in ("features.6", "features.13", "features.18")},
    "efficientnet_b0": {name: name for name in ("features.5.2", "features.8")},
}


def grad_cam(model: nn.Module, layers: List[str], x: Tensor, asked: Tensor) -> List[Tensor]:
    """Selvaraju et al. 2017, equations 1 and 2: feature maps weighed with their pooled gradients, and ReLU."""
    kept: Dict[str, Tensor] = {}

    def keep(layer: str, _: nn.Module, __: object, output: Tensor) -> Tensor:
        kept[layer] = output
        # What follows may work in place; on a copy it leaves the maps as they are.
        return output.clone()

    hooks = [model.get_submodule(it).register_forward_hook(partial(keep, it)) for it in layers]
    score = model(x).gather(1, asked[:, None]).sum()
    for hook in hooks:
        hook.remove()
    maps = [kept[it] for it in layers]
    gradients = torch.autograd.grad(score, maps)
    weighed = [(it.mean((2, 3), keepdim=True) * those).sum(1, keepdim=True) for it, those in zip(gradients, maps)]
    return [it.relu().detach() for it in weighed]


def normalized(maps: Tensor, like: Tensor) -> Tensor:
    """`maps` divided by the largest value of each of `like`."""
    return maps / like.amax((1, 2, 3), keepdim=True).clamp(min=1e-20)


def looks(name: str, folder: Path) -> Comparison:
    model, images = steady(name), faces(IMAGES, SIZE)
    asked = (torch.arange(IMAGES) * 3 + 1) % CLASSES
    blocks, layers = list(LAYERS[name]), list(LAYERS[name].values())
    setup = {
        "weights": save_weights(model, folder / f"{name}-explained.safetensors"),
        "backbone": name,
        "head": {"layers": []},
        "image_size": SIZE,
        "classes": CLASSES,
        "blocks": blocks,
    }
    [output] = yield [Task({"explain": setup}, {"images": images, "asked": asked.to(torch.uint8)})]
    small, large, shown = 0.0, 0.0, 0
    for block, maps in zip(blocks, grad_cam(model, layers, scaled(images), asked)):
        ours, enlarged = output[f"maps.{block}"], output[f"enlarged.{block}"]
        shown += int((maps.amax((1, 2, 3)) > 0).sum())
        small = max(small, absolute(normalized(ours, ours), normalized(maps, maps)))
        expected = F.interpolate(maps, (SIZE, SIZE), mode="bilinear", align_corners=False)
        large = max(large, absolute(normalized(enlarged, ours), normalized(expected, maps)))
    assert shown >= IMAGES, f"{name}: {shown} maps are not empty"
    what = f"{name}: Grad-CAM of {IMAGES} images behind {', '.join(blocks)}, {shown} maps that are not empty"
    return [
        Claim(f"{what}, each with 1 as its largest value", small, 1e-3),
        Claim(f"{name}: the same at the size of the images", large, 1e-3),
    ]


COMPARISONS = {name: partial(looks, name) for name in LAYERS}
