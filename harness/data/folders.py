"""Lists a folder with one folder per class, in an order that does not depend on the file system."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from harness.data.foreign import count_files, is_foreign, is_hidden
from harness.data.formats import is_image_name
from harness.data.images import Images, compose_paths, composed
from harness.data.layout import subfolders
from harness.errors import DataError, nearest
from harness.versioning.tracked import tracking_file


def list_folder(
    root: Path, classes: Sequence[str] | None = None, *, inner: bool = False, notes: Sequence[str] = ()
) -> Images:
    """Lists the images below `root`.

    Args:
        root: A folder.
        classes: The classes that a model knows. Folders are matched to them by name; a class without a folder has no
            images. None: the folders are the classes.
        inner: The classes are not the folders in `root`, but the folders one level below.
        notes: The notes of the listing.

    Raises:
        DataError: There is no class, only one class or a class without images; or a folder is not one of `classes`.
    """
    entries = list(root.iterdir())
    stray = sorted(entry.name for entry in entries if not entry.is_dir())
    known = {composed(name) for name in classes or ()}
    visible = [entry for entry in entries if entry.is_dir() and not is_hidden(entry.name)]
    foreign = sorted(entry.name for entry in visible if composed(entry.name) not in known and is_foreign(entry))
    folders = sorted(entry.name for entry in visible if entry.name not in foreign)
    if inner:
        stray += [f"{name}/{entry.name}" for name in folders for entry in (root / name).iterdir() if not entry.is_dir()]
        folders = [f"{name}/{folder.name}" for name in folders for folder in subfolders(root / name)]
    by_class = _by_class(root, folders)
    if not by_class:
        raise _no_classes(root, stray)
    if classes is None:
        _require_two(root, list(by_class))
    else:
        _require_known(root, list(by_class), [composed(name) for name in classes])
    names = tuple(sorted(by_class) if classes is None else (composed(name) for name in classes))
    actual: list[tuple[str, int]] = []
    ignored = stray
    homes = {name: os.path.realpath(root / name) for name in folders}
    elsewhere = {os.path.realpath(root), *homes.values()}
    for name, its_folders in by_class.items():
        count, others = len(actual), 0
        for folder in its_folders:
            images, other_files, foreign_within = _walk(root, folder, elsewhere - {homes[folder]})
            actual += [(path, names.index(name)) for path in images]
            ignored = ignored + other_files
            foreign += foreign_within
            others += len(other_files)
        if len(actual) == count and classes is None:
            raise DataError(
                f"class {name!r} is empty",
                f"{root / its_folders[0]} contains no images ({others} other files)",
                f"add images to it, or rmdir {quote(str(root / its_folders[0]))}",
            )
    if not actual:
        raise DataError(
            f"{root} has no images", f"its folders {', '.join(by_class)} contain no images", "give another folder"
        )
    paths, on_disk = compose_paths(path for path, _ in actual)
    rows = sorted(zip((label for _, label in actual), paths, strict=True), key=lambda row: (names[row[0]], row[1]))
    return Images(
        root,
        names,
        tuple(path for _, path in rows),
        tuple(label for label, _ in rows),
        tuple(ignored),
        {path: count_files(root / path) for path in foreign},
        on_disk=on_disk,
        notes=tuple(notes),
    )


def require_every_class(images: Images) -> None:
    """Raises DataError if a class has no images: no metric can be computed for it."""
    absent = [name for name, count in images.counts().items() if not count]
    if absent:
        raise DataError(
            f"{images.root} has no images of {', '.join(absent)}",
            f"the model knows {', '.join(images.classes)}; the folder contains images of "
            f"{', '.join(name for name in images.classes if name not in absent)}",
            f"add images to {images.root / absent[0]}, or --allow-missing to test the other classes",
        )


def _by_class(root: Path, folders: Sequence[str]) -> dict[str, list[str]]:
    """Class in NFC -> its folders, relative to `root`. Raises DataError for a name in two Unicode forms."""
    by_class: dict[str, list[str]] = {}
    for folder in folders:
        by_class.setdefault(composed(folder.rpartition("/")[2]), []).append(folder)
    for name, same in by_class.items():
        if len({composed(folder) for folder in same}) < len(same):
            raise DataError(
                f"{root} has the class {name!r} twice",
                "the names of two folders look equal, but have different Unicode forms (NFC and NFD); this happens "
                "when files are copied between macOS and other systems",
                f"move the images of one into the other: {' and '.join(ascii(folder) for folder in same)}",
            )
    return by_class


def _walk(root: Path, name: str, elsewhere: set[str]) -> tuple[list[str], list[str], list[str]]:
    """(images, other files, foreign folders) below one class, at any depth.

    Links are followed, but no folder is read twice, and no folder of `elsewhere` is read.
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
        visible = sorted(entry for entry in folders if not is_hidden(entry))
        left_out = {entry for entry in visible if is_foreign(Path(folder, entry))}
        folders[:] = [entry for entry in visible if entry not in left_out]
        foreign += [Path(folder, entry).relative_to(root).as_posix() for entry in left_out]
        for file in files:
            path = Path(folder, file).relative_to(root).as_posix()
            (images if is_image_name(file) else others).append(path)
    return images, sorted(others), sorted(foreign)


def no_folder(root: Path, option: str) -> DataError:
    """The error for a folder that does not exist."""
    tracked = tracking_file(root)
    if root.exists():
        return DataError(
            f"{root} is not a folder",
            "it is a file, but not a table of images (.csv, .tsv or .parquet)",
            "give the folder that contains one folder per class",
        )
    if tracked is not None:
        return DataError(
            f"{root} is not there",
            f"{tracked} tracks it, but it was not downloaded yet",
            f"harness data ready {str(tracked).removesuffix('.dvc')}",
        )
    return DataError(
        f"{root} is not there",
        f"looked for {root.absolute()}",
        f"harness data demo, or {option} for your own images",
    )


def _no_classes(root: Path, stray: Sequence[str]) -> DataError:
    if any(is_image_name(name) for name in stray):
        above = root.absolute().parent
        is_class = len(_image_folders(above)) > 1
        return DataError(
            f"{root} has no classes",
            f"its images are not in class folders ({len(stray)} files)",
            f"-s data={above}, if {root.absolute().name!r} is one of the classes"
            if is_class
            else "one folder per class, or a table with columns path,label: -s data=labels.csv",
        )
    return DataError(
        f"{root} has no classes",
        f"it contains no folders; each class must be a folder of images ({len(stray)} other files)",
        f"mkdir {root}/sea {root}/forest, and move the images there",
    )


def _require_two(root: Path, folders: Sequence[str]) -> None:
    if len(folders) == 1:
        above = root.absolute().parent
        also = f", or use the folder above: -s data={above}" if len(_image_folders(above)) > 1 else ""
        raise DataError(
            f"{root} has one class only",
            f"its only folder is {folders[0]!r}; classification needs two classes",
            f"add a folder for another class{also}",
        )


def _image_folders(folder: Path) -> list[Path]:
    """The folders in `folder` that contain images, at any depth."""
    return [
        inside
        for inside in subfolders(folder)
        if any(is_image_name(name) for _, _, names in os.walk(inside) for name in names)
    ]


def _require_known(root: Path, folders: Sequence[str], classes: Sequence[str]) -> None:
    unknown = [name for name in folders if name not in classes]
    if unknown:
        raise DataError(
            f"{root} has unknown classes: {', '.join(unknown)}{nearest(unknown[0], classes)}",
            f"the model knows {', '.join(classes)}; the folder contains {', '.join(folders)}",
            "--data FOLDER, whose folders have the names of the model's classes",
        )
