"""Layouts of image folders: which folder contains the classes, and which are for training, validation and test."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from harness.data.foreign import is_foreign, is_hidden
from harness.data.formats import is_image_name
from harness.data.images import Side, composed
from harness.errors import DataError
from harness.util.text import few

# Names of these folders in data sets of Kaggle, Roboflow, Ultralytics, Keras and torchvision, in lower case.
SIDES = {
    Side.TRAIN: ("train", "training", "trn"),
    Side.VALID: ("val", "valid", "validation", "dev", "eval"),
    Side.TEST: ("test", "testing", "tst"),
}
WORDS = {word: side for side, words in SIDES.items() for word in words}
UNLABELLED = ("pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled", "unsup")
NOISE = ("set", "data", "dataset", "split", "images", "image", "imgs", "folder", "full")  # as in "train_set"


@dataclass(frozen=True)
class Layout:
    """Where the classes are.

    Attributes:
        root: The folder whose folders are the classes; with `sides`, the folder that contains the splits.
        sides: The folder of each split; empty if the data set is not split into folders.
        notes: How the layout was read, as sentences.
    """

    root: Path
    sides: dict[Side, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def training(self) -> Path:
        """The folder whose folders are the classes of the training images."""
        return self.sides.get(Side.TRAIN, self.root)


def find_layout(named: Path, known: Collection[str] = (), class_folder: str | None = None) -> Layout:
    """Finds the layout of the folder `named`. Reads only names, no files.

    Args:
        named: An existing folder.
        known: Classes that a model knows. A folder with such a name is a class, even if it is named like a split.
        class_folder: "outer" or "inner" if the user chose which of two levels of folders names the class.

    Raises:
        DataError: The layout has more than one possible meaning.
        OSError: A folder cannot be listed.
    """
    root = _descend(named, known, class_folder)
    notes = [] if root == named else [f"{named} contains only {_below(root, named)}, whose folders are the classes"]
    folders = subfolders(root)
    is_flat = not any(subfolders(folder) for folder in folders)
    is_known = {composed(folder.name) for folder in folders} <= {composed(name) for name in known}
    if is_known or (class_folder == "outer" and is_flat):
        return Layout(root, notes=tuple(notes))
    sides, unlabelled = _sides(root, folders)
    if sides:
        training = _descend(sides[Side.TRAIN], known, class_folder, within_side=True)
        classes = {*known} or _names_of(training)
        below = {side: _descend(path, classes, class_folder, within_side=True) for side, path in sides.items()}
        below[Side.TRAIN] = training
        roles = {Side.TRAIN: "for training", Side.VALID: "for validation", Side.TEST: "for the test"}
        splits = ", ".join(f"{_below(path, root)} {roles[side]}" for side, path in below.items())
        notes = [f"{root} is split into folders: {splits}"]
        notes += [f"{path} has no class folders: its images have no labels, and are not used" for path in unlabelled]
        for path in below.values():
            _require_one_reading(path, known, class_folder)
        return Layout(root, below, tuple(notes))
    _require_one_reading(root, known, class_folder)
    return Layout(root, notes=tuple(notes))


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder` without hidden and foreign ones, sorted by name in NFC."""
    entries = [entry for entry in folder.iterdir() if entry.is_dir() and not is_hidden(entry.name)]
    return sorted((entry for entry in entries if not is_foreign(entry)), key=lambda entry: composed(entry.name))


def _descend(folder: Path, known: Collection[str], class_folder: str | None, within_side: bool = False) -> Path:
    """Goes down as long as a folder contains a single folder. Returns the folder that contains the classes.

    Stops at a folder that is named like a split, except for `seg_train` in `seg_train` (`within_side`).
    """
    seen = {folder.resolve()}
    while class_folder is None:
        inside = subfolders(folder)
        names = {composed(name) for name in known}
        if len(inside) != 1 or composed(inside[0].name) in names:
            break
        if side_of(inside[0].name)[0] is not None and not within_side:
            break
        if not subfolders(inside[0]) or inside[0].resolve() in seen:
            break
        folder = inside[0]
        seen.add(folder.resolve())
    return folder


def _sides(root: Path, folders: Sequence[Path]) -> tuple[dict[Side, Path], list[Path]]:
    """(the folder of each split, folders without class folders); empty unless all `folders` are named like splits."""
    named = [(folder, *side_of(folder.name)) for folder in folders]
    is_layout = any(side is Side.TRAIN for _, side, _ in named) and all(
        side is not None or rest is not None for _, side, rest in named
    )
    if not is_layout or len({rest for _, _, rest in named}) > 1:
        return {}, []
    classes = {
        name for folder, side, _ in named if side is Side.TRAIN for name in _names_of(_descend(folder, (), None, True))
    }
    inside = {folder: _names_of(_descend(folder, classes, None, True)) for folder in folders}
    labelled = [(folder, side) for folder, side, _ in named if side is not None and classes & inside[folder]]
    for folder, side, _ in named:
        _require_same_spelling(folder, inside[folder] if side is not None else set(), classes)
    flat = [folder for folder, _, _ in named if folder not in {path for path, _ in labelled}]
    if not any(side is Side.TRAIN for _, side in labelled):
        raise DataError(
            f"{root} has no classes",
            f"its folders {', '.join(folder.name for folder in folders)} are named like splits, but contain "
            "no class folders",
            "a table with columns path,label: -s data=labels.csv; or -s class_folder=outer, if these are the classes",
        )
    doubled = [side for side, count in Counter(side for _, side in labelled).items() if count > 1]
    if doubled:
        both = [folder.name for folder, side in labelled if side is doubled[0]]
        field_of = {Side.TRAIN: "data", Side.VALID: "valid_data", Side.TEST: "test_data"}[doubled[0]]
        raise DataError(
            f"{root} has {len(both)} folders for {doubled[0]}: {', '.join(both)}",
            "only one of them can be used",
            f"-s data={quote(str(next(f for f, s in labelled if s is Side.TRAIN)))} -s {field_of}={root / both[0]}",
        )
    return {side: folder for side in Side for folder, its in labelled if its is side}, flat


def _require_same_spelling(folder: Path, names: set[str], classes: set[str]) -> None:
    """Raises DataError if the class names of a split differ from those of training only in case or spaces."""
    spelled = {" ".join(name.casefold().split()): name for name in classes}
    other = [name for name in sorted(names - classes) if " ".join(name.casefold().split()) in spelled]
    if other:
        known = [spelled[" ".join(name.casefold().split())] for name in other]
        raise DataError(
            f"{folder} spells classes differently from the training images: {few(other)}",
            f"the training images have {few(known)}",
            "rename the folders, so that each class has one name",
        )


def side_of(name: str) -> tuple[Side | None, tuple[str, ...] | None]:
    """(the split in a folder's name, the other words of the name); (None, None) if the name contains no split.

    For a folder of images without labels, the split is None: `seg_pred` gives (None, ("seg",)).
    """
    words = re.findall(r"[a-z]+", name.lower())
    sides = [word for word in words if word in WORDS or word in UNLABELLED]
    if len(sides) != 1:
        return None, None
    return WORDS.get(sides[0]), tuple(word for word in words if word != sides[0] and word not in NOISE)


def _require_one_reading(root: Path, known: Collection[str], class_folder: str | None) -> None:
    """Raises DataError if two levels of folders may both be the classes, as in siteA|siteB/{benign,malignant}."""
    folders = subfolders(root)
    if class_folder is not None or len(folders) < 2 or {composed(folder.name) for folder in folders} & {*known}:
        return
    inside = [_names_of(folder) for folder in folders]
    shared = Counter(name for names in inside for name in names)
    if len(shared) < 2 or max(shared.values()) < 2:
        return
    outer, inner = few([composed(folder.name) for folder in folders], 3), few(sorted(shared), 3)
    sides = [folder for folder in folders if side_of(folder.name)[0] is not None and _names_of(folder)]
    training = [folder for folder in sides if side_of(folder.name)[0] is Side.TRAIN]
    if not training and any(_has_images(folder) for folder in folders):
        return
    if training and len(sides) > 1:
        raise DataError(
            f"{root} is not only split into training and test images",
            f"it contains {outer}; the classes are either these, or {inner}",
            f"-s data={quote(str(training[0]))}, and also set valid_data and test_data; or -s class_folder=outer",
        )
    raise DataError(
        f"{root} has two levels of folders, and both may be the classes",
        f"the outer folders are {outer}; the inner folders, which are in several outer folders, are {inner}",
        f"-s class_folder=inner for the classes {inner}; -s class_folder=outer for {outer}",
    )


def _names_of(folder: Path) -> set[str]:
    return {composed(inside.name) for inside in subfolders(folder)}


def _has_images(folder: Path) -> bool:
    return any(is_image_name(entry.name) and not entry.is_dir() for entry in folder.iterdir())


def _below(path: Path, root: Path) -> str:
    return f"{path.relative_to(root).as_posix()}/"
