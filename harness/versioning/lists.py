"""Reads, fetches and checks DVC's lists of the files of a folder, before DVC uses them.

DVC writes to every place that a list names: in its cache by an entry's MD5, and in the project by its path. A list
comes from a remote, and its MD5 from a `.dvc` file. Both may come from an untrusted author.
"""

from __future__ import annotations

from shlex import quote
from typing import Any

from harness.errors import DataError
from harness.util.files import md5_of, write_whole
from harness.versioning.cache import cached, remote_database_of
from harness.versioning.tracked import Tracked, listed_files


def listed(repo: Any, tracked: Tracked) -> dict[str, str]:
    """Path -> MD5 of a folder's files, from the list in DVC's cache. Empty for a single file. Raises DataError."""
    return _parsed(cached(repo, tracked).read_bytes(), tracked) if tracked.md5.endswith(".dir") else {}


def contents(repo: Any, tracked: Tracked) -> list[str]:
    """The MD5s of a folder's files, from the list in DVC's cache. Empty for a single file. Raises DataError."""
    return sorted({*listed(repo, tracked).values()})


def fetch_list(repo: Any, remote: str, tracked: Tracked) -> bool | None:
    """Fetches the list of a folder's files from a remote to DVC's cache.

    Returns:
        True if it was fetched. False if it was there already, or if the remote has none. None if the remote has
        different content in its place.

    Raises:
        DataError: A path in the list points outside the folder.
    """
    local = cached(repo, tracked)
    if not tracked.md5.endswith(".dir") or local.is_file():
        return False
    there = remote_database_of(repo, remote, tracked, "fetch").get(tracked.md5)
    try:
        content = bytes(there.fs.cat_file(there.path))
    except FileNotFoundError:
        return False  # DVC reports it
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
            f"the version in {tracked.file} is not used",
            f"DVC's list of its files is damaged or malicious: {error}",
            f"git log {quote(str(tracked.file))}, for another version",
        ) from error
