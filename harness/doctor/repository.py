"""Checks of the git repository: the hook that refuses secrets, and secrets that are already in it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from harness.doctor import leaks
from harness.doctor.finding import OK, PROBLEM, WARNING, Finding
from harness.doctor.hook import hook_file, is_ours
from harness.errors import HarnessError

MOST = 5  # number of places to name
REVOKE = "first revoke it, where it was created (Google's console: Keys, Delete)"
# filter-repo removes the address of the remote, and `--all` does not push tags
PURGE = (
    "pip install git-filter-repo; git filter-repo --force --invert-paths --path {}; "
    "git remote add origin ADDRESS; git push --force --all; git push --force --tags"
)


def hook() -> Iterator[Finding]:
    """Checks whether the hook is installed."""
    path = hook_file(Path())
    if path is None:
        yield Finding("git", WARNING, "this is not a git repository: runs cannot record their code version", "git init")
    elif is_ours(path) and os.access(path, os.X_OK):  # git ignores a hook that is not executable
        yield Finding("git hook", OK, "each commit is searched for keys and tokens")
    else:
        yield Finding(
            "git hook", WARNING, "no hook searches commits for keys and tokens", "harness doctor --install-hook"
        )


def secrets(alone: bool = False) -> Iterator[Finding]:
    """Searches the working tree and the history. If this is the only check (`alone`), a failed search is a problem."""
    if hook_file(Path()) is None and not alone:
        return  # `hook` has reported it
    try:
        here, before = leaks.in_tree(), leaks.in_history()
    except HarnessError as error:
        yield Finding("secrets", PROBLEM if alone else WARNING, f"{error.what}: {error.why}", error.fix)
        return
    if not here and not before:
        yield Finding("secrets", OK, "no key or token in the tree or in the history")
    if leaks.is_shallow():
        yield Finding("history", WARNING, "this is a shallow clone: only a part was searched", "git fetch --unshallow")
    if here:
        tracked = leaks.tracked_names()
        known = sorted({shlex.quote(leak.path) for leak in here if leak.path in tracked})
        fix = "move it out of the project"  # enough for a file that git has not tracked
        if known:
            fix = f"{REVOKE}; then git rm --cached {' '.join(known)}, and {fix}"
        yield Finding("secrets", PROBLEM, _listed(here), fix)
    if before:
        paths = sorted({shlex.quote(leak.path) for leak in before})
        yield Finding(
            "secrets, history", PROBLEM, _listed(before), f"{REVOKE}; then {PURGE.format(' --path '.join(paths))}"
        )


def _listed(secrets: list[leaks.Leak]) -> str:
    more = f", and {len(secrets) - MOST} more" if len(secrets) > MOST else ""
    return "; ".join(str(leak) for leak in secrets[:MOST]) + more
