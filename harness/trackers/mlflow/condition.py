"""What an SQLite file is to MLflow: a store, half of one, an older or a newer one, or another program's database."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

SEEDED = {"alembic_version", "experiments", "workspaces"}  # tables that a new store has rows in


class Condition(Enum):
    """What has to be done before MLflow may open the file."""

    ABSENT = "there is no file, or one without tables"
    WHOLE = "it has the schema of this MLflow"
    HALF_MADE = "a step of making it is missing, and it holds nothing"
    OLDER = "it holds something, and has an earlier schema"
    NEWER = "it has a schema that this MLflow does not know"
    FOREIGN = "another program made it"


@dataclass(frozen=True)
class StoreState:
    """A store's condition, and the schema that it has; `tables` are a few of the names in it."""

    condition: Condition
    revision: str = ""
    tables: tuple[str, ...] = ()


def examine(path: Path) -> StoreState:
    """Returns what the SQLite file at `path` is. Writes nothing, but SQLite undoes a transaction that was cut off.

    Raises:
        sqlite3.Error: The file is damaged, locked or no database.
    """
    if not path.exists():
        return StoreState(Condition.ABSENT)
    with contextlib.closing(sqlite3.connect(path)) as database:
        found = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        names = {name for name in found if not name.startswith("sqlite_")}
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
    """Whether it has more than the rows of a new store."""
    if "experiments" in names and len(database.execute("SELECT 1 FROM experiments LIMIT 2").fetchall()) > 1:
        return True
    return any(database.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone() for name in names - SEEDED)


@functools.cache
def _revisions() -> tuple[frozenset[str], str | None]:
    """The schemas that this MLflow knows, and the last of them."""
    import mlflow
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    return frozenset(script.revision for script in scripts.walk_revisions()), scripts.get_current_head()
