"""Texts for people."""

from __future__ import annotations

from collections.abc import Sequence


def few(names: Sequence[str], most: int = 5) -> str:
    """The first of them."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def size_text(image_size: int | Sequence[int]) -> str:
    """The size of images for people: "224 px", or "192 x 320 px", the height first."""
    sides = (image_size,) if isinstance(image_size, int) else dict.fromkeys(image_size)
    return f"{' x '.join(map(str, sides))} px"
