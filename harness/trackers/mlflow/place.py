"""Checks that MLflow writes a run's files into this project, and not to an outdated location.

When MLflow makes an experiment, it stores the location as an absolute path, and no command changes it. So the location
is wrong after the project's folder was moved or copied.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from harness.errors import RemoteError
from harness.trackers.mlflow.store import DEFAULT, is_server, is_typed, sqlite_file
from harness.util.addresses import short_address
from harness.util.schema import is_inside

OWN_FILES = "mlruns"  # the folder, below the current one, where MLflow keeps files by default
SCHEME = re.compile(r"[A-Za-z][\w+.-]+:")  # two letters at least: `C:\x` is a path


def local_folder(location: str) -> Path | None:
    """Returns the folder that MLflow writes to for `location`; None if it is not on this machine.

    MLflow decodes a path like a URL: for `/a%20b` it writes to `/a b`.
    """
    if location.startswith("file:"):
        parsed = urlparse(location)
        return None if parsed.netloc not in ("", "localhost") else Path(url2pathname(parsed.path))
    return None if SCHEME.match(location) else Path(url2pathname(location))


def is_elsewhere(uri: str, location: str) -> bool:
    """Returns whether files at `location` would be written to an unexpected place.

    Args:
        uri: The address of the store that names the location.
        location: The location of an experiment or a run: an address or a path.
    """
    folder, file = local_folder(location), sqlite_file(uri)
    if folder is None:
        return not is_typed() and file is not None
    own = file is not None and os.path.realpath(file.parent) == os.path.realpath(Path.cwd())
    if own and not is_typed():  # the file `mlflow.db` may have been copied with the project, and may name any folder
        return not is_inside(folder, Path(OWN_FILES))
    parts = [parent for parent in folder.parents if parent.name == OWN_FILES]
    if own and parts:
        return os.path.realpath(parts[0].parent) != os.path.realpath(Path.cwd())
    home = parts[0].parent if parts else folder.parent.parent
    return not home.exists()


def are_gone(uri: str, location: str) -> bool:
    """Returns whether `location` is in this project on this machine, but its files do not exist."""
    folder = local_folder(location)
    return folder is not None and not is_server(uri) and not is_elsewhere(uri, location) and not folder.exists()


def own_location() -> str | None:
    """Returns a location in this project for a new experiment; None if MLflow's default is right."""
    here = Path.cwd()
    if url2pathname(str(here)) == str(here) or os.name == "nt":
        return None
    return (here / OWN_FILES / os.urandom(4).hex()).as_uri()


def require_own_place(uri: str, location: str) -> None:
    """Raises RemoteError if this machine would write files at `location` elsewhere: see `is_elsewhere`.

    `left_out_files` does this for a server: it chooses the location, and gets the metrics even without the files.
    """
    if is_server(uri) or not is_elsewhere(uri, location):
        return
    fix = "export MLFLOW_EXPERIMENT_NAME=NAME, for another experiment"
    if uri == DEFAULT:
        fix = (
            f"mv mlflow.db mlflow.db.old, for a new store; or export MLFLOW_TRACKING_URI={DEFAULT}, "
            "if the location is right"
        )
    raise RemoteError(
        f"MLflow at {short_address(uri)} is not used",
        f"it would write its files to {short_address(location)}, which is not this project's {OWN_FILES}/",
        fix,
    )


def left_out_files(uri: str, location: str) -> str:
    """Returns why a server does not get a run's files; an empty string if it does.

    A server that does not accept uploads names a folder on its machine. MLflow would make that folder on this one.
    """
    if not is_server(uri) or not is_elsewhere(uri, location):
        return ""
    return (
        f"{short_address(uri)} keeps files in {short_address(location)}, a folder that this machine does not have: "
        f"files and model are not sent (mlflow server --artifacts-destination FOLDER accepts uploads)"
    )
