"""Prepares an image: converts it to an array with the size and the channels of all images of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageColor
from torch.nn import functional

from harness.data.decode import Raw, read, to_image
from harness.data.depth import Depth, infer_range
from harness.errors import UsageError

if TYPE_CHECKING:  # a real import would add this module and its imports to each model that is sent to MLflow
    from harness.config.experiment import Experiment

ImageSize = int | tuple[int, int]  # the side of a square, or (height, width), in pixels
Bytes = NDArray[np.uint8]
FULL_RANGE = (0.0, 65535.0)
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Preparation:
    """How an image is converted to an array (H, W, C) uint8. It has plain values, and is stored in the checkpoint.

    Attributes:
        image_size: Pixels: the side of a square, or (height, width).
        resize: "squash" changes the proportions; "crop" keeps them and cuts the longer side around the centre, as
            torchvision and timm do in evaluation; "pad" keeps them and fills the rest with the background.
        center_crop: The share of each side that is kept after resizing, around the centre: with 0.875, an image of 224
            px is resized to 256 px first.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos".
        antialias: Whether an image is smoothed before it becomes smaller, as in Pillow. In torchvision and OpenCV, this
            can be switched off.
        channels: 3 for red, green and blue; 1 for grey.
        background: The colour behind transparent pixels and around a padded image: white, grey, black or #rrggbb.
        value_range: (low, high) that become 0 and 255 in files with more than 8 bits; None if there are no such files.
    """

    image_size: ImageSize = 224
    resize: str = "squash"
    center_crop: float = 1.0
    interpolation: str = "bilinear"
    antialias: bool = True
    channels: int = 3
    background: str = "white"
    value_range: tuple[float, float] | None = None

    @property
    def height(self) -> int:
        return self.image_size if isinstance(self.image_size, int) else self.image_size[0]

    @property
    def width(self) -> int:
        return self.image_size if isinstance(self.image_size, int) else self.image_size[1]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a model's input."""
        return self.channels, self.height, self.width

    def decode(self, content: bytes) -> Bytes:
        """Decodes a file's bytes to (H, W, C). Raises the errors of `read`."""
        return self.array(self.picture(read(content)))

    def picture(self, raw: Raw) -> Image.Image:
        """The image in mode RGB or L, before it is resized."""
        return to_image(raw, self.value_range, self.channels, self.background)

    def needs_range(self, raw: Raw) -> bool:
        """Whether an image cannot be converted before the range of the data set is known."""
        return self.value_range is None and raw.needs_range

    def alone(self, raw: Raw) -> Preparation:
        """The preparation for a single image: with the range of this image, if a range is needed.

        Raises DataError if the range cannot be inferred.
        """
        return self.with_range(infer_range(Depth.of(raw.colours))) if self.needs_range(raw) else self

    def array(self, image: Image.Image) -> Bytes:
        """Converts an image of mode RGB or L to (H, W, C)."""
        array = np.array(self._resized(image))
        return array.reshape(self.height, self.width, self.channels)

    def with_range(self, value_range: tuple[float, float] | None) -> Preparation:
        """A copy with another range of values."""
        return replace(self, value_range=value_range)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints and keys of the cache."""
        plain = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}

    def _resized(self, image: Image.Image) -> Image.Image:
        size = self.width, self.height
        larger = math.floor(self.width / self.center_crop), math.floor(self.height / self.center_crop)
        if self.resize == "crop":
            image = self._scaled(image, _around(image.size, larger))
        elif self.resize == "pad" and image.size != larger:
            image = self._padded(image, larger)
        else:
            image = self._scaled(image, larger)
        return image if image.size == size else image.crop(_middle(image.size, size))

    def _padded(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        inside = _inside(image.size, size)
        canvas = Image.new(image.mode, size, ImageColor.getcolor(self.background, image.mode))
        canvas.paste(self._scaled(image, inside), ((size[0] - inside[0]) // 2, (size[1] - inside[1]) // 2))
        return canvas

    def _scaled(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        if image.size == size:
            return image
        if self.antialias or self.interpolation == "nearest":
            return image.resize(size, FILTERS[self.interpolation])
        return _without_antialias(image, size, self.interpolation)


def preparation_of(experiment: Experiment) -> Preparation:
    """The preparation of an experiment. Raises UsageError if its fields contradict each other."""
    if experiment.interpolation == "lanczos" and not experiment.antialias:
        raise UsageError(
            "interpolation=lanczos is not possible with antialias=false",
            "Lanczos interpolation always smooths",
            "-s interpolation=bicubic, or -s antialias=true",
        )
    return Preparation(**{item.name: getattr(experiment, item.name) for item in fields(Preparation)})


def preparation_from(plain: Mapping[str, Any]) -> Preparation:
    """The preparation of a checkpoint. Missing values are those of version 0.1.0, which used the high 8 of 16 bits."""
    names = [item.name for item in fields(Preparation) if item.name in plain]
    values: dict[str, Any] = {
        name: tuple(plain[name]) if isinstance(plain[name], list) else plain[name] for name in names
    }
    return Preparation(**{"value_range": FULL_RANGE, **values})


def _around(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """The smallest size with the image's proportions that covers `wanted`, rounded as in torchvision's Resize."""
    if size[0] * wanted[1] <= size[1] * wanted[0]:
        return wanted[0], max(wanted[1], int(wanted[0] * size[1] / size[0]))
    return max(wanted[0], int(wanted[1] * size[0] / size[1])), wanted[1]


def _middle(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box of size `wanted` around the centre of an image, as in torchvision's CenterCrop."""
    left, top = (round((side - inner) / 2) for side, inner in zip(size, wanted, strict=True))
    return left, top, left + wanted[0], top + wanted[1]


def _inside(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """The largest size with the image's proportions that fits in `wanted`."""
    scale = min(wanted[0] / size[0], wanted[1] / size[1])
    return max(1, min(wanted[0], round(size[0] * scale))), max(1, min(wanted[1], round(size[1] * scale)))


def _without_antialias(image: Image.Image, size: tuple[int, int], interpolation: str) -> Image.Image:
    """Resizes as torch and OpenCV do by default: a new pixel depends only on the few old pixels around its centre."""
    array = np.array(image)
    values = torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)[None].float()
    scaled = functional.interpolate(values, size=size[::-1], mode=interpolation, align_corners=False)
    rounded = scaled[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
    return Image.fromarray(rounded.squeeze(2) if image.mode == "L" else rounded)
