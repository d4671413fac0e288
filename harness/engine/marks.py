"""Marks of tensors: cheap values that tell whether a tensor has been changed."""

from __future__ import annotations

import torch
from torch import Tensor

WHOLE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by the bytes of an element
WORD = 8  # bytes, in which the content is summed
WIDTH = 1024  # words of a row, for sums that depend on where a word is

Mark = tuple[int, int, int]


def mark_of(value: Tensor) -> Mark:
    """Changes if somebody writes to a dense tensor, also through `.data`, or puts another one in its place.

    Sums of its content as whole numbers take a fraction of a CRC-32.
    """
    return value.data_ptr(), value._version, _sum_by_place(value)


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two dense tensors have the same shape, dtype and content, NaN included."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(_as_whole(one).cpu(), _as_whole(other).cpu())


def _sum_by_place(value: Tensor) -> int:
    """A sum of the content that also changes if elements change places: rows and columns count by their number."""
    raw = value.detach().contiguous().reshape(-1).view(torch.uint8)
    raw = raw.clone() if raw.storage_offset() % WORD else raw
    words, rest = raw[: len(raw) // WORD * WORD].view(torch.int64), raw[len(raw) // WORD * WORD :]
    table, last = words[: len(words) // WIDTH * WIDTH].view(-1, WIDTH), words[len(words) // WIDTH * WIDTH :]
    parts = {WIDTH: table.sum(1), 1: table.sum(0), 3: last, 5: rest.to(torch.int64)}  # a row is WIDTH places long
    return int(torch.stack([weight * _weighted(part) for weight, part in parts.items()]).sum())


def _weighted(values: Tensor) -> Tensor:
    """The sum of whole numbers, each times its place, from 1."""
    return (values * torch.arange(1, len(values) + 1, device=values.device)).sum()


def _as_whole(value: Tensor) -> Tensor:
    """The content as whole numbers, (elements,) or more."""
    return value.detach().contiguous().reshape(-1).view(WHOLE.get(value.element_size(), torch.uint8))
