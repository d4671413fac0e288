"""Batches of images, in an order that depends only on (seed, epoch)."""

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

Key = tuple[int, int]  # (epoch, index): loader processes live longer than an epoch, so each request names its epoch
AHEAD = 3  # batches that wait for a GPU


class Source(Protocol):
    """Makes the inputs of a model in two steps: `load` on the CPU, in any process; then `finish` on the device."""

    random: bool  # whether `load` seeds the global random generators, which only one thread may do at a time

    def load(self, keys: Sequence[Key]) -> Tensor:
        """Loads the tensor to copy to the device for these keys."""

    def finish(self, loaded: Tensor) -> Tensor:
        """Computes the inputs from the tensor of `load`, which is on the device now."""


class ImageSource:
    """Augmented and normalised images. The pixels of an image depend only on (seed, epoch, index).

    With `views`, only this number of augmented versions of each image is used: those of the first `views` epochs.
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
        """Returns the images of the keys (epoch, index): (B, C, H, W) uint8, augmented if `augment` is set."""
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
    """(epoch, index) -> number of the view of an image in that epoch, from 1 to `count`; without `count`, the epoch."""

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
    """Yields a list of keys per batch: shuffled by (seed, epoch), or in order without `shuffle`."""

    def __init__(self, indices: Sequence[int], batch_size: int, seed: int, shuffle: bool) -> None:
        self.indices = list(indices)
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0
        self.first = 0  # first batch of this epoch; earlier batches are left out

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
            starts.pop()  # a last batch of one image is joined to the batch before: BatchNorm cannot train on one image
        return starts


class Batches:
    """An iterable of (inputs, targets) on `device` for `Trainer`, with one batch per list of keys of `sampler`.

    The batches are loaded by `workers` processes, or by this process if `workers` is 0. They are the same.
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
                batch_size=None,  # each request is a whole batch
                sampler=sampler,
                num_workers=workers,
                persistent_workers=True,
                worker_init_fn=_leave_signals_to_the_parent,
                # forked workers have the functions of an experiment file, which a new interpreter could not import
                multiprocessing_context="fork" if sys.platform == "linux" else None,
                generator=torch.Generator(),  # by default it would use the global generator, as dropout does
            )

    def set_epoch(self, epoch: int) -> None:
        if isinstance(self.sampler, EpochSampler):
            self.sampler.epoch, self.sampler.first = epoch, 0

    def start_at(self, count: int) -> None:
        """Skips the first `count` batches of this epoch. They are not loaded."""
        if not isinstance(self.sampler, EpochSampler):
            raise TypeError("only the batches of an epoch can be skipped")
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
        """The batches in pinned memory, from which a GPU can copy asynchronously."""
        return ((inputs.pin_memory(), targets.pin_memory()) for inputs, targets in self._loaded())


class _Requests(Dataset[Any]):
    """The data set of a DataLoader process: returns a batch, or the error that loading it raised."""

    def __init__(self, load: Callable[[Sequence[Key]], Tensor]) -> None:
        self._load = load

    def __getitem__(self, keys: Any) -> Any:
        try:
            return shared(self._load(keys))
        except HarnessError as error:  # DataLoader would raise another error, with only the text
            return error


def _watched(loader: DataLoader[Any]) -> Iterator[Any]:
    """The batches of the loader processes. Raises TrainingError if they cannot be started, or if one is killed."""
    try:
        batches = iter(loader)
    except OSError as error:  # locks between processes are in shared memory
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
    """Loads batches in a thread, a few before they are needed, so that a GPU does not wait."""
    ready: queue.Queue[Any] = queue.Queue(AHEAD)
    stopped = threading.Event()  # set when the reader stops early

    def offer(item: object) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                break

    def work() -> None:
        try:
            for batch in batches:
                offer(batch)
                if stopped.is_set():
                    return
            offer(None)
        except BaseException as error:  # raised again in the thread that reads the batches
            offer(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (batch := ready.get()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            yield batch
    finally:
        stopped.set()
        thread.join()


def _leave_signals_to_the_parent(_: int) -> None:
    """A signal goes to all processes of the group. Only the parent handles it, so the run ends as interrupted."""
    signals.ignore()
