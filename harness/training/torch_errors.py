"""Explains errors of torch that a setting can fix."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from harness.errors import ModelError, TrainingError

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # CUDA and MPS, Linux, Windows
ONE_VALUE = "Expected more than 1 value per channel"  # BatchNorm


@contextlib.contextmanager
def naming_torch_errors(what: str, batch_size: int, device: torch.device) -> Iterator[None]:
    """Turns errors about too little memory or too small batches into errors with three lines.

    Args:
        what: What runs on `device`, for the message: "fold 1".
        batch_size: The number of images in a batch.
        device: The device.

    Raises:
        TrainingError: There is not enough memory.
        ModelError: A batch has only one image, and the model cannot train on it.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        if any(words in str(error) for words in OUT_OF_MEMORY):
            fix = f"-s batch_size={max(1, batch_size // 2)}"
            raise TrainingError(f"{what} ran out of memory on {device}", first, fix) from error
        if ONE_VALUE in str(error):
            fix = "-s batch_size=32, or a larger image_size"
            raise ModelError(f"{what} cannot train on a batch of one image", first, fix) from error
        raise
