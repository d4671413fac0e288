"""Finds keys, tokens and passwords in git: in the working tree, in the next commit, in the history.

A finding names the place and the kind. It never contains the secret.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from harness.doctor.secret_kinds import secrets_in
from harness.errors import HarnessError
from harness.versioning.git import ask_git

SUBMODULE = "160000"  # git's mode of a submodule, which has a separate history
LARGEST = 50_000_000  # bytes; a larger file is data


@dataclass(frozen=True)
class Leak:
    """The place and the kind of one secret."""

    kind: str
    path: str
    line: int
    commit: str = ""  # the commit that added it, if it is in the history

    def __str__(self) -> str:
        return f"{self.kind} in {self.path}, line {self.line}" + (f", commit {self.commit[:10]}" if self.commit else "")


def in_text(text: str, path: str) -> list[Leak]:
    """Returns the secrets in the text of a file, at most one of each kind per line."""
    return [Leak(kind, path, line) for line, kind in secrets_in(text, path)]


def in_tree(root: Path = Path()) -> list[Leak]:
    """Returns the secrets in files that git tracks, or would track after `git add --all`."""
    root = _top(root)
    names = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    leaks = []
    for path in sorted({root / name for name in names if name}):
        with suppress(OSError):
            # git stores only the target's name of a link
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST:
                leaks += _in_bytes(path.read_bytes(), path.relative_to(root).as_posix())
    return leaks


def tracked_names(root: Path = Path()) -> set[str]:
    """Returns the names of the files that git tracks, or that the next commit adds."""
    return {name for name in _git(_top(root), "ls-files", "-z", "--cached").split("\0") if name}


def in_index(root: Path = Path()) -> list[Leak]:
    """Returns the secrets in files that the next commit adds or changes."""
    root = _top(root)
    fields = _git(
        root, "diff", "--cached", "--no-relative", "--raw", "--no-abbrev", "--no-renames", "-z", "--diff-filter=ACMT"
    ).split("\0")
    pairs = [(change.split(), name) for change, name in zip(fields[::2], fields[1::2], strict=False)]
    named = [(change[3], name) for change, name in pairs if change[1] != SUBMODULE]
    return [leak for _, name, content in _blobs(root, named) for leak in _in_bytes(content, name)]


def in_history(root: Path = Path()) -> list[Leak]:
    """Returns the secrets in any commit of any branch, tag or stash. Raises HarnessError if git cannot read one."""
    root = _top(root)
    everywhere = ["--all", *_git(root, "stash", "list", "--format=%H").split()]
    listed = (line.partition(" ") for line in _git(root, "rev-list", "--objects", *everywhere).split("\n"))
    leaks = []
    for sha, name, content in _blobs(root, [(own, name) for own, _, name in listed if name]):
        in_blob = _in_bytes(content, name)
        if in_blob:
            commits = _git(root, "log", *everywhere, "-m", "--reverse", "--format=%H", f"--find-object={sha}").split()
            leaks += [replace(leak, commit=commits[0] if commits else "") for leak in in_blob]
    return leaks


def is_shallow(root: Path = Path()) -> bool:
    """Whether the repository was cloned without its whole history."""
    return _git(root, "rev-parse", "--is-shallow-repository").strip() == "true"


def _top(root: Path) -> Path:
    """The top folder of the repository, so that the whole repository is searched."""
    return Path(_git(root, "rev-parse", "--show-toplevel").rstrip("\n"))


def _blobs(root: Path, named: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, bytes]]:
    """(object, name, content) of each object that is a file and not too large."""
    command = ["git", "-C", str(root), "cat-file", "--batch"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018
        for sha, name in named:
            process.stdin.write(f"{sha}\n".encode())
            process.stdin.flush()
            _, kind, *size = process.stdout.readline().decode().split()
            if not size:
                raise HarnessError("git cannot read the history", f"{sha} of {name}: {kind}", "git fsck")
            content = process.stdout.read(int(size[0]) + 1)[:-1]
            if kind == "blob" and len(content) <= LARGEST:
                yield sha, name, content


def _in_bytes(content: bytes, path: str) -> list[Leak]:
    """Searches bytes. Zero bytes are removed first, so that UTF-16 text is searched, too."""
    return in_text(content.replace(b"\0", b"").decode("utf-8", "replace"), path)


def _git(root: Path, *arguments: str) -> str:
    return ask_git(root, *arguments).decode("utf-8", "surrogateescape")
