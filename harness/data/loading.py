"""Batches of images in an order that is a function of (seed, epoch), and of nothing else."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from harness.data.decode import decode
from harness.data.folders import Images
from harness.data.transforms import Augment, Transform, as_square, seeded
from harness.errors import DataError

Key = tuple[int, int]  # (epoch, index): loader processes outlive an epoch, so each request says which it is for


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Key -> (uint8 image (3, S, S), label). What an image looks like is a function of (seed, epoch, index)."""

    def __init__(self, images: Images, transform: Transform, augment: Augment | None = None, seed: int = 0) -> None:
        self.images = images
        self.transform = transform
        self.augment = augment
        self.seed = seed

    def __getitem__(self, key: Key) -> tuple[Tensor, int]:
        epoch, index = key
        path = self.images.root / self.images.paths[index]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(
                f"{path} cannot be read any more", str(error.strerror), "leave the images alone during a run"
            ) from error
        image = self.transform.resize(decode(content))
        if self.augment is not None:
            with seeded(self.seed, epoch, index):
                image = as_square(self.augment(image), self.transform.image_size)
        return image, self.images.labels[index]

    def collate(self, items: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
        """(B, 3, S, S) normalised float32, and (B,) int64."""
        images, labels = zip(*items, strict=True)
        return self.transform.normalise(torch.stack(images)), torch.tensor(labels)


class EpochSampler(Sampler[list[Key]]):
    """Lists of keys, a batch each: shuffled by (seed, epoch), or in order where `shuffle` is off."""

    def __init__(self, indices: Sequence[int], batch_size: int, seed: int, shuffle: bool) -> None:
        self.indices = list(indices)
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._starts())

    def __iter__(self) -> Iterator[list[Key]]:
        order = self.indices
        if self.shuffle:
            shuffled = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.indices))
            order = [self.indices[i] for i in shuffled]
        starts = self._starts()
        for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
            yield [(self.epoch, index) for index in order[start:end]]

    def _starts(self) -> list[int]:
        starts = list(range(0, len(self.indices), self.batch_size))
        if self.shuffle and len(starts) > 1 and len(self.indices) - starts[-1] == 1:
            starts.pop()  # a last batch of one joins the one before: BatchNorm cannot train on a single example
        return starts


def _leave_signals_to_the_parent(_: int) -> None:
    """A signal to the whole group must end the run as such, and not as a loader process that died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Batches:
    """An iterable of (inputs, targets) for `Trainer`: the images at `indices`, loaded by `workers` processes.

    Shuffled and augmented for training; in order and as they are otherwise. The batches are the same for any `workers`.
    """

    def __init__(
        self, dataset: ImageDataset, indices: Sequence[int], batch_size: int, *, shuffle: bool, workers: int, pin: bool
    ) -> None:
        self.sampler = EpochSampler(indices, batch_size, dataset.seed, shuffle)
        self._loader: DataLoader[Any] = DataLoader(
            dataset,
            batch_sampler=self.sampler,
            num_workers=workers,
            collate_fn=dataset.collate,
            pin_memory=pin,
            persistent_workers=workers > 0,
            worker_init_fn=_leave_signals_to_the_parent,
            # forked workers share the functions of an experiment file, which a fresh interpreter could not import
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
            generator=torch.Generator(),  # else each epoch would draw from the global one, which dropout also uses
        )

    def set_epoch(self, epoch: int) -> None:
        self.sampler.epoch = epoch

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self._loader)

    def close(self) -> None:
        """Ends the loader processes."""
        iterator = getattr(self._loader, "_iterator", None)
        if iterator is not None and hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()
        self._loader._iterator = None
