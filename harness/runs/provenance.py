"""The origin of a result: code, data, versions and machine, as plain values for `run.json`."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from shlex import quote
from typing import Any

from harness.errors import DataError, HarnessError, UsageError
from harness.runs.record_parts import DvcRecord, GitRecord
from harness.util.addresses import typed_without_secrets
from harness.util.files import file_md5
from harness.util.text import few
from harness.version import __version__
from harness.versioning.git import ask_git
from harness.versioning.tracked import CLEAN, read_tracked, state_of, tracking_file

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "scikit-learn")


def git_state(folder: Path | str = ".") -> GitRecord | None:
    """Returns the commit of the git repository that `folder` is in, or None without a repository or without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    status = _git(folder, "status", "--porcelain", "--untracked-files=all")
    return GitRecord(commit, status is None or bool(status))  # if git fails, files may differ


def changed_files(since: str | None = None, folder: Path | str = ".") -> list[str]:
    """Returns files that differ from the commit `since`. The default is the last commit, with untracked files."""
    if since is not None:
        return [
            name
            for name in (
                _git(folder, "diff", "--name-only", "--no-ext-diff", "--end-of-options", since, "--") or ""
            ).splitlines()
            if name
        ]
    status = _git(folder, "status", "--porcelain", "--untracked-files=all") or "M files that git cannot read"
    return [line.strip().partition(" ")[2].strip() for line in status.splitlines()]


def dvc_state(data: Path | str, known: Mapping[Path, str] | None = None) -> DvcRecord | None:
    """Returns the `.dvc` file that tracks `data`, or None. Files whose MD5 is `known` are not read again."""
    file = tracking_file(data)
    if file is None:
        return None
    try:
        tracked = read_tracked(file)
        matches = state_of(tracked, known).word == CLEAN
    except DataError:  # training does not need a valid .dvc file
        return None
    return DvcRecord(file.as_posix(), tracked.md5, matches)


def require_clean(git: GitRecord | None, dvc: DvcRecord | None, data: Path | str, source: Path | None = None) -> None:
    """Raises UsageError or DataError if a result could not be traced to a commit and a version of the data.

    `source` is the experiment's file, which must also be in the commit.
    """
    if git is None:
        raise UsageError(
            "the code is not in a commit", "the folder is not a git repository", "git init, git add, git commit"
        )
    if git.dirty:
        raise UsageError(
            "the project has uncommitted changes",
            f"these files differ from the commit: {few(changed_files())}",
            "git add and git commit, or git stash -u",
        )
    marked = [line for line in (_git(".", "ls-files", "-v", "-z") or "").split("\0") if line]
    hidden = [line[2:] for line in marked if line[0].islower() or line[0] == "S"]
    if hidden:
        raise UsageError(
            "git ignores changes of tracked files",
            f"a flag hides changes of {few(hidden)}",
            "git update-index --no-assume-unchanged --no-skip-worktree FILE",
        )
    if dvc is None:
        raise DataError(f"{data} is not tracked", "it has no .dvc file", f"harness data track {quote(str(data))}")
    named = [*([] if source is None else [source]), Path(dvc.file)]
    unknown = [str(path) for path in named if _git(".", "ls-files", "--error-unmatch", str(path)) is None]
    unknown += sorted(_own_modules() - {line[2:] for line in marked})
    if unknown:
        raise UsageError(
            f"{few(unknown)} {'are' if len(unknown) > 1 else 'is'} not in a commit",
            "the run uses the code, and git does not track it",
            f"git add {' '.join(map(quote, unknown))}, and git commit",
        )
    if not dvc.matches:
        raise DataError(
            f"{data} does not match {dvc.file}", "files were changed, added or removed", "harness data status"
        )


def _own_modules() -> set[str]:
    """The imported Python files below the current folder, without installed packages."""
    here = Path.cwd().resolve()
    files = {str(getattr(module, "__file__", "")) for module in [*sys.modules.values()]}
    paths = [Path(file).resolve() for file in files if Path(file).is_absolute() and file.endswith(".py")]
    own = [path.relative_to(here) for path in paths if path.is_relative_to(here)]
    return {path.as_posix() for path in own if "site-packages" not in path.parts}


def weights_md5(weights: str | None) -> str | None:
    """Returns the MD5 of a file of weights. None without weights, and for torchvision's, whose name has a version."""
    path = Path(weights) if weights is not None else None
    return _md5_as_of(path, path.stat().st_mtime_ns) if path is not None and path.is_file() else None


@cache
def _md5_as_of(path: Path, _changed: int) -> str:
    return file_md5(path)


def versions() -> dict[str, str]:
    """Returns the versions of Python, of `harness`, and of the packages that results can depend on."""
    versions = {"python": platform.python_version(), "harness": __version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def machine() -> dict[str, Any]:
    """Returns the operating system and the number of cores."""
    return {"system": platform.platform(), "cores": os.cpu_count()}


def command() -> list[str]:
    """Returns the typed command line without passwords. A program with an absolute path loses its folder."""
    program, typed = Path(sys.argv[0]), typed_without_secrets(sys.argv[1:])
    if program.name in ("__main__.py", "harness"):
        return ["harness", *typed]
    return [program.name if program.is_absolute() else program.as_posix(), *typed]


def _git(folder: Path | str, *arguments: str) -> str | None:
    """The output of git, or None if git fails."""
    try:
        return ask_git(folder, *arguments, seconds=30).decode("utf-8", "replace").strip()
    except HarnessError:
        return None
