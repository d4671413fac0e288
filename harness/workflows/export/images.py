"""Chooses the images on which an exported file is compared with its model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.decode import problem, read
from harness.data.images import Images, Side
from harness.data.listing import list_images
from harness.data.noise import noise_images, noise_pictures
from harness.data.prepare import Preparation
from harness.errors import DataError
from harness.models.saved import SavedModel
from harness.util.schema import is_on_this_machine

COUNT = 64


@dataclass(frozen=True)
class Sample:
    """Images to compare two models on.

    Attributes:
        images: (N, C, H, W) uint8, prepared as for the model.
        source: A description of the images, to print.
        files: (N,) the image files; empty if the images are noise.
        preparation: How `images` were made from `files`.
    """

    images: Tensor
    source: str
    files: tuple[Path, ...]
    preparation: Preparation

    @property
    def is_noise(self) -> bool:
        return not self.files

    def pictures(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """Yields pairs: an image (h, w, C) of any size, and the same image prepared, (H, W, C)."""
        channels, preparation = self.preparation.channels, self.preparation
        if self.is_noise:
            yield from noise_pictures(preparation)
        for file in self.files:
            picture = preparation.picture(read(file.read_bytes()))
            array = np.array(picture)
            yield array.reshape(*array.shape[:2], channels), preparation.array(picture)


def sample_images(saved: SavedModel, data: Path | str | None = None, count: int = COUNT) -> Sample:
    """Up to `count` images, evenly from all classes of `data`, or otherwise of the model's experiment.

    If the images of the experiment are not on this machine, returns images of noise. Raises DataError if no image of
    `data` can be decoded.
    """
    preparation = saved.transform.preparation
    images = _listed(saved, data)
    arrays: list[NDArray[np.uint8]] = []
    files: list[Path] = []
    for file in spread(images, count) if images is not None else ():
        decoded: list[NDArray[np.uint8]] = []

        def decode(content: bytes, decoded: list[NDArray[np.uint8]] = decoded) -> None:
            decoded.append(preparation.decode(content))

        if file.is_file() and not problem(file.read_bytes(), decode):
            arrays += decoded
            files.append(file)
    if arrays:
        assert images is not None
        tensor = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
        return Sample(tensor, f"{len(arrays)} images of {images.root}", tuple(files), preparation)
    if data is not None:
        raise DataError(
            f"no image of {data} can be decoded",
            "the exported file is compared with the model on these images",
            "--data FOLDER, with other images",
        )
    noise = torch.from_numpy(noise_images(preparation, count))
    return Sample(noise, f"{count} images of noise, because no real images are on this machine", (), preparation)


def spread(images: Images, count: int) -> list[Path]:
    """Up to `count` of the files, evenly over the listing, and so over the classes."""
    picked = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int))
    return [images.file(images.paths[i]) for i in picked]


def training_images(saved: SavedModel) -> Images | None:
    """The training images of the model's experiment; None if they are not on this machine."""
    named = str(saved.experiment.get("data") or "")
    if not named or not is_on_this_machine(named):
        return None
    columns, class_folder = saved.experiment.get("columns", ()), saved.experiment.get("class_folder")
    try:
        return list_images(named, saved.classes, columns=columns, class_folder=class_folder)
    except DataError:
        return None


def _listed(saved: SavedModel, data: Path | str | None) -> Images | None:
    if data is None:
        return training_images(saved)
    return list_images(data, saved.classes, Side.TEST, columns=saved.experiment.get("columns", ()))
