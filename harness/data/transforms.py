"""From a decoded image to what a model sees: resize, augment (training only), normalise."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from harness.util.user_code import calling, returned

Augment = Callable[[Tensor], Tensor]  # (3, H, W) uint8 -> (3, H, W) uint8

# Mean and standard deviation per channel of ImageNet's training images in 0..1, which torchvision's weights expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def resize(image: Image.Image, image_size: int) -> NDArray[np.uint8]:
    """A decoded image as (image_size, image_size, 3) uint8; bilinear and antialiased."""
    size = (image_size, image_size)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    return np.array(image)


@dataclass(frozen=True)
class Transform:
    """What a model's inputs went through. Plain values: it travels in the checkpoint."""

    image_size: int  # pixels; images are squares, whatever shape they had
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def normalise(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> float32 of mean 0 and deviation 1 per channel, by the mean and deviation above.

        It stays on its device, and in its order in memory.
        """
        mean, std = (torch.tensor(values, device=images.device).view(-1, 1, 1) for values in (self.mean, self.std))
        return torch.addcmul(-mean / std, images, 1 / (255 * std))  # one pass over the images instead of four

    def picture(self, inputs: Tensor) -> Tensor:
        """What `normalise` made, (B, 3, H, W), as uint8 images again, for people to look at."""
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return inputs.mul(std).add_(mean).mul_(255).round_().clamp_(0, 255).to(torch.uint8)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}


def augmentation(kind: str | Augment | None, image_size: int) -> Augment | None:
    """The function that "flip" or "standard" stands for; a function of the user's is returned as it is."""
    if kind is None or callable(kind):
        return kind
    from torchvision.transforms import v2

    if kind == "flip":
        return v2.RandomHorizontalFlip()  # type: ignore[no-any-return]
    return v2.Compose(  # type: ignore[no-any-return]
        [
            v2.RandomResizedCrop(image_size, scale=(0.5, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2),
        ]
    )


@contextlib.contextmanager
def seeded(*parts: int) -> Iterator[None]:
    """Within, torch's, numpy's and Python's global generators start from `parts`; afterwards they are as they were.

    So whatever an augmentation draws from is a function of (seed, epoch, index), in any process and in any order.
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


def augmented(augment: Augment, image: Tensor, image_size: int) -> Tensor:
    """What an augmentation makes of an image, resized to (3, image_size, image_size) uint8.

    Raises UserCodeError where it fails, or returns anything but an image.
    """
    with calling("augment", augment):
        result = augment(image)
    if not _is_image(result):
        raise returned("augment", augment, result, "a uint8 tensor (3, H, W)")
    if result.shape[1:] == (image_size, image_size):
        return result
    from torchvision.transforms.v2 import functional

    resized: Tensor = functional.resize(result, [image_size, image_size], antialias=True)
    return resized


def _is_image(value: Any) -> bool:
    if not isinstance(value, Tensor) or value.is_meta or value.dtype != torch.uint8:
        return False
    return value.ndim == 3 and value.shape[0] == 3 and value.numel() > 0
