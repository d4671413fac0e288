"""Finds out what an SQLite file is: an MLflow store (complete, incomplete, older or newer) or another program's."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import sqlite3
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

SEEDED = {"alembic_version", "experiments", "workspaces"}  # tables that have rows in a new store


class Condition(Enum):
    """The state of a file, which decides what must happen before MLflow opens it."""

    ABSENT = "there is no file, or it has no tables"
    WHOLE = "it has the schema of this MLflow"
    HALF_MADE = "MLflow did not finish making it, and it holds no runs"
    OLDER = "it holds runs, and has an earlier schema"
    NEWER = "it has a schema that this MLflow does not know"
    FOREIGN = "another program made it"


@dataclass(frozen=True)
class StoreState:
    """A store's condition and schema; `tables` are up to three table names of another program's database."""

    condition: Condition
    revision: str = ""
    tables: tuple[str, ...] = ()


def examine(path: Path) -> StoreState:
    """Returns what the SQLite file at `path` is. Writes nothing, except that SQLite rolls back a broken transaction.

    Raises:
        sqlite3.Error: The file is damaged, locked or not a database.
    """
    if not path.exists():
        return StoreState(Condition.ABSENT)
    with contextlib.closing(sqlite3.connect(path)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        names = {name for name in tables if not name.startswith("sqlite_")}
        if not names:
            return StoreState(Condition.ABSENT)
        if "experiments" not in names and names != {"alembic_version"}:
            return StoreState(Condition.FOREIGN, tables=tuple(sorted(names)[:3]))
        rows = database.execute("SELECT version_num FROM alembic_version") if "alembic_version" in names else ()
        made = {str(version) for (version,) in rows}
        holds_something = _holds_something(database, names)
    known, last = _revisions()
    revision = "-".join(sorted(made))
    if made - known:
        return StoreState(Condition.NEWER, revision)
    if made == {last}:
        return StoreState(Condition.WHOLE, revision)
    return StoreState(Condition.OLDER if holds_something else Condition.HALF_MADE, revision)


def _holds_something(database: sqlite3.Connection, names: set[str]) -> bool:
    """Whether the store has more rows than a new one."""
    if "experiments" in names and len(database.execute("SELECT 1 FROM experiments LIMIT 2").fetchall()) > 1:
        return True
    return any(database.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone() for name in names - SEEDED)


@functools.cache
def _revisions() -> tuple[frozenset[str], str | None]:
    """The schemas that this MLflow knows, and the latest one.

    Each migration file names its own schema and the one before. They are parsed here, because Alembic would import
    MLflow, which takes a second and 150 MB.
    """
    spec = importlib.util.find_spec("mlflow")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0], "store/db_migrations/versions")
    known, replaced = set(), set()
    for path in folder.glob("*.py"):
        values = _literals(path)
        if "revision" not in values:  # __init__.py
            continue
        known.add(values["revision"])
        before = values["down_revision"]
        replaced |= {*before} if isinstance(before, (list, tuple)) else {before}
    return frozenset(known), next(iter(known - replaced), None)


def _literals(path: Path) -> dict[str, Any]:
    """The global names of a module that are set to a literal."""
    values = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(targets[0], ast.Name) and node.value:
            with contextlib.suppress(ValueError):
                values[targets[0].id] = ast.literal_eval(node.value)
    return values
