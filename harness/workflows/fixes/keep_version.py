"""Puts the new version of changed data under DVC, if DVC tracks them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any

from harness.errors import HarnessError
from harness.versioning.ignored import project_of
from harness.versioning.tracked import DIFFERS, read_tracked, state_of, tracking_file


@dataclass(frozen=True)
class Kept:
    """A tracked folder or file after a change.

    Attributes:
        path: What is tracked.
        md5: Its new version; empty if there is a problem.
        files: Number of its files.
        add: The files for `git add`.
        note: What was so before the change, for people; empty if nothing is to be said.
        problem: Why there is no new version, and what to type; empty if there is one.
    """

    path: str
    md5: str = ""
    files: int = 0
    add: str = ""
    note: str = ""
    problem: str = ""

    def fields(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


def notes_before(places: Iterable[Path]) -> dict[Path, str]:
    """The `.dvc` files that track `places` -> what differs from them already, for people; empty if nothing does."""
    notes: dict[Path, str] = {}
    for file in dict.fromkeys(file for place in places if (file := tracking_file(place)) is not None):
        try:
            state = state_of(read_tracked(file))
        except HarnessError as error:
            notes[file] = f"{error.what}: {error.why}"
            continue
        counts = state.changes() if state.word == DIFFERS else None
        told = "" if counts is None else ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        if state.word == DIFFERS:
            differs = f"{_near(state.tracked.path)} differed from {_near(file)} before{f' ({told})' if told else ''}"
            notes[file] = f"{differs}: its new version holds that, too"
        else:
            notes[file] = ""
    return notes


def keep_versions(notes: dict[Path, str]) -> Iterator[Kept]:
    """Puts what these `.dvc` files track under DVC as it is now. What fails is a problem, and raises nothing."""
    from harness.versioning.repo import track

    for file, note in notes.items():
        path = file.with_suffix("")
        near = _near(path)
        advice = f"harness data track {quote(near)} keeps the new version"
        if find_spec("dvc") is None:
            why = f'{_near(file)} tracks the data, and DVC is not installed: pip install "dvc[gdrive]"; {advice}'
            yield Kept(near, note=note, problem=why)
            continue
        try:
            track(str(path), project_of(file))
            tracked = read_tracked(file)
        except HarnessError as error:
            why = f"{_near(file)} stands for the data as they were: {error.what}: {error.why} ({error.fix}); {advice}"
            yield Kept(near, note=note, problem=why)
            continue
        rule = file.with_name(".gitignore")  # into which DVC has written, unless git ignored it already
        add = " ".join(quote(_near(each)) for each in (file, rule) if each.is_file())
        yield Kept(near, tracked.md5, tracked.files or 1, add, note)


def _near(path: Path) -> str:
    return os.path.relpath(path)
