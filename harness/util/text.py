"""Formats values as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

LONGEST_REPR = 800  # characters
MOST_COUNTS = 10  # classes whose number of images is named
DOCUMENTATION = "docs"  # where its pages are: a folder of the project, which has no address yet


def few(names: Sequence[str], most: int = 5) -> str:
    """Joins the first `most` names, and says how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counts_text(counts: Mapping[str, int]) -> str:
    """The number of images of the first classes, as in "sea 12, forest 7", and how many more classes there are."""
    return few([f"{name} {count}" for name, count in counts.items()], MOST_COUNTS)


def see(page: str) -> str:
    """The reference to a page of the documentation, for the end of an error: "see docs/data.md"."""
    return f"see {DOCUMENTATION}/{page}.md"


def counted(number: int, noun: str) -> str:
    """Returns "1 image" or "3 images"; the noun takes an "s"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def short_repr(value: object, text: str) -> str:
    """The `repr` of an object: its class and a text, which is cut if it would not fit a screen."""
    cut = text if len(text) <= LONGEST_REPR else f"{text[:LONGEST_REPR]}…"
    return f"{type(value).__name__}({cut})"


def size_text(image_size: int | Sequence[int]) -> str:
    """Formats the size of images: "224 px", or "192 x 320 px" with the height first."""
    sides = (image_size,) if isinstance(image_size, int) else dict.fromkeys(image_size)
    return f"{' x '.join(map(str, sides))} px"
