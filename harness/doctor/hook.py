"""The git hook that refuses a commit that contains a key or token."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from harness.errors import HarnessError, UsageError, storage_errors
from harness.util.files import md5_of
from harness.versioning.git import ask_git

MARK = "harness doctor --staged"
TEXT = """#!/bin/sh
# Refuses a commit that contains a key or token: {mark}
python="{python}"
if [ ! -x "$python" ]; then
    echo "error: this commit cannot be searched for keys and tokens" >&2
    echo "  why: the Python environment of the hook was removed" >&2
    echo "  try: harness doctor --install-hook, in another environment" >&2
    exit 1
fi
exec "$python" -m {mark}
"""


EARLIER = "836707e21a49a6ce01ce5dc9cd0da993"  # MD5 of the hook of version 0.1.0, without the path of its Python


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
        if target.exists() and not _is_replaceable(_text(target), text):
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


def _is_replaceable(there: str, text: str) -> bool:
    """Whether an existing hook was written by `install_hook` and was not changed."""
    there = _without_python(there)
    return there == _without_python(text) or md5_of(there.encode()) == EARLIER


def _without_python(text: str) -> str:
    return re.sub(r'^python=".*"$', "", text, flags=re.MULTILINE)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
