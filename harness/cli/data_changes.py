"""`harness data apply` and `harness data undo`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from harness.cli.output import echo, echo_json

if TYPE_CHECKING:
    from harness.workflows.fixes.apply import Applied
    from harness.workflows.fixes.keep_version import Kept
    from harness.workflows.fixes.plan import Planned
    from harness.workflows.fixes.undo import Undone

SHOWN = 10  # images

dry_run_option = click.option("--dry-run", is_flag=True, help="Show the changes without making them.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


@click.command("apply", short_help="Move or remove the images that a table of fixes names.")
@click.argument("fixes", type=click.Path(path_type=Path))
@dry_run_option
@json_option
def apply(fixes: Path, dry_run: bool, as_json: bool) -> None:
    """Apply the table FIXES, which harness data check --write has written.

    The column `action` of each row is keep, remove, or move to CLASS. No image is deleted: a removed image goes to a
    folder beside the data. If the data is a table of images, the table is rewritten and a copy of the old one is kept.
    All rows are checked before the first image is moved. Data under DVC get a new version.
    """
    from harness.report.texts import count
    from harness.workflows.fixes.apply import apply_fixes

    applied = apply_fixes(fixes, dry_run)
    for note in applied.notes:
        echo(f"note: {note}", err=True)
    _warn(applied.kept)
    if as_json:
        echo_json(_applied_fields(applied, dry_run))
        return
    plan = applied.plan
    if not plan.changed:
        echo(f"{fixes}: nothing to do: the action of all {count(plan.fixes.kept, 'row')} is keep")
        return
    _print_few([_line(one) for one in plan.changed])
    moved = sum(one.fix.label is not None for one in plan.changed)
    counts = f"{moved} moved to another class, {len(plan.changed) - moved} removed, {plan.fixes.kept} kept"
    echo(f"{counts}{' (dry run: nothing was changed)' if dry_run else ''}")
    for changes in applied.changes:
        folder = Path(os.path.relpath(changes.folder))
        if any("/removed/" in move.target for move in changes.record.moves):
            echo(f"removed images: {folder / 'removed'}")
        for table in changes.record.tables:
            echo(f"rewritten: {_shown(changes.file(table.path))}; copy of the old: {_shown(changes.file(table.copy))}")
        echo(f"undo: harness data undo {quote(str(folder))}")
    _print_kept(applied.kept)
    if not dry_run:
        echo(f"next: harness data check {quote(plan.fixes.data)}   checks again")


@click.command("undo", short_help="Undo harness data apply.")
@click.argument("changes", required=False, type=click.Path(path_type=Path))
@dry_run_option
@json_option
def undo(changes: Path | None, dry_run: bool, as_json: bool) -> None:
    """Undo the latest harness data apply, also one that was interrupted.

    CHANGES is the folder that harness data apply has printed. By default it is the latest folder NAME-changes in the
    current folder, in its subfolders, or beside it. A second call undoes the apply before that one.
    """
    from harness.report.texts import count
    from harness.workflows.fixes.undo import undo_changes

    undone = undo_changes(changes, dry_run)
    back, folder = undone.reverted, os.path.relpath(undone.reverted.changes.folder)
    if back.gone:
        from harness.util.text import few

        echo(f"warning: missing, so not moved back: {few(back.gone)}", err=True)
    _warn(undone.kept)
    if as_json:
        echo_json(_undone_fields(undone, dry_run))
        return
    _print_few([f"{move.target} -> {move.source}" for move in back.moves])
    tables = "".join(f", {_shown(back.changes.file(table.path))} restored" for table in back.tables)
    moved = f"{count(len(back.moves), 'image')} moved back{tables}"
    echo(f"{folder}: {moved}{' (dry run: nothing was changed)' if dry_run else ''}")
    _print_kept(undone.kept)


def _line(one: Planned) -> str:
    row, fix = one.fix.row, one.fix
    if fix.label is None:
        return f"{row.file}: removed"
    if one.target is None:
        return f"{row.file}: {fix.given} -> {fix.label}"
    return f"{row.file} -> {_shown(one.target)}"


def _print_few(lines: Sequence[str]) -> None:
    for line in lines[:SHOWN]:
        echo(f"  {line}")
    if len(lines) > SHOWN:
        echo(f"  and {len(lines) - SHOWN} more")


def _warn(kept: Sequence[Kept]) -> None:
    for one in kept:
        if one.note:
            echo(f"note: {one.note}", err=True)
        if one.problem:
            echo(f"warning: {one.problem}", err=True)


def _print_kept(kept: Sequence[Kept]) -> None:
    from harness.report.texts import count

    for one in kept:
        if not one.problem:
            echo(f"{one.path}: {one.md5}, {count(one.files, 'file')}")
            echo(
                f'next: git add {one.add}; git commit -m "..."   keeps the version; harness data push   sends the files'
            )


def _shown(file: Path) -> str:
    """The path, relative to the current folder if it lies below it."""
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)


def _applied_fields(applied: Applied, dry_run: bool) -> dict[str, Any]:
    changed = [
        {
            "file": one.fix.row.file,
            "side": str(one.fix.source.side),
            "from": one.fix.given,
            "to": one.fix.label,
            "path": None if one.target is None else str(one.target),
        }
        for one in applied.plan.changed
    ]
    return {
        "dry_run": dry_run,
        "changed": changed,
        "kept": applied.plan.fixes.kept,
        "changes": [str(changes.folder) for changes in applied.changes],
        "notes": applied.notes,
        "dvc": [one.fields() for one in applied.kept],
    }


def _undone_fields(undone: Undone, dry_run: bool) -> dict[str, Any]:
    back = undone.reverted
    return {
        "dry_run": dry_run,
        "changes": str(back.changes.folder),
        "moved_back": [{"from": move.target, "to": move.source} for move in back.moves],
        "tables": [table.path for table in back.tables],
        "gone": back.gone,
        "dvc": [one.fields() for one in undone.kept],
    }
