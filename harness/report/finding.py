"""A finding on the first screen of a data check, and the names of splits and groups of copies on its page."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from harness.runs.data_check_record import CopySet, DataCheckRecord

SIDE_NAMES = {"train": "training", "valid": "validation", "test": "test"}


class CopyGroup(str, Enum):
    """Groups of copies by their effect on a result, the worst first. The value is the id of the page's section."""

    CONTRADICTION = "contradictions"
    SIDES = "sides"
    FOLDS = "folds"
    OTHER = "copies"
    SCENE = "scenes"  # not copies, but photographs of the same scene

    @classmethod
    def of(cls, copies: CopySet) -> CopyGroup:
        """Returns the worst group that a set belongs to."""
        if copies.is_scene:
            return cls.SCENE
        if copies.is_contradiction:
            return cls.CONTRADICTION
        if copies.between_sides:
            return cls.SIDES
        return cls.FOLDS if copies.between_folds else cls.OTHER


class State(str, Enum):
    """Whether a problem was found. The value is the CSS class of the line."""

    BAD = "bad"  # a problem that makes a result wrong
    FOUND = "found"
    CLEAR = "clear"
    UNKNOWN = "unknown"  # not checked


@dataclass(frozen=True)
class Finding:
    """One line of the first screen.

    Attributes:
        section: The id of the section about it.
        title: The problem that was looked for.
        state: Whether it was found.
        figure: The number of cases, or another number; empty if nothing was found.
        text: What the number means, or why this was not checked.
    """

    section: str
    title: str
    state: State
    figure: str
    text: str


def sides_of(record: DataCheckRecord) -> list[tuple[str, str]]:
    """Returns (split, its name) for splits with images, training first."""
    sides = [side for side, classes in record.counts.items() if sum(classes.values())]
    return [(side, SIDE_NAMES.get(side, side)) for side in sorted(sides, key=lambda side: side != "train")]
