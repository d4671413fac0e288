"""DVC's lists of the files of a folder: read, or fetched, and looked at before DVC follows them.

DVC writes wherever a list says, in its cache by an entry's MD5 and in the project by its path. A list comes from a
remote, and its own MD5 from a `.dvc` file. Anybody may have made either.
"""

from __future__ import annotations

from shlex import quote
from typing import Any

from harness.errors import DataError
from harness.util.files import md5_of, write_whole
from harness.versioning.cache import cached, remote_database_of
from harness.versioning.tracked import Tracked, listed_files


def listed(repo: Any, tracked: Tracked) -> dict[str, str]:
    """The files of a folder, path -> MD5, whose list DVC's cache has; none of a single file. Raises DataError."""
    return _parsed(cached(repo, tracked).read_bytes(), tracked) if tracked.md5.endswith(".dir") else {}


def contents(repo: Any, tracked: Tracked) -> list[str]:
    """The MD5s of a folder's files, whose list DVC's cache has; none of a single file. Raises DataError."""
    return sorted({*listed(repo, tracked).values()})


def fetch_list(repo: Any, remote: str, tracked: Tracked) -> bool | None:
    """Brings the list of a folder's files into DVC's cache, from the remote of that name.

    Returns whether it was fetched: False where there is none to fetch, or it was here; None where the remote has
    another content in its place. Raises DataError for a list that leads out of the folder.
    """
    local = cached(repo, tracked)
    if not tracked.md5.endswith(".dir") or local.is_file():
        return False
    there = remote_database_of(repo, remote, tracked, "fetch").get(tracked.md5)
    try:
        content = bytes(there.fs.cat_file(there.path))
    except FileNotFoundError:
        return False  # DVC will find so, too, and say it
    if md5_of(content) != tracked.md5.removesuffix(".dir"):
        return None
    _parsed(content, tracked)
    write_whole(local, content)
    return True


def _parsed(content: bytes, tracked: Tracked) -> dict[str, str]:
    try:
        return listed_files(content)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"the version that {tracked.file} stands for is not used",
            f"DVC's list of its files is damaged, or made to do harm: {error}",
            f"git log {quote(str(tracked.file))}, for another version",
        ) from error
