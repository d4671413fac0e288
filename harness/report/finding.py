"""A line of a data check's first screen, and the names of sides and of groups of copies that all its parts share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from harness.runs.data_check_record import CopySet, DataCheckRecord

SIDE_NAMES = {"train": "training", "valid": "validation", "test": "test"}


class CopyGroup(str, Enum):
    """What a set of copies does to a result, the worst first; its value is the section of the page."""

    CONTRADICTION = "contradictions"
    SIDES = "sides"
    FOLDS = "folds"
    OTHER = "copies"
    SCENE = "scenes"  # no copies: photographs of the same scene

    @classmethod
    def of(cls, found: CopySet) -> CopyGroup:
        """The worst that is true of a set."""
        if found.is_scene:
            return cls.SCENE
        if found.is_contradiction:
            return cls.CONTRADICTION
        if found.between_sides:
            return cls.SIDES
        return cls.FOLDS if found.between_folds else cls.OTHER


class State(str, Enum):
    """Whether something was found; its value is the class of the line."""

    BAD = "bad"  # found, and it makes a result wrong
    FOUND = "found"
    CLEAR = "clear"
    UNKNOWN = "unknown"  # not looked for


@dataclass(frozen=True)
class Finding:
    """One line of the first screen.

    Attributes:
        section: The page's section about it.
        title: What was looked for.
        state: Whether it was found.
        figure: How many, or another number; empty if nothing was found.
        text: What that means, or why it was not looked for.
    """

    section: str
    title: str
    state: State
    figure: str
    text: str


def sides_of(record: DataCheckRecord) -> list[tuple[str, str]]:
    """(side, its name) of those that have images, training first."""
    sides = [side for side, classes in record.counts.items() if sum(classes.values())]
    return [(side, SIDE_NAMES.get(side, side)) for side in sorted(sides, key=lambda side: side != "train")]
