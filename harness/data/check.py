"""Reading every image once before the first epoch: which cannot be decoded, which are the same, and a digest of all."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from harness.cache.recipe import Recipe
from harness.cache.store import Cache
from harness.data.decode import decode
from harness.data.images import Images
from harness.data.pixels import DECODER, Pixels
from harness.data.prepare import Preparation
from harness.errors import DataError
from harness.util.files import folder_md5, md5_of
from harness.util.parallel import in_threads
from harness.util.text import few

SOUND = Recipe("checks", "images that were decoded", {**DECODER, "check": 1})  # MD5 of a file -> its fingerprint


@dataclass(frozen=True)
class Check:
    """What reading every image found.

    Attributes:
        hashes: (N,) MD5 of each file, in the order of the images; "" if it could not be read.
        fingerprints: (N,) int64, equal if and only if the decoded pixels are; 0 if they could not be decoded.
        problems: Path -> why it cannot be decoded.
        pixels: What was decoded, if a preparation was given.
    """

    hashes: tuple[str, ...]
    fingerprints: NDArray[np.int64]
    problems: dict[str, str]
    pixels: Pixels | None = None

    def digest(self, images: Images) -> str:
        """One MD5 of all paths and contents: the number that DVC gives to a folder of just these files."""
        names = [images.on_disk.get(path, path) for path in images.paths]
        return folder_md5(dict(zip(names, self.hashes, strict=True)))

    def looks(self) -> list[int | None]:
        """(N,) fingerprint of each image; None if it could not be decoded."""
        return [value or None for value in self.fingerprints.tolist()]

    def without(self, images: Images) -> tuple[Images, Check]:
        """The images that can be decoded, and the check of those."""
        sound = [i for i, path in enumerate(images.paths) if path not in self.problems]
        pixels = None if self.pixels is None else self.pixels.without(self.problems)
        hashes = tuple(self.hashes[i] for i in sound)
        return images.take(sound), Check(hashes, self.fingerprints[sound], {}, pixels)


def check_images(images: Images, preparation: Preparation | None = None, cache: Cache | None = None) -> Check:
    """Reads and decodes every image, on all cores, with a bar on a terminal.

    With a `preparation` the decoded images are there afterwards, as far as there is room for them. Files that `cache`
    knows from an earlier check are only read.
    """
    pixels = None if preparation is None else Pixels(images, (), preparation)
    known = {} if cache is None else cache.known(SOUND)
    files = images.files()

    def check_one(index: int) -> tuple[str, int, str]:
        md5, content, why = _read(files[index])
        if why or md5 in known:
            return md5, int(known[md5][0]) if md5 in known else 0, why
        seen = 0

        def look(content: bytes) -> None:
            nonlocal seen
            image = decode(content)
            seen = fingerprint(image)
            if pixels is not None:
                pixels.put(index, image)

        why = problem(content, look)
        return md5, 0 if why else seen, why

    checks = in_threads(check_one, range(len(images)))
    results = list(tqdm(checks, total=len(images), desc="checking images", unit="image", leave=False, disable=None))
    hashes, fingerprints, reasons = zip(*results, strict=True) if results else ((), (), ())
    problems = {path: why for path, why in zip(images.paths, reasons, strict=True) if why}
    check = Check(hashes, np.array(fingerprints, np.int64), problems, pixels)
    if pixels is not None:
        pixels.hashes = hashes
    if cache is not None:
        _keep(check, cache, known)
    return check


def fingerprint(image: Image.Image) -> int:
    """64 bits of the SHA-1 of an image's size and pixels, never 0."""
    sha1 = hashlib.sha1(repr((image.mode, image.size)).encode(), usedforsecurity=False)
    sha1.update(image.tobytes())
    return int.from_bytes(sha1.digest()[:8], "little", signed=True) or 1


def _keep(check: Check, cache: Cache, known: Collection[str]) -> None:
    """Has the fingerprints at hand for the next check of the same files."""
    sound = {md5: value for md5, value in zip(check.hashes, check.fingerprints.tolist(), strict=True) if value}
    if not sound.keys() <= set(known):
        cache.rows(SOUND, sorted(sound), lambda items: iter([np.array([[sound[md5]] for md5 in items])]), quiet=True)


def undecodable_error(check: Check, images: Images) -> DataError:
    """The error that says how many images of each class cannot be decoded, and why."""
    reasons: dict[str, list[str]] = {}
    for path, why in check.problems.items():
        reasons.setdefault(why, []).append(path)
    missing = dict.fromkeys(re.findall(r"pip install \S+", " ".join(reasons)))
    mend = " and ".join(missing) if missing else "mend or delete them"
    return DataError(
        f"{len(check.problems)} of {len(images)} images in {images.root} cannot be decoded: "
        f"{unreadable_by_class(images, check.problems)}",
        "; ".join(f"{few(paths, 20)} ({why})" for why, paths in reasons.items()),
        f"{mend}, or go on without them: --skip-corrupt",
    )


def unreadable_by_class(images: Images, problems: Collection[str]) -> str:
    """For people: "dog 9 of 12, cat 1 of 12". `images` are all, those with problems included."""
    counts = images.counts()
    return ", ".join(f"{name} {count} of {counts[name]}" for name, count in images.count_by_class(problems).items())


def _read(path: Path) -> tuple[str, bytes, str]:
    """(MD5 of the file, its content, why it cannot be read): the first two or the last are empty."""
    if path.is_symlink() and not path.exists():
        return "", b"", "a broken link"
    try:
        if not path.is_file():
            return "", b"", "not a file" if path.exists() else "not there"  # a pipe could be read for ever
        content = path.read_bytes()
    except PermissionError:
        return "", b"", "not permitted"
    except OSError as error:
        return "", b"", str(error.strerror)
    return md5_of(content), content, ""


def problem(content: bytes, decoder: Callable[[bytes], Any] = decode) -> str:
    """Why these bytes cannot be decoded, in a few words; empty where they can. `decoder` decodes them."""
    if not content:
        return "empty"
    try:
        decoder(content)
    except UnidentifiedImageError:
        return "not an image"
    except Image.DecompressionBombError:
        return "too many pixels"
    except Exception as error:  # Pillow's decoders raise of every kind
        return "truncated" if "truncated" in str(error).lower() else f"damaged: {error}"
    return ""
