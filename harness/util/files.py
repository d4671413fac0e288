"""Writes files completely or not at all, computes their MD5, and converts their names to text."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Mapping
from io import FileIO
from pathlib import Path

from harness.errors import ELSEWHERE, storage_errors
from harness.util.escape import terminal

BLOCK = 1 << 20  # bytes
LONGEST_NAME = 255  # bytes of a file's name
PROBE = 16384  # least bytes of the first files of a run


def write_whole(path: Path, content: bytes | memoryview, fix: str = ELSEWHERE) -> None:
    """Replaces the file at `path` by `content` in one step. If it raises StorageError, no temporary file is left.

    `fix` is what to type if the file is not writable.
    """
    with storage_errors(path, fix):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name[:40]}-{secrets.token_hex(4)}")
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def append_lines(path: Path, *lines: str) -> None:
    """Adds lines to a text file, all or none. Starts a new line first if the last line is incomplete.

    For one writer at a time. Raises OSError.
    """
    with path.open("ab+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
        begin = "" if not size or file.read(1) == b"\n" else "\n"
        add_whole(file, (begin + "".join(f"{line}\n" for line in lines)).encode())


def add_whole(file: FileIO, content: bytes) -> None:
    """Adds all of `content` to the end of an unbuffered file, or nothing if the disk is full.

    For one writer at a time. Raises OSError.
    """
    start, rest = file.seek(0, os.SEEK_END), memoryview(content)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except BaseException:
        with contextlib.suppress(OSError):
            file.truncate(start)
        raise


def is_file(path: Path | str) -> bool:
    """Like `Path.is_file`, but False for an invalid name, and for a file in a folder without permission."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def is_folder(path: Path | str) -> bool:
    """Like `Path.is_dir`, but False where that would raise; see `is_file`."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def fitting_name(stem: str, ending: str = "", most: int = LONGEST_NAME) -> str:
    """Joins `stem` and `ending` to a name of at most `most` bytes. The stem is shortened if necessary."""
    while stem and len(os.fsencode(stem + ending)) > most:
        stem = stem[:-1]
    return stem + ending


def require_writable(folder: Path) -> None:
    """Raises StorageError if no file can be written in `folder` or in its nearest existing parent."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    with storage_errors(folder), tempfile.TemporaryFile(dir=there, buffering=0) as file:
        file.write(b"." * PROBE)


def md5_of(content: bytes) -> str:
    """The MD5 of bytes. DVC and this package use it as a name for content, not for protection against forgery."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def file_md5(path: Path) -> str:
    """The MD5 of a file of any size. Raises OSError if it cannot be read, and for a pipe or a device."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # to read a pipe may never end
        raise OSError(errno.EINVAL, "it is a pipe or a device", str(path))
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def folder_md5(files: Mapping[str, str]) -> str:
    """One MD5 of a folder's files, given as path -> MD5. DVC computes the same MD5 for the folder."""
    entries = [{"md5": md5, "relpath": path} for path, md5 in sorted(files.items())]
    return md5_of(json.dumps(entries, sort_keys=True).encode()) + ".dir"


def as_text(name: str) -> str:
    """A file's name as printable text. Bytes that are not UTF-8 become "?"."""
    return terminal(name.encode("utf-8", "replace").decode())


def short(text: str, most: int = 18) -> str:
    """Shortens a text in the middle to at most `most` characters, as printable text."""
    text = as_text(text)
    if len(text) <= most:
        return text
    tail = (most - 1) // 3
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def _replace(temporary: Path, path: Path) -> None:
    """Renames in one step. On Windows, waits a moment if another program has the old file open."""
    for wait in (0.01, 0.05, 0.2) if os.name == "nt" else ():
        try:
            temporary.replace(path)
        except PermissionError:
            time.sleep(wait)
        else:
            return
    temporary.replace(path)
