"""Makes the projects that the pages' commands run in, with the commands that a user types.

| project | what it has |
|---|---|
| `empty` | nothing |
| `demo` | the demo data and `experiments/quickstart.py` |
| `run` | also a finished run of it with a model trained on all images, and its test |
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from pathlib import Path

from shell import Shell

STEPS = {
    "empty": (),
    "demo": ("harness init .", "harness data demo"),
    "run": ("harness run quickstart --refit", "harness sync runs/quickstart/2*", "harness test runs/quickstart/2*"),
}


def make_project(name: str, folder: Path, scratch: Path) -> None:
    """Fills `folder` with the project `name`. The projects are made once in `scratch` and then copied."""
    source = scratch / "made" / name
    if not (source / ".made").exists():
        shutil.rmtree(source, ignore_errors=True)
        if name == "run":
            make_project("demo", source, scratch)
        else:
            source.mkdir(parents=True)
        with Shell(source, scratch) as shell:
            for command in STEPS[name]:
                output, code = shell.run(command)
                if code:
                    raise RuntimeError(f"{command} ended with exit code {code}:\n" + "\n".join(output))
        (source / ".made").touch()
    shutil.copytree(source, folder)
    (folder / ".made").unlink()
    if (folder / "mlflow.db").exists():
        move_store(folder / "mlflow.db", str(source), str(folder))


def move_store(database: Path, old: str, new: str) -> None:
    """Replaces a path in all text of an MLflow store, which keeps absolute paths."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
                if re.match("VARCHAR|TEXT|CLOB", kind.upper()):
                    change = f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE "{column}" LIKE ?'
                    connection.execute(change, (old, new, f"%{old}%"))
