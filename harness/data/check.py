"""Reads all images once before the first epoch. Finds files that cannot be decoded and equal images."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.cache.recipe import Recipe
from harness.cache.store import Cache
from harness.data.decode import Raw, problem, read
from harness.data.depth import Depth, infer_range
from harness.data.fingerprint import fingerprint
from harness.data.formats import UnreadableError
from harness.data.images import Images
from harness.data.pixels import DECODER, Pixels
from harness.data.prepare import Preparation
from harness.data.sketch import SIDE, sketch_of
from harness.errors import DataError
from harness.util.console import counted
from harness.util.files import folder_md5, md5_of
from harness.util.parallel import in_threads
from harness.util.text import few

Row = NDArray[np.int64]  # (ROW,) fingerprint, width, height, the bits of `Depth.to_array`, sketch
FACTS = 3
DEPTH = FACTS + len(Depth().to_array())
ROW = DEPTH + SIDE * SIDE // 8
# MD5 of a file -> its row
SOUND = Recipe("checks", "images that were decoded", {**DECODER, "check": 3})


@dataclass(frozen=True)
class Check:
    """The results of reading all images.

    Attributes:
        hashes: (N,) MD5 of each file, in the order of the images; "" if it could not be read.
        fingerprints: (N,) int64, equal if and only if the decoded pixels are equal; 0 if they could not be decoded.
        problems: Path -> why it cannot be decoded.
        sizes: (N, 2) int64, width and height in pixels, after rotation.
        sketches: (N, SIDE, SIDE) uint8, made by `sketch_of`.
        depths: (N,) statistics of the values of files with more than 8 bits that do not declare their range.
        pixels: The decoded images, if a preparation was given.
    """

    hashes: tuple[str, ...]
    fingerprints: NDArray[np.int64]
    problems: dict[str, str]
    sizes: NDArray[np.int64]
    sketches: NDArray[np.uint8]
    depths: tuple[Depth, ...] = ()
    pixels: Pixels | None = None

    @property
    def deep(self) -> int:
        """Number of files with more than 8 bits that do not declare their range."""
        return sum(depth.values > 0 for depth in self.depths)

    @property
    def depth(self) -> Depth:
        """Statistics of the values of all those files."""
        return sum(self.depths, Depth())

    def digest(self, images: Images) -> str:
        """One MD5 of all paths and contents. DVC computes the same MD5 for a folder with only these files."""
        names = [images.on_disk.get(path, path) for path in images.paths]
        return folder_md5(dict(zip(names, self.hashes, strict=True)))

    def looks(self) -> list[int | None]:
        """(N,) the fingerprint of each image; None if it could not be decoded."""
        return [value or None for value in self.fingerprints.tolist()]

    def without(self, images: Images) -> tuple[Images, Check]:
        """The images that can be decoded, and their part of the check."""
        decodable = [i for i, path in enumerate(images.paths) if path not in self.problems]
        pixels = None if self.pixels is None else self.pixels.without(self.problems)
        hashes = tuple(self.hashes[i] for i in decodable)
        depths = tuple(self.depths[i] for i in decodable)
        return images.take(decodable), replace(
            self,
            hashes=hashes,
            fingerprints=self.fingerprints[decodable],
            problems={},
            sizes=self.sizes[decodable],
            sketches=self.sketches[decodable],
            depths=depths,
            pixels=pixels,
        )


def check_images(images: Images, preparation: Preparation | None = None, cache: Cache | None = None) -> Check:
    """Reads and decodes all images, on all cores, with a progress bar on a terminal.

    With a `preparation`, the result holds the decoded images, if they fit in memory. If files have more than 8 bits
    and the preparation has no range of values, `pixels.preparation` gets the range of all these files. A file that
    `cache` has from an earlier check is read, but not decoded.

    Raises:
        DataError: The range of values cannot be inferred.
    """
    pixels = None if preparation is None else Pixels(images, (), preparation)
    known = {} if cache is None else cache.known(SOUND)
    files = images.files()

    def check_one(index: int) -> tuple[str, Row | None, str]:
        md5, content, why = _read(files[index])
        if why or md5 in known:
            return md5, known.get(md5), why
        row: Row | None = None

        def decode(content: bytes) -> None:
            nonlocal row
            raw = read(content)
            new_row = _row(raw)
            if pixels is not None:
                pixels.put(index, raw)
            row = new_row

        why = problem(content, decode)
        return md5, None if why else row, why

    checks = in_threads(check_one, range(len(images)))
    results = list(counted(checks, len(images), "checking images", "image"))
    rows = np.array([np.zeros(ROW, np.int64) if row is None else row for _, row, _ in results]).reshape(-1, ROW)
    check = Check(
        tuple(md5 for md5, _, _ in results),
        rows[:, 0],
        {path: why for path, (_, _, why) in zip(images.paths, results, strict=True) if why},
        rows[:, 1:FACTS],
        rows[:, DEPTH:].view(np.uint8).reshape(-1, SIDE, SIDE),
        tuple(Depth.from_array(row[FACTS:DEPTH].view(np.float64)) if row[FACTS] else Depth() for row in rows),
        pixels,
    )
    if pixels is not None:
        pixels.hashes = check.hashes
        if check.deep and pixels.preparation.value_range is None:
            pixels.preparation = pixels.preparation.with_range(infer_range(check.depth))
    if cache is not None:
        decoded = {md5: row for md5, row, _ in results if row is not None}
        if not decoded.keys() <= known.keys():
            cache.rows(SOUND, sorted(decoded), lambda items: _stacked(decoded, items), quiet=True)
    return check


def _stacked(rows: Mapping[str, Row], items: Sequence[str]) -> Iterator[Row]:
    """The rows of `items`, 1,000 at a time: the rows of 100,000 images take 100 MB."""
    return (np.array([rows[md5] for md5 in items[start : start + 1000]]) for start in range(0, len(items), 1000))


def _row(raw: Raw) -> Row:
    """The row that the cache stores for an image."""
    depth = Depth.of(raw.colours) if raw.needs_range else Depth()
    if raw.needs_range and not depth.values:
        raise UnreadableError("none of its values is a number")
    facts = np.array([fingerprint(raw), *raw.size])
    return np.concatenate([facts, depth.to_array().view(np.int64), sketch_of(raw).reshape(-1).view(np.int64)])


def undecodable_error(check: Check, images: Images) -> DataError:
    """The error that says how many images of each class cannot be decoded, and why."""
    reasons: dict[str, list[str]] = {}
    for path, why in check.problems.items():
        reasons.setdefault(why, []).append(path)
    missing = dict.fromkeys(re.findall(r"pip install (?:-[eU] )?(?:'[^']*'|\S+)", " ".join(reasons)))
    repair = " and ".join(missing) if missing else "repair or delete them"
    return DataError(
        f"{len(check.problems)} of {len(images)} images in {images.root} cannot be decoded: "
        f"{unreadable_by_class(images, check.problems)}",
        "; ".join(f"{few(paths, 20)} ({why})" for why, paths in reasons.items()),
        f"{repair}, or leave them out: --skip-corrupt",
    )


def unreadable_by_class(images: Images, problems: Collection[str]) -> str:
    """Formats counts as "dog 9 of 12, cat 1 of 12". `images` are all images, also those with problems."""
    counts = images.counts()
    return ", ".join(f"{name} {count} of {counts[name]}" for name, count in images.count_by_class(problems).items())


def content_of(path: Path) -> tuple[bytes, str]:
    """(the content of a file, why it cannot be read): one of them is empty. For an empty file, both are empty."""
    try:
        if path.is_symlink() and not path.exists():
            return b"", "a broken link"
        if path.is_dir():
            return b"", "a folder" if os.access(path, os.R_OK | os.X_OK) else "a folder that is not permitted"
        if not path.is_file():
            return b"", "not a file" if path.exists() else "not there"  # to read a pipe may never end
        return path.read_bytes(), ""
    except PermissionError:
        return b"", "not permitted"
    except (OSError, ValueError) as error:  # such as a name with a null character
        return b"", str(getattr(error, "strerror", None) or error)


def _read(path: Path) -> tuple[str, bytes, str]:
    """(MD5 of the file, its content, why it cannot be read): the first two or the last are empty."""
    content, why = content_of(path)
    return "" if why else md5_of(content), content, why
