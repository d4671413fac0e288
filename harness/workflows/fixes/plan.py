"""Plans the changes of a table of fixes: new places of files, and new labels in tables."""

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
    """The change of one image.

    Attributes:
        fix: The row and the new class.
        source: The file.
        target: Its new path; None if it is removed, or if its label is in a table.
    """

    fix: Fix
    source: Path
    target: Path | None

    def paths(self) -> list[Path]:
        """Its path, and its new path if there is one."""
        return [self.source] if self.target is None else [self.source, self.target]


@dataclass(frozen=True)
class Part:
    """The changes of one place, with one log.

    Attributes:
        folder: The folder of changes.
        moved: Images in folders.
        labels: Table -> split -> file -> its new label, or None if its line is removed.
        tables: Table -> its new content.
    """

    folder: Path
    moved: list[Planned] = field(default_factory=list)
    labels: dict[Path, dict[Side, dict[Path, str | None]]] = field(default_factory=dict)
    tables: dict[Path, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The changes of a table of fixes.

    Attributes:
        fixes: The table.
        parts: The changes by place; mostly one.
        changed: All images that are changed, in the order of the rows.
        notes: Warnings, one line each.
        sources: The images of each split before the changes.
        expected: Split -> class -> number of images after the changes.
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
    """Plans the changes of the table of fixes at `path`, and changes nothing.

    Raises:
        UsageError: There is no such table.
        DataError: It is not a table of fixes, a row cannot be applied, or a class would lose all training images.
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
    fixes.problems.require_none(f"correct these rows, or set their action to keep; or {WRITE_AGAIN}")
    notes = require_images_left(fixes, sources, found)
    names, folder_of = FreeNames(), cache(_folder_of)
    changed = []
    for fix in found:
        moves = fix.label is not None and not fix.source.is_table
        target = absolute(names.near(_target(fix, folder_of))) if moves else None
        changed.append(Planned(fix, absolute(fix.file), target))
    notes += [*_renamed(changed), *_last_copies(fixes, found)]
    if done:
        notes.append("1 row was already applied" if done == 1 else f"{done} rows were already applied")
    expected = {side: counts_after(source, found) for side, source in sources.items()}
    return Plan(fixes, _parts(fixes, changed), changed, notes, sources, expected)


def _target(fix: Fix, folder_of: Callable[[Path, str], Path]) -> Path:
    """The new path in the folder of another class of the same split, with the same subfolders."""
    label = fix.label or ""
    images = fix.source.images
    parts = Path(images.on_disk.get(images.paths[fix.index], images.paths[fix.index])).parts
    level = fix.source.level
    above = images.root.joinpath(*parts[:level])
    target = folder_of(above, label).joinpath(*parts[level + 1 :])
    if is_hidden(label) or not is_inside(target.parent / "-", images.root):
        raise DataError(
            f"an image of {label} cannot be moved to {target}",
            "the folder is hidden, or a link that points outside the data",
            f"move {fix.row.file} by hand, and set the action of line {fix.row.line} to keep",
        )
    return target


def _folder_of(above: Path, label: str) -> Path:
    """The folder of a class, in the Unicode form of its name on the disk."""
    there = [entry for entry in above.iterdir() if composed(entry.name) == label and entry.is_dir()]
    return there[0] if there else above / label


def _renamed(changed: Sequence[Planned]) -> list[str]:
    names = [
        f"{one.fix.row.file} as {one.target.name}"
        for one in changed
        if one.target is not None and one.target.name != one.source.name
    ]
    return [f"renamed, because another file has that name: {few(names)}"] if names else []


def _last_copies(fixes: Fixes, found: Sequence[Fix]) -> list[str]:
    """A warning if no copy of an image is left."""
    removed = {fix.row.file for fix in found if fix.label is None}
    last = []
    for fix in found:
        others = [path for path in fix.row.copy_of.split("; ") if path]
        gone = [path in removed or not (fixes.folder / path).exists() for path in others]
        if fix.label is None and others and all(gone):
            last.append(fix.row.file)
    return [f"no copy of these images is left, because all copies are removed or missing: {few(last)}"] if last else []


def _parts(fixes: Fixes, changed: Sequence[Planned]) -> list[Part]:
    """The changes by place. Data below the parent of an earlier place share its log."""
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
