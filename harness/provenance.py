"""What a result came from: code, data, versions and machine, as plain values for `run.json`."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.data.folders import tracking_file
from harness.redact import shown
from harness.version import __version__

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "scikit-learn")


def git_state(folder: Path | str = ".") -> dict[str, Any] | None:
    """{"commit": ..., "dirty": ...} of the repository around `folder`; None where there is none, or no git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}


def dvc_state(data: Path | str) -> dict[str, str] | None:
    """{"file": ..., "md5": ...} of the `.dvc` file that tracks `data`; None where there is none."""
    file = tracking_file(data)
    if file is None:
        return None
    found = re.search(r"^\s*-?\s*md5:\s*(\S+)", file.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return {"file": file.as_posix(), "md5": found[1]} if found else None


def versions() -> dict[str, str]:
    """Versions of Python, of `harness`, and of the packages that a number can depend on."""
    found = {"python": platform.python_version(), "harness": __version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """The system and its cores."""
    return {"system": platform.platform(), "cores": os.cpu_count()}


def command() -> list[str]:
    """The command line as it was typed, less passwords; of a program somewhere else, its name alone."""
    program, typed = Path(sys.argv[0]), [shown(argument) for argument in sys.argv[1:]]
    if program.name in ("__main__.py", "harness"):
        return ["harness", *typed]
    return [program.name if program.is_absolute() else program.as_posix(), *typed]


def _git(folder: Path | str, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
