"""Converts a uint8 array to a model's input: augments (training only) and normalises."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.data.prepare import ImageSize, Preparation
from harness.util.user_code import calling, returned

Augment = Callable[[Tensor], Tensor]  # (C, H, W) uint8 -> (C, H, W) uint8

# Mean and standard deviation per channel of ImageNet's training images, from 0 to 1; torchvision's weights expect them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Transform:
    """How a decoded image is converted to a model's input. It has plain values, and is stored in the checkpoint.

    Attributes:
        preparation: How an image is converted to an array.
        mean: Mean per channel, for values from 0 to 1.
        std: Standard deviation per channel.
    """

    preparation: Preparation
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        """Uses the average over three channels to normalise a grey image."""
        if self.preparation.channels == 1 and len(self.mean) == 3:
            object.__setattr__(self, "mean", (sum(self.mean) / 3,))
            object.__setattr__(self, "std", (sum(self.std) / 3,))

    @property
    def image_size(self) -> ImageSize:
        return self.preparation.image_size

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a model's input."""
        return self.preparation.shape

    def normalise(self, images: Tensor) -> Tensor:
        """Normalises (B, C, H, W) uint8 to float32, with `mean` and `std`. The device and the memory order stay."""
        values = torch.tensor((self.mean, self.std), dtype=torch.float32, device=images.device)
        mean, std = values.view(2, -1, 1, 1)
        return torch.addcmul(-mean / std, images, 1 / (255 * std))  # one pass over the images instead of four

    def picture(self, inputs: Tensor) -> Tensor:
        """Undoes `normalise`: (B, C, H, W) float32 to uint8 images, for display."""
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return inputs.mul(std).add_(mean).mul_(255).round_().clamp_(0, 255).to(torch.uint8)

    def to_dict(self) -> dict[str, Any]:
        return self.preparation.to_dict() | {"mean": list(self.mean), "std": list(self.std)}


def augmentation(kind: str | Augment | None, preparation: Preparation) -> Augment | None:
    """The function for "flip" or "standard". A user's function is returned unchanged."""
    if kind is None or callable(kind):
        return kind
    from torchvision.transforms import v2

    if kind == "flip":
        return v2.RandomHorizontalFlip()  # type: ignore[no-any-return]
    return v2.Compose(  # type: ignore[no-any-return]
        [
            v2.RandomResizedCrop((preparation.height, preparation.width), scale=(0.5, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2),
        ]
    )


@contextlib.contextmanager
def seeded(*parts: int) -> Iterator[None]:
    """Seeds the global random generators of torch, numpy and Python with `parts`, and restores them afterwards.

    So the random numbers of an augmentation depend only on (seed, epoch, index), in any process and in any order.
    """
    words = np.random.SeedSequence(parts).generate_state(4)
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        torch.default_generator.manual_seed(int(words[0]) << 32 | int(words[1]))
        np.random.seed(words)
        random.seed(words.tobytes())
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def augmented(augment: Augment, image: Tensor, preparation: Preparation) -> Tensor:
    """Augments an image and resizes it to the (C, H, W) of the preparation, uint8.

    Raises UserCodeError if the augmentation fails or does not return an image.
    """
    with calling("augment", augment):
        result = augment(image)
    channels, height, width = preparation.shape
    if not _is_image(result, channels):
        raise returned("augment", augment, result, f"a uint8 tensor ({channels}, H, W)")
    if result.shape[1:] == (height, width):
        return result
    from torchvision.transforms.v2 import functional

    resized: Tensor = functional.resize(result, [height, width], antialias=True)
    return resized


def _is_image(value: Any, channels: int) -> bool:
    if not isinstance(value, Tensor) or value.is_meta or value.dtype != torch.uint8:
        return False
    return value.ndim == 3 and value.shape[0] == channels and value.numel() > 0
