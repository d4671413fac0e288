"""Runs git commands that only read."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from harness.errors import HarnessError


def ask_git(folder: Path | str, *arguments: str, seconds: float | None = None) -> bytes:
    """Returns what a git command prints. Raises HarnessError if git is not installed, fails or exceeds `seconds`."""
    try:
        # settings of a repository could make git run any program
        settings = ["core.fsmonitor=false", "safe.bareRepository=explicit"]
        settings += (
            [f"core.hooksPath={os.devnull}"] if arguments[0] != "rev-parse" else []
        )  # rev-parse is used to find the hooks
        options = [part for setting in settings for part in ("-c", setting)]
        command = ["git", "--no-optional-locks", "-C", str(folder), *options, *arguments]
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HarnessError(
            "git cannot be run", getattr(error, "strerror", None) or f"no answer in {seconds} s", "install git"
        ) from error
    if done.returncode:
        message = (done.stderr.decode("utf-8", "replace").strip() or "no message").split("\n")[0]
        raise HarnessError(
            "the repository cannot be searched", f"git: {message}", "git status, and correct what it reports"
        )
    return done.stdout
