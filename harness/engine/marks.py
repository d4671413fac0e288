"""Marks of tensors: cheap values that change when a tensor changes."""

from __future__ import annotations

import torch
from torch import Tensor

WHOLE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # element size in bytes -> integer dtype
WORD = 8  # bytes that are summed as one integer
WIDTH = 1024  # words in a row, for sums that depend on the position of a word

Mark = tuple[int, int, int]


def mark_of(value: Tensor) -> Mark:
    """Returns a value that changes if a dense tensor is written to, also through `.data`, or is replaced.

    It sums the content as integers, which takes a fraction of the time of a CRC-32.
    """
    return value.data_ptr(), value._version, _sum_by_place(value)


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Returns whether two dense tensors have the same shape, dtype and content. NaN equals NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(_as_whole(one).cpu(), _as_whole(other).cpu())


def _sum_by_place(value: Tensor) -> int:
    """Returns a sum of the content that also changes if elements swap places: row and column numbers are weights."""
    raw = value.detach().contiguous().reshape(-1).view(torch.uint8)
    raw = raw.clone() if raw.storage_offset() % WORD else raw
    words, rest = raw[: len(raw) // WORD * WORD].view(torch.int64), raw[len(raw) // WORD * WORD :]
    table, last = words[: len(words) // WIDTH * WIDTH].view(-1, WIDTH), words[len(words) // WIDTH * WIDTH :]
    parts = {WIDTH: table.sum(1), 1: table.sum(0), 3: last, 5: rest.to(torch.int64)}  # a row has WIDTH words
    return int(torch.stack([weight * _weighted(part) for weight, part in parts.items()]).sum())


def _weighted(values: Tensor) -> Tensor:
    """Returns the sum of integers, each times its position, from 1."""
    return (values * torch.arange(1, len(values) + 1, device=values.device)).sum()


def _as_whole(value: Tensor) -> Tensor:
    """Returns the content as integers: one per element, or single bytes for other element sizes."""
    return value.detach().contiguous().reshape(-1).view(WHOLE.get(value.element_size(), torch.uint8))
