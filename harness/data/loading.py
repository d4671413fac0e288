"""Batches of images in an order that is a function of (seed, epoch), and of nothing else."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from harness.data.pixels import Pixels
from harness.data.shared_memory import lack, loader_ended, shared
from harness.data.transforms import Augment, Transform, augmented, seeded
from harness.errors import HarnessError
from harness.util import signals

Key = tuple[int, int]  # (epoch, index): loader processes outlive an epoch, so each request says which it is for
AHEAD = 3  # batches that wait for a GPU


class Source(Protocol):
    """Where the inputs of a model come from, in two steps: on the CPU, in any process; then on the device."""

    random: bool  # whether `load` seeds the global generators for a moment, which only one thread may do

    def load(self, keys: Sequence[Key]) -> Tensor:
        """What is to be copied to the device for these keys."""

    def finish(self, loaded: Tensor) -> Tensor:
        """The inputs, from what `load` gave, which is on the device now."""


class ImageSource:
    """Images as a model sees them. What one looks like is a function of (seed, epoch, index).

    With `views` an image is augmented in only so many ways: those that it would have in as many first epochs.
    """

    def __init__(
        self,
        pixels: Pixels,
        transform: Transform,
        augment: Augment | None = None,
        seed: int = 0,
        views: int | None = None,
    ) -> None:
        self.pixels = pixels
        self.transform = transform
        self.augment = augment
        self.random = augment is not None
        self.view = Views(views, seed, len(pixels.images))
        self.seed = seed

    def load(self, keys: Sequence[Key]) -> Tensor:
        """(B, C, H, W) uint8, augmented."""
        images = self.pixels.take([index for _, index in keys])
        if self.augment is not None:
            for position, (epoch, index) in enumerate(keys):
                images[position] = self._augmented(images[position], self.view(epoch, index), index)
        return images

    def finish(self, loaded: Tensor) -> Tensor:
        """(B, C, H, W) float32, normalised."""
        return self.transform.normalise(loaded)

    def _augmented(self, image: Tensor, view: int, index: int) -> Tensor:
        assert self.augment is not None
        with seeded(self.seed, view, index):
            return augmented(self.augment, image, self.transform.preparation)


class Views:
    """(epoch, index) -> which of `count` views of an image that epoch shows, 1-based; without `count`, the epoch."""

    def __init__(self, count: int | None, seed: int, images: int) -> None:
        self._count, self._seed, self._images = count, seed, images
        self._drawn: tuple[int, Any] = (0, None)

    def __call__(self, epoch: int, index: int) -> int:
        if self._count is None:
            return epoch
        if self._drawn[0] != epoch:
            chance = np.random.default_rng((self._seed, epoch, self._count))
            self._drawn = epoch, chance.integers(1, self._count + 1, self._images)
        return int(self._drawn[1][index])


class EpochSampler(Sampler[list[Key]]):
    """Lists of keys, a batch each: shuffled by (seed, epoch), or in order where `shuffle` is off."""

    def __init__(self, indices: Sequence[int], batch_size: int, seed: int, shuffle: bool) -> None:
        self.indices = list(indices)
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0
        self.first = 0  # batch, in this epoch: those before it are left out

    def __len__(self) -> int:
        return len(self._starts())

    def __iter__(self) -> Iterator[list[Key]]:
        order = self.indices
        if self.shuffle:
            shuffled = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.indices))
            order = [self.indices[i] for i in shuffled]
        starts = self._starts()
        for start, end in list(zip(starts, [*starts[1:], len(order)], strict=True))[self.first :]:
            yield [(self.epoch, index) for index in order[start:end]]

    def _starts(self) -> list[int]:
        starts = list(range(0, len(self.indices), self.batch_size))
        if self.shuffle and len(starts) > 1 and len(self.indices) - starts[-1] == 1:
            starts.pop()  # a last batch of one joins the one before: BatchNorm cannot train on a single example
        return starts


class Batches:
    """An iterable of (inputs, targets) on `device` for `Trainer`: a batch for each list of keys of `sampler`.

    `workers` processes load them, or this one; the batches are the same.
    """

    def __init__(
        self,
        source: Source,
        labels: Sequence[int],
        sampler: EpochSampler | Sequence[Sequence[Key]],
        *,
        workers: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.sampler = sampler
        self._source = source
        self._labels = torch.tensor(labels)
        self._device = torch.device(device)
        self._in_thread = self._device.type == "cuda" and (workers > 0 or not source.random)
        self._loader: DataLoader[Any] | None = None
        if workers:
            self._loader = DataLoader(
                _Requests(source.load),
                batch_size=None,  # a request is a batch already
                sampler=sampler,
                num_workers=workers,
                persistent_workers=True,
                worker_init_fn=_leave_signals_to_the_parent,
                # forked workers share the functions of an experiment file, which a fresh interpreter could not import
                multiprocessing_context="fork" if sys.platform == "linux" else None,
                generator=torch.Generator(),  # else each epoch would draw from the global one, which dropout also uses
            )

    def set_epoch(self, epoch: int) -> None:
        if isinstance(self.sampler, EpochSampler):
            self.sampler.epoch, self.sampler.first = epoch, 0

    def start_at(self, count: int) -> None:
        """Leaves out the first `count` batches of this epoch, which are not loaded."""
        if not isinstance(self.sampler, EpochSampler):
            raise TypeError("only the batches of an epoch can be left out")
        self.sampler.first = count

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for loaded, targets in _ahead(self._pinned()) if self._in_thread else self._loaded():
            inputs = self._source.finish(loaded.to(self._device, non_blocking=True))
            yield inputs, targets.to(self._device, non_blocking=True)

    def close(self) -> None:
        """Ends the loader processes."""
        iterator = getattr(self._loader, "_iterator", None)
        if iterator is not None and hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()
        self._loader = None

    def _loaded(self) -> Iterator[tuple[Tensor, Tensor]]:
        loaded = map(self._source.load, self.sampler) if self._loader is None else _watched(self._loader)
        for keys, inputs in zip(self.sampler, loaded, strict=True):
            if isinstance(inputs, HarnessError):
                raise inputs
            yield inputs, self._labels[[index for _, index in keys]]

    def _pinned(self) -> Iterator[tuple[Tensor, Tensor]]:
        """In memory that a GPU copies from by itself."""
        return ((inputs.pin_memory(), targets.pin_memory()) for inputs, targets in self._loaded())


class _Requests(Dataset[Any]):
    """What DataLoader asks in its processes: a batch, or the error in its place."""

    def __init__(self, load: Callable[[Sequence[Key]], Tensor]) -> None:
        self._load = load

    def __getitem__(self, keys: Any) -> Any:
        try:
            return shared(self._load(keys))
        except HarnessError as error:  # DataLoader would raise a text in its place
            return error


def _watched(loader: DataLoader[Any]) -> Iterator[Any]:
    """What the loader processes pass on. Raises TrainingError where they cannot be started, or one is killed."""
    try:
        batches = iter(loader)
    except OSError as error:  # a lock between processes lies in shared memory
        raise lack(error) from error
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RuntimeError as error:
            raise loader_ended(error) or error from None
        yield batch


def _ahead(batches: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """The same, made by a thread, a few ahead of the reader: a GPU should not wait for them."""
    ready: queue.Queue[Any] = queue.Queue(AHEAD)
    left = threading.Event()  # the reader has had enough

    def offer(item: object) -> None:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                break

    def work() -> None:
        try:
            for batch in batches:
                offer(batch)
                if left.is_set():
                    return
            offer(None)
        except BaseException as error:  # it is raised where the batches are read
            offer(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (batch := ready.get()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            yield batch
    finally:
        left.set()
        thread.join()


def _leave_signals_to_the_parent(_: int) -> None:
    """A signal to the whole group must end the run as such, and not as a loader process that died."""
    signals.ignore()
