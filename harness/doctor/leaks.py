"""Keys, tokens and passwords in git: in the tree, in the next commit, in the history.

A finding names the place and the kind, and never quotes the secret.
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

SUBMODULE = "160000"  # git's mode of one: it has a history of its own
LARGEST = 50_000_000  # bytes of a file: a longer one is data


@dataclass(frozen=True)
class Leak:
    """One secret: where, and of what kind."""

    kind: str
    path: str
    line: int
    commit: str = ""  # in the history: the commit that added it

    def __str__(self) -> str:
        return f"{self.kind} in {self.path}, line {self.line}" + (f", commit {self.commit[:10]}" if self.commit else "")


def in_text(text: str, path: str) -> list[Leak]:
    """Returns the secrets in the text of a file, one of a kind for each line."""
    return [Leak(kind, path, line) for line, kind in secrets_in(text, path)]


def in_tree(root: Path = Path()) -> list[Leak]:
    """Returns the secrets in files that git tracks, or would track after `git add --all`."""
    root = _top(root)
    names = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    leaks = []
    for path in sorted({root / name for name in names if name}):
        with suppress(OSError):
            # of a link, git keeps the target's name
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST:
                leaks += _in_bytes(path.read_bytes(), path.relative_to(root).as_posix())
    return leaks


def tracked_names(root: Path = Path()) -> set[str]:
    """Returns the files that git tracks, or that the next commit adds."""
    return {name for name in _git(_top(root), "ls-files", "-z", "--cached").split("\0") if name}


def in_index(root: Path = Path()) -> list[Leak]:
    """Returns the secrets in what the next commit adds or changes."""
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
    """Whether the history was cut short when it was cloned."""
    return _git(root, "rev-parse", "--is-shallow-repository").strip() == "true"


def _top(root: Path) -> Path:
    """The folder of the whole repository: a search that began below it would not see all."""
    return Path(_git(root, "rev-parse", "--show-toplevel").rstrip("\n"))


def _blobs(root: Path, named: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, bytes]]:
    """(object, name, content) of each that is a file and not too long."""
    command = ["git", "-C", str(root), "cat-file", "--batch"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018
        for sha, name in named:
            process.stdin.write(f"{sha}\n".encode())
            process.stdin.flush()
            _, kind, *size = process.stdout.readline().decode().split()
            if not size:
                raise HarnessError("git cannot read its own history", f"{sha} of {name}: {kind}", "git fsck")
            content = process.stdout.read(int(size[0]) + 1)[:-1]
            if kind == "blob" and len(content) <= LARGEST:
                yield sha, name, content


def _in_bytes(content: bytes, path: str) -> list[Leak]:
    """Zeros are passed over, so that a text of two bytes a letter is read, too."""
    return in_text(content.replace(b"\0", b"").decode("utf-8", "replace"), path)


def _git(root: Path, *arguments: str) -> str:
    return ask_git(root, *arguments).decode("utf-8", "surrogateescape")
