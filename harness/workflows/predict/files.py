"""Predicts any number of images, in order and in constant memory."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.check import content_of
from harness.data.decode import Raw, problem, read
from harness.data.prepare import Bytes, Preparation
from harness.errors import ModelError
from harness.util.parallel import in_threads
from harness.workflows.predict.prediction import Answer, Prediction, Unreadable
from harness.workflows.predict.predictor import GPU_BATCH, Classifier, Predictor

BATCH = 16  # images per batch of a thread, on a CPU
T = TypeVar("T")
Compute = Callable[[Tensor], NDArray[Any]]  # (B, C, H, W) uint8 -> (B, …)


class _Threads:
    """Restores torch's number of threads when the last of several concurrent uses ends."""

    def __init__(self) -> None:
        self._lock, self._uses, self._before = threading.Lock(), 0, 1

    def __enter__(self) -> None:
        with self._lock:
            if not self._uses:
                self._before = torch.get_num_threads()
            self._uses += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._uses -= 1
            if not self._uses:
                torch.set_num_threads(self._before)


_one_core_each = _Threads()


def predict_files(classifier: Classifier, files: Iterable[Path]) -> Iterator[Answer]:
    """Yields a `Prediction` for each file, or an `Unreadable`, in the order of the files.

    On a CPU each thread decodes a batch and computes its predictions on one core. That is faster than decoding on one
    core and computing on another. For a GPU the threads only decode.
    """
    make = functools.partial(array_of, preparation=classifier.transform.preparation)
    for path, row in rows_of(files, make, classifier.probabilities, is_on_cpu(classifier)):
        yield Unreadable(str(path), row) if isinstance(row, str) else Prediction(classifier.classes, row, str(path))


def features_of_files(predictor: Predictor, files: Iterable[Path]) -> Iterator[tuple[Path, NDArray[np.float32] | str]]:
    """Yields (file, its features (F,), or why it cannot be read), in the order of the files."""
    make = functools.partial(array_of, preparation=predictor.preparation)
    return rows_of(files, make, predictor.features, is_on_cpu(predictor))


def rows_of(
    items: Iterable[T], make: Callable[[T], Bytes | str], compute: Compute, on_cpu: bool = True
) -> Iterator[tuple[T, Any]]:
    """Yields (item, its row of the result of `compute`, or why it cannot be read), in the order of the items.

    Args:
        items: Any number of items; a few hundred are in memory at once.
        make: Returns an item's image (H, W, C) uint8, or why it cannot be read. Called in threads.
        compute: Called in threads if `on_cpu`.
        on_cpu: Whether `compute` runs on the CPU.
    """
    if on_cpu:
        with _one_core_each:
            batches = in_threads(lambda some: _on_one_core(some, make, compute), _chunks(items, BATCH))
            yield from itertools.chain.from_iterable(batches)
        return
    decoded = in_threads(lambda item: (item, make(item)), items)
    for some in _chunks(decoded, GPU_BATCH):
        yield from _computed(some, compute)


def array_of(path: Path, preparation: Preparation) -> Bytes | str:
    """The image in a file as (H, W, C) uint8, or why it cannot be read."""
    content, why = content_of(path)
    if why:
        return why
    made: list[Bytes] = []
    return problem(content, lambda content: made.append(prepared(read(content), preparation))) or made[0]


def prepared(raw: Raw, preparation: Preparation) -> Bytes:
    """An image as (H, W, C) uint8. With more than 8 bits, it uses its own value range if the model has none."""
    preparation = preparation.alone(raw)
    return preparation.array(preparation.picture(raw))


def as_batch(arrays: Sequence[Bytes]) -> Tensor:
    """Images (H, W, C) as (B, C, H, W), channels last in memory."""
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


def is_on_cpu(classifier: Classifier) -> bool:
    """Whether a model runs on the CPU; an exported file always does."""
    device = getattr(classifier, "device", None)
    return device is None or torch.device(device).type == "cpu"


def _on_one_core(items: Sequence[T], make: Callable[[T], Bytes | str], compute: Compute) -> list[tuple[T, Any]]:
    torch.set_num_threads(1)
    return list(_computed([(item, make(item)) for item in items], compute))


def _computed(decoded: Sequence[tuple[T, Bytes | str]], compute: Compute) -> Iterator[tuple[T, Any]]:
    arrays = [array for _, array in decoded if not isinstance(array, str)]
    try:
        rows = iter(compute(as_batch(arrays))) if arrays else iter(())
    except torch.OutOfMemoryError as error:
        raise ModelError(
            "the device has no memory left",
            f"it is too small for {len(arrays)} images at once",
            "--device cpu; or end other programs on the device",
        ) from error
    for item, array in decoded:
        yield item, array if isinstance(array, str) else next(rows)


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    left = iter(items)
    while chunk := list(itertools.islice(left, size)):
        yield chunk
