"""Images, labels, and how networks read them."""

from typing import Callable, Dict, Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import Normalize

CLASSES = 7


def faces(count: int, size: int, seed: int = 1, channels: int = 1) -> Tensor:
    """Smooth gray images with some noise, as bytes: [count, size, size, channels]."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 6, 6, generator=random)
    smooth = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    noisy = smooth + 0.1 * torch.randn(smooth.shape, generator=random)
    return (255 * noisy).clamp(0, 255).byte().permute(0, 2, 3, 1)


def labels(count: int) -> Tensor:
    return torch.randint(CLASSES, (count,), generator=torch.Generator().manual_seed(2)).byte()


def levels(images: Tensor) -> Tensor:
    """Images as floats 0-255, channels first."""
    return images.permute(0, 3, 1, 2).float()


def scaled(images: Tensor, size: Optional[int] = None) -> Tensor:
    """Images as a network reads them: within -1..1, three channels, at `size`.

    Multiplied and not divided, which rounds as Ferrite does: the last bit of a pixel can decide between two nearly
    equal values of a max pooling, and with it where a gradient goes.
    """
    x = levels(images) * (1 / 127.5) - 1
    if size is not None:
        x = F.interpolate(x, (size, size), mode="bilinear", align_corners=False)
    return x.expand(-1, 3, -1, -1)


def caffe(x: Tensor) -> Tensor:
    """Ferrite's images are RGB; Caffe's networks read BGR."""
    return x.flip(1) - torch.tensor([103.939, 116.779, 123.68]).reshape(1, 3, 1, 1)


IMAGENET = Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
# By Ferrite's name, how RGB gray levels become a network's input.
SCALINGS: Dict[str, Callable[[Tensor], Tensor]] = {
    "plus-minus-one": lambda x: x / 127.5 - 1,
    "torchvision": lambda x: IMAGENET(x / 255),
    "caffe": caffe,
}
