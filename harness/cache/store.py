"""The entries of a cache: found, made, checked, removed."""

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
OPENED = 4  # entries that stay open
BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Entry:
    """What is kept, for people."""

    key: str
    kind: str
    about: str
    rows: int
    bytes: int
    used: float  # seconds since 1970


class Cache:
    """Entries in a folder, `limit` bytes of them; beyond that, those that were not used for longest go."""

    def __init__(self, folder: Path, limit: int = LIMIT, print_line: Callable[[str], None] = lambda _: None) -> None:
        self.folder = folder
        self.limit = limit
        self._print_line = print_line
        self._unkept: set[str] = set()  # kinds of rows for which a note said so
        self._noted: set[str] = set()
        self._opened: dict[str, Rows] = {}  # the last few, so that each fold need not check them again

    def rows(self, recipe: Recipe, items: Sequence[str], make: Make, quiet: bool = False) -> Rows:
        """A row for each of `items`, which `make` computes; it is asked for those alone that are not kept.

        Whoever wants the same entry at the same time waits for it. Where nothing can be kept, the rows are in memory,
        and a note says why. With `quiet` nothing is printed, except of a damaged entry.
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
        """The rows by item of the entries of `recipe`: of the last few that were used."""
        rows: dict[str, Array] = {}
        for key, _ in itertools.islice(self._records(recipe.digest), OPENED):
            entry = self._read(key)
            if entry is not None:
                rows |= entry.by_item()
        return rows

    def entries(self) -> list[Entry]:
        """What is kept, the latest used first."""
        entries = []
        for key, record in self._records():
            with contextlib.suppress(OSError):  # another process has just removed it
                sizes = [(self.folder / f"{key}{suffix}").stat() for suffix in (".json", ".rows")]
                size, used = sum(size.st_size for size in sizes), sizes[0].st_mtime
                entries.append(Entry(key, record["kind"], record["about"], len(record["items"]), size, used))
        return entries

    def clear(self, begins: Sequence[str] = ()) -> int:
        """Removes the entries whose keys begin so, or all and whatever was left unfinished. Returns how many entries.

        What another process computes or reads at this moment stays, and a line says so. Raises UsageError for a
        beginning that no entry has, StorageError where the folder cannot be written.
        """
        keys = [entry.key for entry in self.entries()]
        for begin in begins:
            if not begin or not any(key.startswith(begin) for key in keys):
                raise UsageError(
                    f"no entry begins with {begin!r}", f"looked in {self.folder}", "harness cache, for those there are"
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
                    self._print_line(f"{key[:8]} stays: {holder(self._lock(key))} is at work on it")
        return gone

    def _made(self, key: str, recipe: Recipe, items: list[str], make: Make, quiet: bool) -> Rows:
        """The entry, made by this process or by another one; or its rows, where nothing can be kept."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)

            def tell(who: str) -> None:
                if not quiet:
                    self._print_line(f"{who} computes the {recipe.kind} of {recipe.about}: waiting for it")

            # Entries are whole without a lock, too: it saves computing them twice.
            with locked(self._lock(key), wait=True, required=False, tell=tell):
                return self._read(key) or self._write(key, recipe, items, make)
        except (OSError, StorageError) as error:
            cause = error.__cause__ if isinstance(error, StorageError) else error
            why = getattr(cause, "strerror", None) or cause
            if not quiet and recipe.kind not in self._unkept:
                self._unkept.add(recipe.kind)
                self._print_line(
                    f"note: {recipe.kind} cannot be kept in {self.folder} ({why}): they are for this run alone"
                )
            return Rows(items, in_memory(np.concatenate(list(make(items)))))

    def _read(self, key: str) -> Rows | None:
        """The entry, if it is there and whole."""
        path, record = self.folder / f"{key}.rows", self.folder / f"{key}.json"
        try:
            content = json.loads(record.read_text())
            items, kind = content["items"], np.dtype(content["dtype"])
            shape = (len(items), *content["shape"])
            if Recipe(content["kind"], "", content["parts"]).key(items) != key:
                raise ValueError("its record is another's")
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
            self._note(f"note: {error.filename} cannot be read ({error.strerror}), and is made again")
            return None
        except BROKEN as error:
            self._note(f"note: {path} is damaged ({error}), and is made again")
            return None

    def _write(self, key: str, recipe: Recipe, items: Sequence[str], make: Make) -> Rows:
        """Makes the entry: from the rows of a relative, as far as it has them, and the rest by `make`."""
        relative, shared = self._relative(recipe, items)
        missing = [item for item in items if item not in shared]
        order = [*shared, *missing]
        chunks = itertools.chain(relative.chunks(list(shared)) if relative else (), make(missing) if missing else ())
        part = self.folder / f"{key}-{secrets.token_hex(4)}.part"
        with storage_errors(part):
            if is_signed_here(self._lock(key)):  # what a process left that was killed would take its room
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
            (self.folder / f"{key}.rows").unlink(missing_ok=True)  # nobody would find them
            raise
        self._prune(key)
        rows = self._read(key)
        if rows is None:
            raise OSError("what was written cannot be read")
        return rows

    def _relative(self, recipe: Recipe, items: Sequence[str]) -> tuple[Rows | None, dict[str, None]]:
        """The entry of the same recipe that has most of `items`, and those that it has."""
        wanted = set(items)
        shared = {key: wanted.intersection(record["items"]) for key, record in self._records(recipe.digest)}
        best = max(shared, key=lambda key: len(shared[key]), default=None)
        rows = self._read(best) if best is not None and shared[best] else None
        if best is None or rows is None:
            return None, {}
        return rows, dict.fromkeys(item for item in items if item in shared[best])

    def _make_room(self, file: int, size: int) -> None:
        """Claims the room for an entry before work goes into it. Raises OSError where there is not enough."""
        free = shutil.disk_usage(self.folder).free
        if size + ROOM > free:
            beside = f"{size / GB:.1f} GB beside the {ROOM / GB:.1f} GB that stay free"
            raise OSError(f"it takes {beside}, and {free / GB:.1f} GB are free")
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, size)

    def _prune(self, keep: str) -> None:
        """Removes what was not used for longest, until all fits the limit; never the entry `keep`.

        With it goes what a process that died a day ago or more left unfinished. What another process computes stays.
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
        """Prints a line once: an entry is read again once this process has its lock."""
        if text not in self._noted:
            self._noted.add(text)
            self._print_line(text)

    def _lock(self, key: str) -> Path:
        return self.folder / f"{key}.lock"

    def _records(self, begin: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        """(key, record) of each entry whose key begins so, the latest used first."""
        paths: list[Path] = []
        with contextlib.suppress(OSError):  # there is no such folder, and there cannot be
            paths = sorted(self.folder.glob(f"{begin}*.json"), key=_changed, reverse=True)
        for path in paths:
            with contextlib.suppress(*BROKEN):  # somebody has removed it, or written into it
                record = json.loads(path.read_text()) if OURS.fullmatch(path.name) and path.is_file() else {}
                kinds = {"format": str, "kind": str, "about": str, "items": list, "parts": dict}
                whole = all(isinstance(record.get(name), kind) for name, kind in kinds.items())
                if whole and all(isinstance(item, str) for item in record["items"]):
                    yield path.stem, record


def open_cache(print_line: Callable[[str], None] = lambda _: None) -> Cache:
    """This user's cache, in `cache_folder()`, of $HARNESS_CACHE_GB, or 20.

    Raises UsageError where that is no number.
    """
    folder = cache_folder()
    limit = os.environ.get("HARNESS_CACHE_GB") or str(LIMIT / GB)
    try:
        size = int(float(limit) * GB)
        if size < 0:
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"HARNESS_CACHE_GB={limit} is no size", "it takes a number from 0 up", "HARNESS_CACHE_GB=20"
        ) from error
    return Cache(folder, size, print_line)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
