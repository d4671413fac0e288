"""Finds a version in DVC's cache. DVC is asked, because the path depends on its settings and its version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.versioning.tracked import Tracked


def database_of(repo: Any, tracked: Tracked) -> Any:
    """Returns the part of DVC's cache that a tracked path belongs to: that of DVC 2 or of DVC 3."""
    return repo.cache.legacy if tracked.legacy else repo.cache.local


def remote_database_of(repo: Any, remote: str, tracked: Tracked, command: str) -> Any:
    """Like `database_of`, for a remote. `command` is for DVC's message if the remote cannot be used."""
    return repo.cloud.get_remote_odb(remote, command, "md5-dos2unix" if tracked.legacy else "md5")


def cached(repo: Any, tracked: Tracked, md5: str = "") -> Path:
    """Returns the path in DVC's cache for an MD5, by default that of the version. For a folder, it is its file list."""
    return Path(database_of(repo, tracked).oid_to_path(md5 or tracked.md5))


def cached_here(tracked: Tracked, md5: str) -> Path | None:
    """Like `cached`, but opens the DVC project of the path. Returns None if DVC is not installed, or fails."""
    try:
        from dvc.repo import Repo

        with Repo(str(tracked.file.parent)) as repo:
            return cached(repo, tracked, md5)
    except Exception:  # such as a damaged configuration, which the commands that need it report
        return None
