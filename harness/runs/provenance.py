"""What a result came from: code, data, versions and machine, as plain values for `run.json`."""

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
    """The commit of the repository around `folder`; None if there is none, or no git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    status = _git(folder, "status", "--porcelain", "--untracked-files=all")
    return GitRecord(commit, status is None or bool(status))  # of what git cannot read, the worst


def changed_files(since: str | None = None, folder: Path | str = ".") -> list[str]:
    """Files that differ from the commit `since`; by default from the last one, with files that git does not know."""
    if since is not None:
        return [
            name
            for name in (
                _git(folder, "diff", "--name-only", "--no-ext-diff", "--end-of-options", since, "--") or ""
            ).splitlines()
            if name
        ]
    status = _git(folder, "status", "--porcelain", "--untracked-files=all") or "what git cannot read"
    return [line.strip().partition(" ")[2].strip() for line in status.splitlines()]


def dvc_state(data: Path | str, known: Mapping[Path, str] | None = None) -> DvcRecord | None:
    """The `.dvc` file that tracks `data`; None if there is none. Files whose MD5 is `known` are not read again."""
    file = tracking_file(data)
    if file is None:
        return None
    try:
        tracked = read_tracked(file)
        matches = state_of(tracked, known).word == CLEAN
    except DataError:  # a damaged .dvc file is no reason not to train
        return None
    return DvcRecord(file.as_posix(), tracked.md5, matches)


def require_clean(git: GitRecord | None, dvc: DvcRecord | None, data: Path | str, source: Path | None = None) -> None:
    """Raises UsageError or DataError where a result could not be traced to a commit and a version of the data.

    `source` is the experiment's file, which must be in the commit, too.
    """
    if git is None:
        raise UsageError("the code is in no commit", "this is no git repository", "git init, git add, git commit")
    if git.dirty:
        raise UsageError(
            "the project is not what its commit says",
            f"it differs in {few(changed_files())}",
            "git add and git commit, or git stash -u",
        )
    marked = [line for line in (_git(".", "ls-files", "-v", "-z") or "").split("\0") if line]
    hidden = [line[2:] for line in marked if line[0].islower() or line[0] == "S"]
    if hidden:
        raise UsageError(
            "git was told to overlook changes",
            f"of {few(hidden)}",
            "git update-index --no-assume-unchanged --no-skip-worktree FILE",
        )
    if dvc is None:
        raise DataError(
            f"{data} is not tracked", "no .dvc file stands for it", f"harness data track {quote(str(data))}"
        )
    named = [*([] if source is None else [source]), Path(dvc.file)]
    unknown = [str(path) for path in named if _git(".", "ls-files", "--error-unmatch", str(path)) is None]
    unknown += sorted(_own_modules() - {line[2:] for line in marked})
    if unknown:
        raise UsageError(
            f"{few(unknown)} {'are' if len(unknown) > 1 else 'is'} in no commit",
            "git does not know it, and the run takes it",
            f"git add {' '.join(map(quote, unknown))}, and git commit",
        )
    if not dvc.matches:
        raise DataError(
            f"{data} is not what {dvc.file} says", "files were changed, added or removed", "harness data status"
        )


def _own_modules() -> set[str]:
    """Python files below the current folder, less installed packages, that have been imported."""
    here = Path.cwd().resolve()
    files = {str(getattr(module, "__file__", "")) for module in [*sys.modules.values()]}
    paths = [Path(file).resolve() for file in files if Path(file).is_absolute() and file.endswith(".py")]
    own = [path.relative_to(here) for path in paths if path.is_relative_to(here)]
    return {path.as_posix() for path in own if "site-packages" not in path.parts}


def weights_md5(weights: str | None) -> str | None:
    """Which file of weights it was; None of torchvision's, whose name is their version, and where there are none."""
    path = Path(weights) if weights is not None else None
    return _md5_as_of(path, path.stat().st_mtime_ns) if path is not None and path.is_file() else None


@cache
def _md5_as_of(path: Path, _changed: int) -> str:
    return file_md5(path)


def versions() -> dict[str, str]:
    """Versions of Python, of `harness`, and of the packages that a number can depend on."""
    versions = {"python": platform.python_version(), "harness": __version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def machine() -> dict[str, Any]:
    """The system and its cores."""
    return {"system": platform.platform(), "cores": os.cpu_count()}


def command() -> list[str]:
    """The command line as it was typed, with short addresses; of a program somewhere else, its name alone."""
    program, typed = Path(sys.argv[0]), typed_without_secrets(sys.argv[1:])
    if program.name in ("__main__.py", "harness"):
        return ["harness", *typed]
    return [program.name if program.is_absolute() else program.as_posix(), *typed]


def _git(folder: Path | str, *arguments: str) -> str | None:
    """None where git cannot say."""
    try:
        return ask_git(folder, *arguments, seconds=30).decode("utf-8", "replace").strip()
    except HarnessError:
        return None
