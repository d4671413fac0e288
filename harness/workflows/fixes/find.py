"""Finds the images of the rows in a table of fixes, and refuses rows that do not match the data."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from harness.data.images import Side, composed
from harness.errors import DataError, nearest
from harness.util.files import file_md5
from harness.util.parallel import in_threads
from harness.util.schema import is_inside
from harness.util.text import few
from harness.workflows.fixes.earlier import Earlier
from harness.workflows.fixes.links import links_to
from harness.workflows.fixes.place import absolute
from harness.workflows.fixes.read import Fixes, match_class, same_label
from harness.workflows.fixes.rows import MOVE, FixRow
from harness.workflows.fixes.sources import Source


@dataclass(frozen=True)
class Fix:
    """A change of one image: `label` is its new class, or None if it is removed."""

    row: FixRow
    source: Source
    index: int
    label: str | None

    @property
    def file(self) -> Path:
        """The file on the disk."""
        return self.source.file(self.index)

    @property
    def given(self) -> str:
        """The present label."""
        images = self.source.images
        return images.classes[images.labels[self.index]]


def find_fixes(fixes: Fixes, sources: dict[Side, Source], earlier: Earlier) -> tuple[list[Fix], int]:
    """Returns the changes that the rows ask for, in order, and the number of rows that earlier calls applied.

    A row that names the present class of its image changes nothing.

    A wrong row is added to the `problems` of the table: there is no such image or class, its label or content differs
    from the row, a link points outside the data, or another row contradicts it.
    """
    places = {side: _places(source, fixes.folder) for side, source in sources.items()}
    fixed: list[Fix] = []
    done = 0
    by_image: dict[tuple[str, int], Fix] = {}
    classes = sources[Side.TRAIN].images.classes
    inside = cache(is_inside)
    for row in fixes.rows:
        side = next((side for side in sources if side == row.side), None)
        if side is None:
            fixes.problems.add(row.line, f"{fixes.data} has no {row.side[:80]!r} images")
            continue
        source = sources[side]
        indices = places[side].get(row.file, [])
        label = _label(row, classes)
        if isinstance(label, _Refused):
            fixes.problems.add(row.line, label.why)
            continue
        if not indices:
            file = absolute(fixes.folder / row.file)
            if earlier.has_done(row, file, label, source.is_table):
                done += 1
                continue
            where = earlier.where(row, file)
            moved = "" if where is None else f": it was moved to {os.path.relpath(where)}"
            fixes.problems.add(row.line, f"{row.file!r} is not a {side} image of {source.data}{moved}")
            continue
        if len(indices) > 1:  # names of files that differ only in their Unicode form
            indices = [index for index in indices if _md5(source.file(index)) == row.md5]
        if len(indices) != 1:
            fixes.problems.add(
                row.line, f"{row.file} is the name of several files, which differ only in their Unicode form"
            )
            continue
        fix = Fix(row, source, indices[0], label)
        before = by_image.setdefault((row.side, fix.index), fix)
        if before.label != label:
            what = f"{row.file}: {row.action}, but {before.row.action} in line {before.row.line}"
            fixes.problems.add(row.line, what)
        elif before is not fix:
            continue  # the same row twice
        elif label == fix.given:
            done += source.is_table and not same_label(row.label, fix.given)
        elif source.is_table and not same_label(row.label, fix.given):  # a path in folders has the label in it
            fixes.problems.add(row.line, f"{row.file} now has the label {fix.given}, but {row.label!r} in the table")
        elif not source.is_table and not inside(fix.file.parent / "-", source.images.root):
            fixes.problems.add(
                row.line, f"a link in the path of {row.file} points outside the data: move that image by hand"
            )
        else:
            fixed.append(fix)
    _require_same_content(fixes, fixed)
    return fixed, done


@dataclass(frozen=True)
class _Refused:
    why: str


def _label(row: FixRow, classes: Sequence[str]) -> str | _Refused | None:
    """The class that an action names; None for "remove"."""
    if not row.action.startswith(MOVE):
        return None
    word = row.action.removeprefix(f"{MOVE} ")
    known = match_class(word, classes)
    if known is not None:
        return known
    hint = nearest(word, classes)
    if not hint:
        hint = (
            f"; the classes are {few(list(classes))}. For a new class, make its folder and move its first image by hand"
        )
    return _Refused(f"there is no class {word[:80]!r}{hint}")


def _places(source: Source, folder: Path) -> dict[str, list[int]]:
    """Path below `folder`, in NFC -> positions among the images."""
    try:
        prefix = PurePosixPath(Path(os.path.relpath(source.images.root, folder)).as_posix())
    except ValueError:  # on another drive
        return {}
    places: dict[str, list[int]] = defaultdict(list)
    for index, path in enumerate(source.images.paths):
        places[composed(str(prefix / path))].append(index)
    return places


def _require_same_content(fixes: Fixes, found: Sequence[Fix]) -> None:
    """Adds a problem for each row whose image has changed since the table was written."""
    for fix, md5 in zip(found, in_threads(_md5, [fix.file for fix in found]), strict=True):
        if fix.row.md5 and md5 != fix.row.md5:
            why = "cannot be read" if md5 is None else "has changed since the check"
            fixes.problems.add(fix.row.line, f"{fix.row.file} {why}")
        elif md5 is not None and not fix.row.md5:
            fixes.problems.add(fix.row.line, f"{fix.row.file}: its md5 cell is empty")


def _md5(file: Path) -> str | None:
    try:
        return file_md5(file)
    except OSError:
        return None


def require_no_dead_links(fixes: Fixes, sources: Sequence[Source], found: Sequence[Fix]) -> None:
    """Adds a problem for each row that would break a link. A link that is also removed is no problem."""
    moved = {absolute(fix.file): fix for fix in found if not fix.source.is_table}
    removed = {(fix.source.side, fix.index) for fix in found if fix.label is None}
    links = [
        source.file(index)
        for source in sources
        for index in range(len(source.images.paths))
        if (source.side, index) not in removed
    ]
    for file, link in links_to(moved, links).items():
        row = moved[file].row
        why = f"{row.file}: {os.path.relpath(link)} is a link to it, and would be broken"
        fixes.problems.add(row.line, f"{why}: also remove that link, or replace it with a copy of the file")


def counts_after(source: Source, found: Sequence[Fix]) -> dict[str, int]:
    """Number of images per class of a split after the changes."""
    left = source.images.counts()
    for fix in found:
        if fix.source is source:
            left[fix.given] -= 1
            if fix.label is not None:
                left[fix.label] += 1
    return left


def require_images_left(fixes: Fixes, sources: dict[Side, Source], found: Sequence[Fix]) -> list[str]:
    """Raises DataError if a class would have no training image left, or a split no image.

    Returns a warning for each class that another split loses.
    """
    notes = []
    for side, source in sources.items():
        before, after = source.images.counts(), counts_after(source, found)
        emptied = [name for name, left in after.items() if not left and before[name]]
        if emptied and (side is Side.TRAIN or not any(after.values())):
            count = "the only image" if before[emptied[0]] == 1 else f"all {before[emptied[0]]} images"
            raise DataError(
                f"{fixes.path} would leave {few(emptied)} without any {side} image, and nothing was changed",
                f"it moves or removes {count} of {emptied[0]} in {source.data}",
                f"set the action of some of them to keep; or, to delete the class, move all of {emptied[0]} by hand",
            )
        notes += [f"no {side} image of {name} is left in {source.data}" for name in emptied]
    return notes
