"""The entries of a cache: finds, computes, checks and removes them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.cache.folder import cache_folder
from harness.cache.recipe import FORMAT, Recipe
from harness.cache.removal import OURS, files_by_key, left_unfinished, remove
from harness.cache.rows import Array, Rows, crc_of_kind, crc_of_rest, in_file, in_memory
from harness.errors import StorageError, UsageError, storage_errors
from harness.util.files import write_whole
from harness.util.locks import holder, is_signed_here, locked

Make = Callable[[Sequence[str]], Iterator[Array]]  # items -> chunks of their rows, in that order

GB = 10**9
LIMIT = 20 * GB  # of all entries together
ROOM = GB // 2  # that stays free on the disk
OPENED = 4  # maximum number of open entries
BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Entry:
    """The description of an entry, for display."""

    key: str
    kind: str
    about: str
    rows: int
    bytes: int
    used: float  # seconds since 1970


class Cache:
    """Entries in a folder, at most `limit` bytes. Beyond that, the least recently used ones are removed."""

    def __init__(self, folder: Path, limit: int = LIMIT, print_line: Callable[[str], None] = lambda _: None) -> None:
        self.folder = folder
        self.limit = limit
        self._print_line = print_line
        self._not_stored: set[str] = set()  # kinds of rows for which a warning was printed
        self._noted: set[str] = set()
        self._opened: dict[str, Rows] = {}  # the last few, so that each fold need not check them again

    def rows(self, recipe: Recipe, items: Sequence[str], make: Make, quiet: bool = False) -> Rows:
        """Returns a row for each of `items`. `make` computes only the missing rows.

        A process that needs the same entry at the same time waits. If the rows cannot be stored, they are in memory,
        and a warning says why. With `quiet`, only warnings about damaged entries are printed.
        """
        items = list(dict.fromkeys(items))
        key = recipe.key(items)
        rows = self._opened.pop(key, None)
        if rows is None:
            rows = self._read(key)
            if rows is not None and not quiet:
                self._print_line(f"found in the cache: {len(items)} {recipe.kind}, {recipe.about}")
        rows = rows or self._made(key, recipe, items, make, quiet)
        self._opened = {**dict(list(self._opened.items())[1 - OPENED :]), key: rows}
        return rows

    def known(self, recipe: Recipe) -> dict[str, Array]:
        """Returns the rows by item of the last few used entries of `recipe`."""
        rows: dict[str, Array] = {}
        for key, _ in itertools.islice(self._records(recipe.digest), OPENED):
            entry = self._read(key)
            if entry is not None:
                rows |= entry.by_item()
        return rows

    def entries(self) -> list[Entry]:
        """Returns all entries, the most recently used first."""
        entries = []
        for key, record in self._records():
            with contextlib.suppress(OSError):  # another process may have just removed it
                sizes = [(self.folder / f"{key}{suffix}").stat() for suffix in (".json", ".rows")]
                size, used = sum(size.st_size for size in sizes), sizes[0].st_mtime
                entries.append(Entry(key, record["kind"], record["about"], len(record["items"]), size, used))
        return entries

    def clear(self, begins: Sequence[str] = ()) -> int:
        """Removes entries and returns their number.

        Removes those whose keys begin with one of `begins`; by default all, and also unfinished files. An entry that
        another process computes or reads now is not removed, and a line says so. Raises UsageError if no key begins
        with one of `begins`, StorageError if the folder cannot be written.
        """
        keys = [entry.key for entry in self.entries()]
        for begin in begins:
            if not begin or not any(key.startswith(begin) for key in keys):
                raise UsageError(
                    f"no entry begins with {begin!r}", f"looked in {self.folder}", "harness cache, to list the entries"
                )
        chosen = [key for key in keys if not begins or key.startswith(tuple(begins))]
        gone = 0
        with storage_errors(self.folder, "HARNESS_CACHE with another folder, or make this one writable"):
            for key, paths in files_by_key(self.folder).items():
                if begins and key not in chosen:
                    continue
                if remove(paths, self._lock(key)):
                    gone += key in chosen
                else:
                    self._print_line(f"{key[:8]} is not removed: {holder(self._lock(key))} is using it")
        return gone

    def _made(self, key: str, recipe: Recipe, items: list[str], make: Make, quiet: bool) -> Rows:
        """Returns the entry, computed by this process or another one; or only its rows if they cannot be stored."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)

            def tell(who: str) -> None:
                if not quiet:
                    self._print_line(f"{who} computes the {recipe.kind} of {recipe.about}: waiting for it")

            # Entries are complete without a lock, too: the lock only avoids computing them twice.
            with locked(self._lock(key), wait=True, required=False, tell=tell):
                return self._read(key) or self._write(key, recipe, items, make)
        except (OSError, StorageError) as error:
            cause = error.__cause__ if isinstance(error, StorageError) else error
            why = getattr(cause, "strerror", None) or cause
            if not quiet and recipe.kind not in self._not_stored:
                self._not_stored.add(recipe.kind)
                self._print_line(
                    f"warning: {recipe.kind} cannot be stored in {self.folder} ({why}), so only this run uses them"
                )
            return Rows(items, in_memory(np.concatenate(list(make(items)))))

    def _read(self, key: str) -> Rows | None:
        """Returns the entry, or None if it does not exist or is incomplete."""
        path, record = self.folder / f"{key}.rows", self.folder / f"{key}.json"
        try:
            content = json.loads(record.read_text())
            items, kind = content["items"], np.dtype(content["dtype"])
            shape = (len(items), *content["shape"])
            if Recipe(content["kind"], "", content["parts"]).key(items) != key:
                raise ValueError("its record belongs to another entry")
            with path.open("rb") as file:
                checksum = crc_of_rest(file, crc_of_kind(items, kind, content["shape"]))
                if checksum != content["checksum"] or file.tell() != int(np.prod(shape)) * kind.itemsize:
                    raise ValueError("its checksum is wrong")
                rows = Rows(items, in_file(file, shape, kind))
            with contextlib.suppress(OSError):
                os.utime(record)  # it was used now
            return rows
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            self._note(f"warning: {error.filename} cannot be read ({error.strerror}), and is computed again")
            return None
        except BROKEN as error:
            self._note(f"warning: {path} is damaged ({error}), and is computed again")
            return None

    def _write(self, key: str, recipe: Recipe, items: Sequence[str], make: Make) -> Rows:
        """Writes the entry. Copies rows from the entry that shares the most, and computes the rest with `make`."""
        relative, shared = self._relative(recipe, items)
        missing = [item for item in items if item not in shared]
        order = [*shared, *missing]
        chunks = itertools.chain(relative.chunks(list(shared)) if relative else (), make(missing) if missing else ())
        part = self.folder / f"{key}-{secrets.token_hex(4)}.part"
        with storage_errors(part):
            if is_signed_here(self._lock(key)):  # remove what a killed process left, because it takes space
                for left in self.folder.glob(f"{key}-*.part"):
                    left.unlink(missing_ok=True)
            try:
                with part.open("xb") as file:
                    checksum, like = 0, None
                    for chunk in chunks:
                        if like is None:
                            like = chunk[0]
                            checksum = crc_of_kind(order, like.dtype, like.shape)
                            self._make_room(file.fileno(), like.nbytes * len(order))
                        content = np.ascontiguousarray(chunk).reshape(-1).view(np.uint8).data
                        checksum = zlib.crc32(content, checksum)
                        file.write(content)
                part.replace(self.folder / f"{key}.rows")
            finally:
                part.unlink(missing_ok=True)
        assert like is not None  # there is at least one item
        record = {
            "format": FORMAT,
            "kind": recipe.kind,
            "about": recipe.about,
            "parts": dict(recipe.parts),
            "shape": list(like.shape),
            "dtype": like.dtype.str,
            "checksum": checksum,
            "items": order,
        }
        try:
            write_whole(self.folder / f"{key}.json", json.dumps(record).encode())
        except BaseException:
            (self.folder / f"{key}.rows").unlink(missing_ok=True)  # without a record it is useless
            raise
        self._prune(key)
        rows = self._read(key)
        if rows is None:
            raise OSError("the written entry cannot be read")
        return rows

    def _relative(self, recipe: Recipe, items: Sequence[str]) -> tuple[Rows | None, dict[str, None]]:
        """Returns the entry of the same recipe with the most of `items`, and these items."""
        wanted = set(items)
        shared = {key: wanted.intersection(record["items"]) for key, record in self._records(recipe.digest)}
        best = max(shared, key=lambda key: len(shared[key]), default=None)
        rows = self._read(best) if best is not None and shared[best] else None
        if best is None or rows is None:
            return None, {}
        return rows, dict.fromkeys(item for item in items if item in shared[best])

    def _make_room(self, file: int, size: int) -> None:
        """Reserves the space for an entry before it is computed. Raises OSError if there is not enough."""
        free = shutil.disk_usage(self.folder).free
        if size + ROOM > free:
            beside = f"{size / GB:.1f} GB in addition to the {ROOM / GB:.1f} GB that stay free"
            raise OSError(f"it needs {beside}, but only {free / GB:.1f} GB are free")
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, size)

    def _prune(self, keep: str) -> None:
        """Removes the least recently used entries until all fit the limit, but never the entry `keep`.

        Also removes unfinished files that are older than a day, if no process is writing them.
        """
        with contextlib.suppress(OSError):
            for key, paths in files_by_key(self.folder).items():
                if old := left_unfinished(paths):
                    remove(old, self._lock(key))
        entries = self.entries()
        total = sum(entry.bytes for entry in entries)
        for entry in reversed(entries):
            if total <= self.limit:
                return
            if entry.key != keep:
                files = [self.folder / f"{entry.key}{suffix}" for suffix in (".json", ".rows")]
                with contextlib.suppress(OSError):
                    total -= entry.bytes if remove(files, self._lock(entry.key)) else 0

    def _note(self, text: str) -> None:
        """Prints a line once. Without this, it would be printed again when an entry is read a second time."""
        if text not in self._noted:
            self._noted.add(text)
            self._print_line(text)

    def _lock(self, key: str) -> Path:
        return self.folder / f"{key}.lock"

    def _records(self, begin: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields (key, record) of each entry whose key begins with `begin`, the most recently used first."""
        paths: list[Path] = []
        with contextlib.suppress(OSError):  # the folder does not exist or cannot exist
            paths = sorted(self.folder.glob(f"{begin}*.json"), key=_changed, reverse=True)
        for path in paths:
            with contextlib.suppress(*BROKEN):  # another program may have removed or changed it
                record = json.loads(path.read_text()) if OURS.fullmatch(path.name) and path.is_file() else {}
                kinds = {"format": str, "kind": str, "about": str, "items": list, "parts": dict}
                whole = all(isinstance(record.get(name), kind) for name, kind in kinds.items())
                if whole and all(isinstance(item, str) for item in record["items"]):
                    yield path.stem, record


def open_cache(print_line: Callable[[str], None] = lambda _: None) -> Cache:
    """Returns this user's cache in `cache_folder()`. Its limit is $HARNESS_CACHE_GB, by default 20.

    Raises UsageError if the variable is not a number.
    """
    folder = cache_folder()
    limit = os.environ.get("HARNESS_CACHE_GB") or str(LIMIT / GB)
    try:
        size = int(float(limit) * GB)
        if size < 0:
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"HARNESS_CACHE_GB={limit} is not a size", "it must be a number of at least 0", "HARNESS_CACHE_GB=20"
        ) from error
    return Cache(folder, size, print_line)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
