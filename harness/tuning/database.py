"""Opens a study's SQL database: finds its driver, checks its tables and returns Optuna's storage."""

from __future__ import annotations

import importlib.util
import re
import time
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import unquote, urlsplit

import optuna
import sqlalchemy
import sqlalchemy.exc

from harness.errors import UsageError
from harness.tuning.sqlite_lock import connect_args, is_locked
from harness.util.addresses import short_address

DRIVERS = {"postgresql": ("psycopg", "psycopg[binary]"), "mysql": ("pymysql", "pymysql")}
SCHEMES = ("postgresql", "mysql", "sqlite", "grpc")
AGAIN_SECONDS = 1.0
SQLITE = b"SQLite format 3\0"  # the first bytes of an SQLite database
OPTUNAS = {  # names of Optuna's tables
    *("alembic_version", "version_info", "studies", "study_directions", "trials", "trial_params", "trial_values"),
    *("study_system_attributes", "study_user_attributes", "trial_system_attributes", "trial_user_attributes"),
    *("trial_heartbeats", "trial_intermediate_values"),
}
KEYS = {"studies": "study_id", "trials": "trial_id", "version_info": "version_info_id"}  # table -> its primary key


def open_database(address: str) -> optuna.storages.BaseStorage:
    """Opens the storage, and makes missing tables. Tries twice, because two processes may make them at once."""
    url = with_driver(address)
    _require_ours(url)
    try:
        return _storage(url)
    except sqlalchemy.exc.SQLAlchemyError as error:
        if is_locked(error):
            raise
        time.sleep(AGAIN_SECONDS)
        return _storage(url)


def read_database(address: str) -> optuna.storages.BaseStorage | None:
    """Opens the storage for reading: creates no file and no table. Returns None if there are no studies."""
    url = with_driver(address)
    file = sqlite_file(url)
    if is_sqlite(url) and (file is None or not file.exists()):
        return None
    return _storage(url, skip_table_creation=True) if _require_ours(url) else None


def is_sqlite(url: str) -> bool:
    return url.partition(":")[0].partition("+")[0] == "sqlite"


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database; None for one in memory and for other kinds of databases."""
    if not is_sqlite(url):
        return None
    name = sqlalchemy.make_url(url).database or ":memory:"
    if name.startswith("file:"):  # a URI of SQLite, such as file:studies.db?mode=ro
        name = unquote(urlsplit(name).path) or ":memory:"
    return None if name == ":memory:" else Path(name)


def with_driver(address: str) -> str:
    """The URL with the installed driver, unless it already names a driver. Raises UsageError."""
    address = re.sub("^postgres://", "postgresql://", address)
    kind = address.partition("://")[0]
    if kind.partition("+")[0] not in SCHEMES:
        raise UsageError(
            f"{kind}:// cannot store a study", f"the kinds of storage are: {', '.join(SCHEMES)}", "--storage with one"
        )
    if kind not in DRIVERS:
        return address
    module, package = DRIVERS[kind]
    if importlib.util.find_spec(module) is None:
        raise UsageError(f"{kind} needs a driver", f"the package {module} is not installed", f'pip install "{package}"')
    return re.sub(rf"^{kind}://", f"{kind}+{module}://", address)


def _storage(url: str, **options: Any) -> optuna.storages.BaseStorage:
    return optuna.storages.RDBStorage(url, engine_kwargs=_engine_options(url), **options)


def _engine_options(url: str) -> dict[str, Any]:
    return {"connect_args": connect_args()} if is_sqlite(url) else {"pool_pre_ping": True}


def _require_ours(url: str) -> bool:
    """Whether a database holds studies.

    Raises UsageError for another program's database, because Optuna's tables would damage it.
    """
    file = sqlite_file(url)
    if file is not None:
        _require_sqlite(file)
    engine = sqlalchemy.create_engine(url, **_engine_options(url))
    try:
        tables = {*sqlalchemy.inspect(engine).get_table_names()}
        version = _version(engine) if "alembic_version" in tables else ""
        strange = _of_other_programs(engine, tables)
    finally:
        engine.dispose()
    others = sorted({*(tables - OPTUNAS), *strange})
    studies = {"studies", "trials", "version_info"} <= tables and not strange
    # on a database server, Optuna may share a database with other programs, unless they use alembic_version as well
    shared = not others or studies or not (strange or is_sqlite(url) or "alembic_version" in tables)
    if not shared or (version and not version.startswith("v")):
        names = [*others, *sorted((tables & OPTUNAS) - strange)]
        holds = f"it has the tables {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
        raise UsageError(
            f"{short_address(url)} is the database of another program",
            f"{holds}, {'and its version is not one of' if studies else 'but no studies of'} Optuna's; "
            "Optuna's tables would damage it",
            "--storage with another database, or no --storage, which uses a journal file",
        )
    return studies


def _version(engine: sqlalchemy.Engine) -> str:
    """The version of the tables in Alembic's table. Optuna's begin with "v"; those of other programs are hashes."""
    with engine.connect() as connection:
        versions = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalars()
        return str(next(iter(versions), ""))


def _of_other_programs(engine: sqlalchemy.Engine, tables: set[str]) -> set[str]:
    """The tables that are named as Optuna's, but have another program's columns."""
    inspector = sqlalchemy.inspect(engine)
    columns = {table: {column["name"] for column in inspector.get_columns(table)} for table in {*KEYS} & tables}
    return {table for table, names in columns.items() if KEYS[table] not in names}


def _require_sqlite(file: Path) -> None:
    """Raises UsageError if the file is not an SQLite database. Does not change it."""
    if not file.parent.is_dir():
        what = f"{file} cannot be made"
        raise UsageError(what, f"there is no folder {file.parent}", f"mkdir -p {quote(str(file.parent))}")
    if file.is_dir():
        raise UsageError(f"{file} is a folder", "a database is a file", f"--storage sqlite:///{file / 'optuna.db'}")
    if file.is_file() and file.stat().st_size:
        with file.open("rb") as opened:
            start = opened.read(len(SQLITE))
        if start != SQLITE:
            journal = start.startswith(b'{"op_code"')
            fix = f"--storage {quote(str(file))}, because it is a journal" if journal else "--storage with another file"
            raise UsageError(f"{file} is not an SQLite database", f"it begins with {start[:12]!r}", fix)
