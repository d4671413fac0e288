"""The git hook that refuses a commit that contains a key or token."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from harness.errors import HarnessError, UsageError, storage_errors
from harness.versioning.git import ask_git

MARK = "harness doctor --staged"
TEXT = """#!/bin/sh
# Refuses a commit that holds a key or token: {mark}
python="{python}"
if [ ! -x "$python" ]; then
    echo "error: this commit cannot be searched for keys and tokens" >&2
    echo "  why: the environment is gone that the hook was installed from" >&2
    echo "  try: harness doctor --install-hook, from another one" >&2
    exit 1
fi
exec "$python" -m {mark}
"""


def hook_file(root: Path) -> Path | None:
    """The path of the hook; None if there is no repository, or git is not installed."""
    try:
        return root / os.fsdecode(ask_git(root, "rev-parse", "--git-path", "hooks/pre-commit")).strip()
    except HarnessError:
        return None


def is_ours(path: Path) -> bool:
    """Whether the hook at `path` searches for secrets."""
    return MARK in _text(path)


def install_hook(root: Path = Path()) -> Path:
    """Writes the hook, for commits and merges. Raises UsageError if the repository has another hook."""
    path = hook_file(root)
    if path is None:
        raise UsageError("this is not a git repository", f"looked in {root.absolute()}", "git init")
    text = TEXT.format(python=sys.executable, mark=MARK)
    places = (path, path.with_name("pre-merge-commit"))
    for target in places:
        if target.exists() and _without_python(_text(target)) != _without_python(text):
            raise UsageError(
                f"{target} exists already",
                "it is another hook, which is not replaced",
                f'add to it: "{sys.executable}" -m {MARK} || exit 1',
            )
    for target in places:
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            target.chmod(0o755)
    return path


def _without_python(text: str) -> str:
    return re.sub(r'^python=".*"$', "", text, flags=re.MULTILINE)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
