"""Decides what a table of fixes changes: which file goes where, and which labels of a table are others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from harness.data.foreign import is_hidden
from harness.data.images import Side, composed
from harness.data.rewrite_table import rewritten
from harness.errors import DataError
from harness.util.schema import is_inside
from harness.util.text import few
from harness.workflows.fixes.earlier import Earlier
from harness.workflows.fixes.find import Fix, counts_after, find_fixes, require_images_left, require_no_dead_links
from harness.workflows.fixes.moves import FreeNames
from harness.workflows.fixes.place import absolute, folder_beside
from harness.workflows.fixes.read import WRITE_AGAIN, Fixes, read_fixes
from harness.workflows.fixes.sources import Source, list_all, list_sources


@dataclass(frozen=True)
class Planned:
    """One image that is changed.

    Attributes:
        fix: What is done, and why.
        source: The file.
        target: Where it goes; None if it is removed, or if its label is in a table.
    """

    fix: Fix
    source: Path
    target: Path | None

    def paths(self) -> list[Path]:
        """Where it is, and where it goes unless it is removed."""
        return [self.source] if self.target is None else [self.source, self.target]


@dataclass(frozen=True)
class Part:
    """What is changed in one place, with one log.

    Attributes:
        folder: The folder of changes.
        moved: Images in folders.
        labels: Table -> side -> file -> its label, None if its line is taken out.
        tables: Table -> its new content.
    """

    folder: Path
    moved: list[Planned] = field(default_factory=list)
    labels: dict[Path, dict[Side, dict[Path, str | None]]] = field(default_factory=dict)
    tables: dict[Path, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a table of fixes changes.

    Attributes:
        fixes: The table.
        parts: Mostly one.
        changed: All images that are changed, in the order of the rows.
        notes: For people.
        sources: The images of each side before the changes.
        expected: Side -> class -> number of images after them.
    """

    fixes: Fixes
    parts: list[Part]
    changed: list[Planned]
    notes: list[str]
    sources: dict[Side, Source] = field(default_factory=dict)
    expected: dict[Side, dict[str, int]] = field(default_factory=dict)

    def touched(self) -> list[Path]:
        """The folders and tables that are changed."""
        folders = [path.parent for one in self.changed if not one.fix.source.is_table for path in one.paths()]
        return list(dict.fromkeys([*folders, *(table for part in self.parts for table in part.tables)]))


def plan_fixes(path: Path | str) -> Plan:
    """What the table of fixes at `path` changes. Nothing is changed yet.

    Raises:
        UsageError: There is no such table.
        DataError: It is no table of fixes, a row of it cannot be applied, or a class would lose all training images.
    """
    fixes = read_fixes(path)
    if not fixes.rows:
        fixes.problems.require_none(WRITE_AGAIN)
        return Plan(fixes, [], [], [])
    named = {Side(row.side) for row in fixes.rows if row.side in tuple(Side)}
    sources = list_sources(fixes, {Side.TRAIN, *named})
    folders = dict.fromkeys(folder_beside(source.data, fixes.folder) for source in sources.values())
    found, done = find_fixes(fixes, sources, Earlier(folders))
    if any(not fix.source.is_table for fix in found):
        require_no_dead_links(fixes, list_all(fixes, sources), found)
    fixes.problems.require_none(f"mend these rows, or make their action keep; {WRITE_AGAIN}")
    notes = require_images_left(fixes, sources, found)
    names, folder_of = FreeNames(), cache(_folder_of)
    changed = []
    for fix in found:
        moves = fix.label is not None and not fix.source.is_table
        target = absolute(names.near(_target(fix, folder_of))) if moves else None
        changed.append(Planned(fix, absolute(fix.file), target))
    notes += [*_renamed(changed), *_last_copies(fixes, found)]
    if done:
        notes.append("1 row was applied before" if done == 1 else f"{done} rows were applied before")
    expected = {side: counts_after(source, found) for side, source in sources.items()}
    return Plan(fixes, _parts(fixes, changed), changed, notes, sources, expected)


def _target(fix: Fix, folder_of: Callable[[Path, str], Path]) -> Path:
    """The file in the folder of another class of the same side, below the same folders in between."""
    label = fix.label or ""
    images = fix.source.images
    parts = Path(images.on_disk.get(images.paths[fix.index], images.paths[fix.index])).parts
    level = fix.source.level
    above = images.root.joinpath(*parts[:level])
    target = folder_of(above, label).joinpath(*parts[level + 1 :])
    if is_hidden(label) or not is_inside(target.parent / "-", images.root):
        raise DataError(
            f"{target} is no place for an image of {label}",
            "the folder is hidden, or a link that leads out of the data",
            f"move {fix.row.file} by hand, and make the action of line {fix.row.line} keep",
        )
    return target


def _folder_of(above: Path, label: str) -> Path:
    """The folder of a class, in the Unicode form that it has on the disk."""
    there = [entry for entry in above.iterdir() if composed(entry.name) == label and entry.is_dir()]
    return there[0] if there else above / label


def _renamed(changed: Sequence[Planned]) -> list[str]:
    names = [
        f"{one.fix.row.file} as {one.target.name}"
        for one in changed
        if one.target is not None and one.target.name != one.source.name
    ]
    return [f"moved under another name, since a file has theirs: {few(names)}"] if names else []


def _last_copies(fixes: Fixes, found: Sequence[Fix]) -> list[str]:
    """A note if all copies of a picture are removed, or are gone already."""
    removed = {fix.row.file for fix in found if fix.label is None}
    last = []
    for fix in found:
        others = [path for path in fix.row.copy_of.split("; ") if path]
        gone = [path in removed or not (fixes.folder / path).exists() for path in others]
        if fix.label is None and others and all(gone):
            last.append(fix.row.file)
    return [f"no copy of these pictures stays, as all are removed or gone: {few(last)}"] if last else []


def _parts(fixes: Fixes, changed: Sequence[Planned]) -> list[Part]:
    """The changes by place. What lies below the folder that holds the first place shares its log."""
    parts: list[Part] = []
    by_source: dict[int, list[Planned]] = defaultdict(list)
    for one in changed:
        by_source[id(one.fix.source)].append(one)
    for its in sorted(by_source.values(), key=lambda its: list(Side).index(its[0].fix.source.side)):
        source = its[0].fix.source
        data = absolute(source.data)
        part = next((part for part in parts if data.is_relative_to(part.folder.parent)), None)
        if part is None:
            part = Part(folder_beside(data, fixes.folder))
            parts.append(part)
        if source.is_table:
            labels = {absolute(one.source): one.fix.label for one in its}
            part.labels.setdefault(data, {})[source.side] = labels
        else:
            part.moved.extend(its)
    for part in parts:
        part.tables.update(
            {table: rewritten(table, fixes.settings.columns, labels) for table, labels in part.labels.items()}
        )
    return parts
