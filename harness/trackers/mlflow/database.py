"""Makes an SQLite store whole: a new one, or one that was never finished.

MLflow makes its tables in about fifty transactions. If it is killed between two of them, it can no longer use the
file. So a new store is made under another name, and renamed when it is whole.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import sqlite3
import subprocess
import time
from pathlib import Path

from harness.util.processes import python_module

QUIET_SECONDS = 3.0  # without a change to an unfinished store: nobody is making it now
MOST_SECONDS = 60.0  # to wait for the process that makes it
LEFTOVER_SECONDS = 3600.0  # after which a store under a temporary name is one that somebody was killed over
SEEDED = {"alembic_version", "experiments", "workspaces"}  # tables that a new store has rows in


def make_whole(path: Path) -> str:
    """Makes the store at `path` if there is none, or if MLflow was killed while it made it.

    An unfinished store holds no runs. It is kept under another name.

    Returns:
        A note that names that other file; an empty string if there is nothing to say.
    """
    if not path.exists():
        _make(path)
        return ""
    if not _stays_unfinished(path):
        return ""
    aside = _free_name(path)
    path.rename(aside)
    _make(path)
    return f"MLflow was killed while it made {path}, and cannot use it: it holds no runs, and is now {aside.name}"


def is_finished(path: Path) -> bool:
    """Returns whether all steps of making the store at `path` were taken, or whether it holds something.

    A store with a run, or of a version that this MLflow does not know, is not looked at any further.
    """
    with contextlib.closing(sqlite3.connect(path)) as database:
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        names = {name for name in names if not name.startswith("sqlite_")}
        if not names:
            return True  # MLflow takes an empty file for a new store
        if "experiments" in names and len(database.execute("SELECT 1 FROM experiments LIMIT 2").fetchall()) > 1:
            return True
        if any(database.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone() for name in names - SEEDED):
            return True
        rows = database.execute("SELECT version_num FROM alembic_version") if "alembic_version" in names else ()
        made = {version for (version,) in rows}
    known, last = _revisions()
    return bool(made - known) or last in made


def _stays_unfinished(path: Path) -> bool:
    """Whether the store is unfinished and nobody is about to finish it."""
    deadline = time.monotonic() + MOST_SECONDS
    while not is_finished(path):
        if time.time() - path.stat().st_mtime > QUIET_SECONDS or time.monotonic() > deadline:
            return True
        time.sleep(0.2)
    return False


def _make(path: Path) -> None:
    """Makes a store beside `path`, and gives it that name unless another process was faster.

    Nothing is made where MLflow's own command fails: MLflow will say why when it is asked to use the store.
    """
    if not path.parent.is_dir():
        return
    for leftover in path.parent.glob(f".{path.name}-*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
                leftover.unlink()
    made = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    # relative to its folder, whose path may hold a "?", where a database's address would end
    command = python_module("mlflow", "db", "upgrade", f"sqlite:///{made.name}")
    try:
        subprocess.run(command, cwd=path.parent, capture_output=True, stdin=subprocess.DEVNULL, check=True)
        if is_finished(made):
            _give_name(made, path)
    except (OSError, subprocess.CalledProcessError, sqlite3.Error):
        pass
    finally:
        made.unlink(missing_ok=True)


def _give_name(made: Path, path: Path) -> None:
    try:
        os.link(made, path)  # which fails if the name is taken
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not path.exists():
            made.rename(path)


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.unfinished{f'-{i}' if i else ''}") for i in range(1000))
    return next(name for name in names if not name.exists())


@functools.cache
def _revisions() -> tuple[frozenset[str], str | None]:
    """The steps that this MLflow knows, and the last of them."""
    import mlflow
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    return frozenset(script.revision for script in scripts.walk_revisions()), scripts.get_current_head()
