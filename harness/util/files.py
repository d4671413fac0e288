"""Files that are whole or not there, their MD5, and names of files as text."""

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
PROBE = 16384  # bytes that a run's first files take at least


def write_whole(path: Path, content: bytes | memoryview, fix: str = ELSEWHERE) -> None:
    """Replaces the file at `path` by `content` in one step. Raises StorageError, and then leaves nothing behind.

    `fix` is what to type if the file may not be written.
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
    """Adds lines to a text file, all of them or none. They start on a new line if the last one was cut short.

    For one writer at a time. Raises OSError.
    """
    with path.open("ab+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
        begin = "" if not size or file.read(1) == b"\n" else "\n"
        add_whole(file, (begin + "".join(f"{line}\n" for line in lines)).encode())


def add_whole(file: FileIO, content: bytes) -> None:
    """Adds all of `content` to the end of a file without a buffer, or nothing: a full disk may take a part of it.

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
    """As `Path.is_file`, but False for a name that no system takes, and for a folder that may not be searched."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def is_folder(path: Path | str) -> bool:
    """As `Path.is_dir`, but False where that raises; see `is_file`."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def fitting_name(stem: str, ending: str = "", most: int = LONGEST_NAME) -> str:
    """`stem` and `ending` as a name that a disk takes, of up to `most` bytes; it is the stem that is cut."""
    while stem and len(os.fsencode(stem + ending)) > most:
        stem = stem[:-1]
    return stem + ending


def require_writable(folder: Path) -> None:
    """Raises StorageError if no file can be written in `folder`, or where it would be made. Leaves nothing behind."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    with storage_errors(folder), tempfile.TemporaryFile(dir=there, buffering=0) as file:
        file.write(b"." * PROBE)


def md5_of(content: bytes) -> str:
    """By which DVC, and so everything here, names a content: a name, and no protection against forgery."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def file_md5(path: Path) -> str:
    """The MD5 of a file of any size. Raises OSError where it cannot be read, and for a pipe or a device."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # to read a pipe may never end
        raise OSError(errno.EINVAL, "it is a pipe or a device", str(path))
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def folder_md5(files: Mapping[str, str]) -> str:
    """One MD5 of a folder's files, given as path -> MD5: the very number that DVC gives to the folder."""
    entries = [{"md5": md5, "relpath": path} for path, md5 in sorted(files.items())]
    return md5_of(json.dumps(entries, sort_keys=True).encode()) + ".dir"


def as_text(name: str) -> str:
    """A file's name in letters that every program takes: those of its bytes that are no UTF-8 become "?"."""
    return terminal(name.encode("utf-8", "replace").decode())


def short(text: str, most: int = 18) -> str:
    """The text, cut in the middle where it is longer, in letters that can be drawn."""
    text = as_text(text)
    if len(text) <= most:
        return text
    tail = (most - 1) // 3
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def _replace(temporary: Path, path: Path) -> None:
    """In one step; on Windows once nobody has the old file open, for which it waits a moment."""
    for wait in (0.01, 0.05, 0.2) if os.name == "nt" else ():
        try:
            temporary.replace(path)
        except PermissionError:
            time.sleep(wait)
        else:
            return
    temporary.replace(path)
