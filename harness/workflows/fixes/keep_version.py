"""Adds the new version of changed data to DVC, if DVC tracks them."""

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
        path: The tracked folder or file.
        md5: Its new version; empty if there is a problem.
        files: Number of its files.
        add: The files for `git add`.
        note: A warning about differences before the change; empty if there were none.
        problem: Why there is no new version, and what to type; empty if there is one.
    """

    path: str
    md5: str = ""
    files: int = 0
    add: str = ""
    note: str = ""
    problem: str = ""

    def fields(self) -> dict[str, Any]:
        """The fields as a dictionary, for JSON."""
        return asdict(self)


def notes_before(places: Iterable[Path]) -> dict[Path, str]:
    """`.dvc` files that track `places` -> how the data already differ from them, as a warning; empty if they do not."""
    notes: dict[Path, str] = {}
    for file in dict.fromkeys(file for place in places if (file := tracking_file(place)) is not None):
        try:
            state = state_of(read_tracked(file))
        except HarnessError as error:
            notes[file] = f"{error.what}: {error.why}"
            continue
        counts = state.changes() if state.word == DIFFERS else None
        summary = "" if counts is None else ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        if state.word == DIFFERS:
            differs = (
                f"{_near(state.tracked.path)} already differed from {_near(file)}{f' ({summary})' if summary else ''}"
            )
            notes[file] = f"{differs}: the new version includes these differences"
        else:
            notes[file] = ""
    return notes


def keep_versions(notes: dict[Path, str]) -> Iterator[Kept]:
    """Adds the present data of these `.dvc` files to DVC. A failure is returned as a problem, and not raised."""
    from harness.versioning.repo import track

    for file, note in notes.items():
        path = file.with_suffix("")
        near = _near(path)
        advice = f"then type harness data track {quote(near)}"
        if find_spec("dvc") is None:
            why = f'{_near(file)} tracks the data, but DVC is not installed: type pip install "dvc[gdrive]"; {advice}'
            yield Kept(near, note=note, problem=why)
            continue
        try:
            track(str(path), project_of(file))
            tracked = read_tracked(file)
        except HarnessError as error:
            why = f"{_near(file)} still names the old version: {error.what}: {error.why} ({error.fix}); {advice}"
            yield Kept(near, note=note, problem=why)
            continue
        rule = file.with_name(".gitignore")  # DVC writes a rule into it, unless git already ignores the data
        add = " ".join(quote(_near(each)) for each in (file, rule) if each.is_file())
        yield Kept(near, tracked.md5, tracked.files or 1, add, note)


def _near(path: Path) -> str:
    return os.path.relpath(path)
