"""Where DVC's cache has a version: DVC says so, which knows its settings and the layouts of its versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.versioning.tracked import Tracked


def database_of(repo: Any, tracked: Tracked) -> Any:
    """Returns the part of DVC's cache that a tracked path belongs to: that of DVC 2, or that of DVC 3."""
    return repo.cache.legacy if tracked.legacy else repo.cache.local


def remote_database_of(repo: Any, remote: str, tracked: Tracked, command: str) -> Any:
    """Returns the same of the remote with that name; `command` is for DVC's message if the remote cannot be used."""
    return repo.cloud.get_remote_odb(remote, command, "md5-dos2unix" if tracked.legacy else "md5")


def cached(repo: Any, tracked: Tracked, md5: str = "") -> Path:
    """Returns where DVC's cache has what has that MD5, by default the version; of a folder, the list of its files."""
    return Path(database_of(repo, tracked).oid_to_path(md5 or tracked.md5))


def cached_here(tracked: Tracked, md5: str) -> Path | None:
    """Returns the same without an open DVC project; None if DVC is not installed or cannot say."""
    try:
        from dvc.repo import Repo

        with Repo(str(tracked.file.parent)) as repo:
            return cached(repo, tracked, md5)
    except Exception:  # a damaged configuration, say, which the commands that need it explain
        return None
