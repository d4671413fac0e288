"""Reading every image once before the first epoch: which cannot be decoded, which are the same, and a digest of all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from harness.data.decode import decode
from harness.data.folders import Images
from harness.data.pixels import Pixels
from harness.errors import DataError
from harness.util.files import file_md5, folder_md5, md5_of
from harness.util.parallel import in_threads


@dataclass(frozen=True)
class Check:
    """What reading every image found."""

    hashes: tuple[str, ...]  # MD5 of each file, in the order of the images; "" where it could not be read
    problems: dict[str, str]  # path -> why it cannot be decoded
    pixels: Pixels | None = None  # what was decoded, if an image size was given

    def digest(self, images: Images) -> str:
        """One MD5 of all paths and contents: the number that DVC gives to a folder of just these files."""
        return folder_md5(dict(zip(images.paths, self.hashes, strict=True)))

    def duplicates(self, images: Images) -> list[tuple[str, ...]]:
        """Groups of paths whose files are equal to the byte."""
        groups: dict[str, list[str]] = defaultdict(list)
        for path, md5 in zip(images.paths, self.hashes, strict=True):
            groups[md5].append(path)
        return [tuple(paths) for md5, paths in groups.items() if md5 and len(paths) > 1]

    def without(self, images: Images) -> tuple[Images, Check]:
        """The images that can be decoded, and the check of those."""
        hashes = [md5 for path, md5 in zip(images.paths, self.hashes, strict=True) if path not in self.problems]
        pixels = None if self.pixels is None else self.pixels.without(self.problems)
        return images.without(self.problems), Check(tuple(hashes), {}, pixels)


def check_images(images: Images, image_size: int | None = None, known: Collection[str] = ()) -> Check:
    """Reads and decodes every image, on all cores, with a bar on a terminal.

    With `image_size` the decoded images are there afterwards, as far as there is room for them. Those whose MD5 is
    `known` were decoded before, and are only read.
    """
    pixels = None if image_size is None else Pixels(images, (), image_size)

    def check_one(index: int) -> tuple[str, str]:
        path = images.root / images.paths[index]
        return _check_file(path, known, decode if pixels is None else lambda content: pixels.put(index, content))

    checks = in_threads(check_one, range(len(images)))
    results = list(tqdm(checks, total=len(images), desc="checking images", unit="image", leave=False, disable=None))
    problems = {path: why for path, (_, why) in zip(images.paths, results, strict=True) if why}
    hashes = tuple(md5 for md5, _ in results)
    if pixels is not None:
        pixels.hashes = hashes
    return Check(hashes, problems, pixels)


def copies_in(training: Images, images: Images, check: Check) -> list[str]:
    """Those of `images`, which `check` is of, that are also in `training`, equal to the byte.

    Only files of equal size are read.
    """
    sizes = {(images.root / path).stat().st_size for path in images.paths}
    alike = [training.root / path for path in training.paths if _size(training.root / path) in sizes]
    known = {_digest(path) for path in alike}
    return [path for path, md5 in zip(images.paths, check.hashes, strict=True) if md5 in known]


def undecodable_error(check: Check, images: Images) -> DataError:
    """The error that names every image that cannot be decoded."""
    named = "; ".join(f"{path} ({why})" for path, why in check.problems.items())
    return DataError(
        f"{len(check.problems)} of {len(images)} images in {images.root} cannot be decoded",
        named,
        "mend or delete them, or go on without them: --skip-corrupt",
    )


def _check_file(path: Path, known: Collection[str], decoder: Callable[[bytes], Any]) -> tuple[str, str]:
    """(MD5 of the file, why it cannot be decoded): one of them may be empty."""
    if path.is_symlink() and not path.exists():
        return "", "a broken link"
    try:
        if not path.is_file():
            return "", "not a file"  # a pipe, say, which could be read for ever
        content = path.read_bytes()
    except PermissionError:
        return "", "not permitted"
    except OSError as error:
        return "", str(error.strerror)
    md5 = md5_of(content)
    return md5, "" if md5 in known else problem(content, decoder)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _digest(path: Path) -> str:
    """MD5 of the file; empty where it cannot be read."""
    try:
        return file_md5(path)
    except OSError:
        return ""


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
