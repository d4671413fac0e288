"""The folder of this user's cache."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Returns $HARNESS_CACHE, or the system's folder for caches.

    On macOS and Windows, version 0.1.0 used another folder. It is still used as long as it has entries.
    """
    if named := os.environ.get("HARNESS_CACHE"):
        return Path(named)
    with contextlib.suppress(RuntimeError):  # this user has no home
        earlier = _folder_of_0_1_0()
        if any(earlier.glob("*.rows")):
            return earlier
        folder = platformdirs.user_cache_path("harness", appauthor=False)
        if folder.is_absolute():  # without a home, older versions of platformdirs return "~/.cache/harness"
            return folder
    return Path(tempfile.gettempdir(), "harness")


def _folder_of_0_1_0() -> Path:
    named = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return Path(named, "harness") if named else Path.home() / ".cache/harness"
