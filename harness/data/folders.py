"""A folder with a folder per class, as a sorted list that does not depend on the file system."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from shlex import quote

from harness.data.foreign import count_files, is_foreign
from harness.errors import DataError, nearest
from harness.versioning.tracked import tracking_file

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
)


@dataclass(frozen=True)
class Images:
    """Which images there are. `labels[i]` is the place of image i's class in `classes`; nothing is decoded yet."""

    root: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]  # relative to root, "/" on every system, sorted by class and name
    labels: tuple[int, ...]
    ignored: tuple[str, ...]  # files that are no images by their name, relative to root
    foreign: dict[str, int] = field(default_factory=dict)  # folders that other programs made -> their files; left out

    def __len__(self) -> int:
        return len(self.paths)

    def counts(self) -> dict[str, int]:
        """Images per class, in the order of `classes`; a class may have none."""
        counted = Counter(self.labels)
        return {name: counted[label] for label, name in enumerate(self.classes)}

    def without(self, paths: Collection[str]) -> Images:
        """The same, less those `paths`."""
        indices = [i for i, path in enumerate(self.paths) if path not in paths]
        return replace(self, paths=tuple(self.paths[i] for i in indices), labels=tuple(self.labels[i] for i in indices))


def list_images(root: Path | str, classes: Sequence[str] | None = None) -> Images:
    """Lists the images under `root`, whose folders are the classes.

    With `classes` given (those a model knows), folders are matched to them by name, never by position: a class that has
    no folder here simply has no images; a folder that is none of them is refused. Folders that other programs made are
    left out. Raises DataError, also where there is no folder, no class, only one, or a class without images.
    """
    root = Path(root)
    try:
        if not root.is_dir():
            raise _no_folder(root, "-s data=FOLDER" if classes is None else "--data FOLDER")
        entries = sorted(root.iterdir(), key=lambda entry: entry.name)  # a Path's own order differs on Windows
        visible = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
        foreign = [entry.name for entry in visible if entry.name not in (classes or ()) and is_foreign(entry)]
        folders = [entry.name for entry in visible if entry.name not in foreign]
        stray = [entry.name for entry in entries if not entry.is_dir()]
    except OSError as error:
        raise DataError(f"{root} cannot be listed", str(error.strerror), "name a folder that you may read") from error
    if not folders:
        raise _no_classes(root, stray)
    if classes is None:
        _require_two(root, folders)
    else:
        _require_known(root, folders, classes)
    names = tuple(folders if classes is None else classes)
    paths: list[str] = []
    labels: list[int] = []
    ignored = stray
    homes = {name: os.path.realpath(root / name) for name in folders}
    elsewhere = {os.path.realpath(root), *homes.values()}
    for name in folders:
        images, others, foreign_within = _walk(root, name, elsewhere - {homes[name]})
        if not images and classes is None:
            raise DataError(
                f"class {name!r} is empty",
                f"{root / name} holds no image ({len(others)} other files)",
                f"add images to it, or rmdir {quote(str(root / name))}",
            )
        paths += images
        labels += [names.index(name)] * len(images)
        ignored += others
        foreign += foreign_within
    if not paths:
        raise DataError(f"{root} has no images", f"its folders {', '.join(folders)} hold none", "name another folder")
    left_out = {path: count_files(root / path) for path in foreign}
    return Images(root, names, tuple(paths), tuple(labels), tuple(ignored), left_out)


def require_every_class(images: Images) -> None:
    """Raises DataError where a class has no image: no number could say anything of it."""
    absent = [name for name, count in images.counts().items() if not count]
    if absent:
        raise DataError(
            f"{images.root} has no images of {', '.join(absent)}",
            f"the model knows {', '.join(images.classes)}; the folder holds images of "
            f"{', '.join(name for name in images.classes if name not in absent)}",
            f"add images to {images.root / absent[0]}, or --allow-missing to test the other classes",
        )


def _walk(root: Path, name: str, elsewhere: set[str]) -> tuple[list[str], list[str], list[str]]:
    """(images, other files, foreign folders) under one class, at any depth.

    Links are followed, none twice, and none to `elsewhere`.
    """
    images: list[str] = []
    others: list[str] = []
    foreign: list[str] = []
    seen = set(elsewhere)

    def refuse(error: OSError) -> None:
        raise DataError(
            f"{error.filename} cannot be listed", str(error.strerror), f"chmod u+rx {quote(str(error.filename))}"
        ) from error

    for folder, folders, files in os.walk(root / name, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        visible = sorted(entry for entry in folders if not entry.startswith("."))
        left_out = {entry for entry in visible if is_foreign(Path(folder, entry))}
        folders[:] = [entry for entry in visible if entry not in left_out]
        foreign += [Path(folder, entry).relative_to(root).as_posix() for entry in left_out]
        for file in files:
            path = Path(folder, file).relative_to(root).as_posix()
            (images if _is_image(file) else others).append(path)
    return sorted(images), sorted(others), sorted(foreign)


def _is_image(name: str) -> bool:
    """By its name; what begins with a dot is some system's own note about an image."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def _no_folder(root: Path, option: str) -> DataError:
    tracked = tracking_file(root)
    if root.exists():
        return DataError(f"{root} is no folder", "it is a file", "name the folder that holds a folder per class")
    if tracked is not None:
        return DataError(
            f"{root} is not there",
            f"{tracked} tracks it, but it has not been fetched",
            f"harness data ready {str(tracked).removesuffix('.dvc')}",
        )
    return DataError(
        f"{root} is not there",
        f"looked for {root.absolute()}",
        f"harness data demo, or {option} for your own images",
    )


def _no_classes(root: Path, stray: Sequence[str]) -> DataError:
    if any(_is_image(name) for name in stray):
        return DataError(
            f"{root} has no classes",
            f"its images lie loose in it; each class is a folder of images ({len(stray)} files)",
            f"-s data={root.absolute().parent}, if {root.absolute().name!r} is one of the classes",
        )
    return DataError(
        f"{root} has no classes",
        f"it holds no folders; each class is a folder of images ({len(stray)} other files)",
        f"mkdir {root}/sea {root}/forest, and move the images there",
    )


def _require_two(root: Path, folders: Sequence[str]) -> None:
    if len(folders) == 1:
        raise DataError(
            f"{root} has one class only",
            f"its only folder is {folders[0]!r}; telling classes apart takes two",
            f"add a folder for another class, or name the folder above: -s data={root.parent}",
        )


def _require_known(root: Path, folders: Sequence[str], classes: Sequence[str]) -> None:
    unknown = [name for name in folders if name not in classes]
    if unknown:
        raise DataError(
            f"{root} has unknown classes: {', '.join(unknown)}{nearest(unknown[0], classes)}",
            f"the model knows {', '.join(classes)}; the folder holds {', '.join(folders)}",
            "--data with a folder of its classes, which are matched by name",
        )
