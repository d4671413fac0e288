"""`Images`: a list of image files with their classes, before they are decoded."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path, PurePosixPath

from harness.errors import DataError


class Side(str, Enum):
    """The splits of a data set."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"

    __str__ = str.__str__


@dataclass(frozen=True)
class Images:
    """A listing of images.

    Attributes:
        root: The folder that `paths` are relative to.
        classes: Names in Unicode's composed form (NFC), in the order of the logits.
        paths: (N,) relative to `root`, "/" on every system, in NFC; sorted by class and name.
        labels: (N,) index into `classes`.
        ignored: Files that are not images by their name, relative to `root`.
        foreign: Folders of other programs, which are left out -> number of their files.
        groups: (N,) the value of a table's group column; None if there is none.
        on_disk: Path -> its path on the disk, if that is not in NFC.
        notes: How the images were found, as sentences.
    """

    root: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    ignored: tuple[str, ...] = ()
    foreign: dict[str, int] = field(default_factory=dict)
    groups: tuple[str, ...] | None = None
    on_disk: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def file(self, path: str) -> Path:
        """The file of one of `paths`."""
        return self.root / self.on_disk.get(path, path)

    def files(self) -> list[Path]:
        """(N,) the files, in the order of `paths`."""
        return [self.file(path) for path in self.paths]

    def counts(self) -> dict[str, int]:
        """Images per class, in the order of `classes`; a class may have none."""
        counted = Counter(self.labels)
        return {name: counted[label] for label, name in enumerate(self.classes)}

    def count_by_class(self, paths: Collection[str]) -> dict[str, int]:
        """Number of `paths` per class, without classes that have none."""
        wanted = set(paths)
        counted = Counter(label for path, label in zip(self.paths, self.labels, strict=True) if path in wanted)
        return {name: counted[label] for label, name in enumerate(self.classes) if counted[label]}

    def without(self, paths: Collection[str]) -> Images:
        """The listing without `paths`."""
        return self.take([i for i, path in enumerate(self.paths) if path not in paths])

    def take(self, indices: Sequence[int]) -> Images:
        """The images at `indices`, in that order."""
        groups = None if self.groups is None else tuple(self.groups[i] for i in indices)
        return replace(
            self,
            paths=tuple(self.paths[i] for i in indices),
            labels=tuple(self.labels[i] for i in indices),
            groups=groups,
        )

    def below(self, root: Path) -> Images:
        """The listing with paths relative to `root`, a folder above."""
        inside = PurePosixPath(Path(os.path.relpath(self.root, root)).as_posix())
        names = {path: composed(str(inside / path)) for path in (*self.paths, *self.ignored, *self.foreign)}
        on_disk = {
            names[path]: actual
            for path in self.paths
            if (actual := str(inside / self.on_disk.get(path, path))) != names[path]
        }
        return replace(
            self,
            root=root,
            paths=tuple(names[path] for path in self.paths),
            ignored=tuple(names[path] for path in self.ignored),
            foreign={names[path]: count for path, count in self.foreign.items()},
            on_disk=on_disk,
        )


def joined(training: Images, validation: Images) -> Images:
    """Joins two listings with the same classes: the training images first, with a common root."""
    root = common_folder([training.root, validation.root])
    one, other = training.below(root), validation.below(root)
    groups = None
    if one.groups is not None or other.groups is not None:
        groups = (*(one.groups or one.paths), *(other.groups or other.paths))
    return replace(
        one,
        paths=one.paths + other.paths,
        labels=one.labels + other.labels,
        ignored=tuple(dict.fromkeys(one.ignored + other.ignored)),
        foreign=one.foreign | other.foreign,
        groups=groups,
        on_disk=one.on_disk | other.on_disk,
        notes=tuple(dict.fromkeys(one.notes + other.notes)),
    )


def common_folder(folders: Iterable[Path]) -> Path:
    """The lowest folder that contains all `folders`; relative if they are. Raises DataError for two drives."""
    folders = list(folders)
    absolute = [os.path.normpath(folder.absolute()) for folder in folders]
    try:
        common = os.path.commonpath(absolute)
    except ValueError as error:
        raise DataError(
            "the images are on two drives", f"{folders[0]} and {folders[-1]}", "move them to one of the drives"
        ) from error
    for folder, path in zip(folders, absolute, strict=True):
        if path == common:
            return folder
    relative = not any(folder.is_absolute() for folder in folders) and Path(common).is_relative_to(Path.cwd())
    return Path(os.path.relpath(common)) if relative else Path(common)


def composed(name: str) -> str:
    """Converts a name to Unicode's composed form (NFC). macOS writes "é" as two characters (NFD)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def compose_paths(actual: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Returns the paths in NFC, and path -> name on the disk for those that differ.

    Two files whose names differ only in the Unicode form keep their names.
    """
    actual = list(actual)
    counted = Counter(composed(name) for name in actual)
    names = {name: composed(name) if counted[composed(name)] == 1 else name for name in actual}
    return list(names.values()), {path: name for name, path in names.items() if path != name}


def file_of(root: Path, path: str) -> Path:
    """The file of a path in NFC. Its name on the disk may have the decomposed form (NFD)."""
    file = root / path
    return file if path.isascii() or file.exists() else root / unicodedata.normalize("NFD", path)
