"""Splits images into training and validation sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.groups import Groups, number_of
from harness.data.images import Images
from harness.errors import DataError
from harness.util.text import see

HOLD_OUT = 0.2  # share of the images in the validation set of a hold-out
SMALL_GROUP = 0.02  # share of the images; groups up to this size are drawn like single images
HOLD_OUT_FOLDS = 5  # a hold-out of whole groups is one of these folds
WITHOUT_INNER = "-s patience=none -s scheduler=none -s epoch=last -s inner_fraction=none"
NO_SUCH_GROUPS = "the groups are too few or too large to have each class in both sets"


@dataclass(frozen=True)
class Split:
    """Sorted indices into an `Images`. No index is in two sets.

    Attributes:
        train: The training set.
        valid: The validation set. It is only evaluated: no choice about the model depends on it.
        inner: The inner validation set, for choices in training: early stopping, a plateau scheduler, the best epoch.
    """

    train: tuple[int, ...]
    valid: tuple[int, ...]
    inner: tuple[int, ...] = ()

    @property
    def training_side(self) -> tuple[int, ...]:
        """All images that influence the model."""
        return tuple(sorted((*self.train, *self.inner)))


def stratified_splits(
    images: Images, folds: int, seed: int, groups: Groups | None = None, uneven: bool = False
) -> list[Split]:
    """Makes the splits of a cross-validation, or one hold-out.

    The validation sets of the folds are disjoint, and together they are all images. Each set has the classes in the
    same proportions as all images, as far as the groups allow. The images of a group are all in the same set. The
    result depends only on the sorted listing, the groups and `seed`.

    Args:
        images: A listing.
        folds: Number of folds, at least 2; or 0 for one hold-out.
        seed: Random seed.
        groups: (N,) the group of each image; None if all images are independent.
        uneven: Whether groups may be large or contain several classes. Then scikit-learn's StratifiedGroupKFold
            balances the number of images. Otherwise groups are split as if each were one image.

    Raises:
        DataError: A class has fewer images, or groups, than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

    _require_enough(images, folds, groups)
    labels = np.asarray(images.labels)
    if groups is not None and uneven:
        return _group_folds(images, folds, seed, groups) if folds else [_group_hold_out(images, seed, groups)]
    units = np.arange(len(labels)) if groups is None else np.unique(groups, return_index=True)[1]
    kinds = labels[units]
    if folds:
        chooser = StratifiedKFold(folds, shuffle=True, random_state=seed)
    else:
        chooser = StratifiedShuffleSplit(
            1, test_size=max(HOLD_OUT, len(images.classes) / len(kinds)), random_state=seed
        )
    pairs = chooser.split(np.zeros(len(kinds)), kinds)
    if groups is None:
        return [_split(train, valid) for train, valid in pairs]
    whole = [(np.isin(groups, train), np.isin(groups, valid)) for train, valid in pairs]
    return [_split(np.flatnonzero(train), np.flatnonzero(valid)) for train, valid in whole]


def with_inner(images: Images, split: Split, fraction: float, seed: int, groups: Groups | None = None) -> Split:
    """Moves a part of the training set to the inner validation set: stratified, in whole groups.

    Args:
        images: A listing.
        split: The split whose training set is divided.
        fraction: Share of the training set, as exactly as classes and groups allow.
        seed: Random seed.
        groups: (N,) the group of each image; None if all images are independent.

    Raises:
        DataError: A class has fewer than two images or groups in the training set.
    """
    side = np.array(split.training_side)
    labels = np.asarray(images.labels)[side]
    own = side if groups is None else groups[side]
    units, first, counts = np.unique(own, return_index=True, return_counts=True)
    few = [
        name
        for label, name in enumerate(images.classes)
        if (labels == label).any() and len(np.unique(own[labels == label])) < 2
    ]
    if few:
        raise DataError(
            f"there is no image of {', '.join(few)} for the inner validation set",
            "the training set needs its only image, or its only group of images",
            f"{WITHOUT_INNER}, or more images",
        )
    if groups is not None and (counts.max() > SMALL_GROUP * len(side) or _of_several_classes(labels, own)):
        chosen = _part_of_groups(labels, own, max(2, round(1 / fraction)), seed)
    else:
        chosen = np.isin(own, _share_of_each(units, labels[first], fraction, seed))
    if chosen is None:
        raise DataError(
            "no inner validation set of whole groups has every class",
            NO_SUCH_GROUPS,
            f"{WITHOUT_INNER}, or smaller groups",
        )
    return Split(tuple(side[~chosen].tolist()), split.valid, tuple(side[chosen].tolist()))


def _share_of_each(units: Groups, labels: Groups, fraction: float, seed: int) -> Groups:
    """Draws a share of the units of each class, at least one. scikit-learn may leave out a small class."""
    random = np.random.default_rng(seed)
    shuffled = [random.permutation(units[labels == label]) for label in np.unique(labels)]
    return np.concatenate([own[: max(1, round(fraction * len(own)))] for own in shuffled])


def _of_several_classes(labels: Groups, groups: Groups) -> bool:
    return len(np.unique(np.stack([groups, labels]), axis=1).T) > len(np.unique(groups))


def _part_of_groups(labels: Groups, groups: Groups, most: int, seed: int) -> NDArray[np.bool_] | None:
    """Divides the images into at most `most` parts of whole groups. Returns one part, as a mask (n,).

    Each class is in the part and in the rest. None if there is no such part.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    smallest = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    for parts in range(min(smallest, most), 1, -1):
        splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
        for others, part in splitter.split(labels, labels, groups):
            if {*labels[others]} == {*labels[part]} == {*labels}:
                return np.isin(np.arange(len(labels)), part)
    return None


def _split(train: Groups, valid: Groups) -> Split:
    return Split(tuple(sorted(train.tolist())), tuple(sorted(valid.tolist())))


def _groups_by_class(images: Images, groups: Groups | None) -> dict[str, int]:
    """Class -> number of groups that have an image of it."""
    labels = np.asarray(images.labels)
    return {name: number_of(groups, np.flatnonzero(labels == label)) for label, name in enumerate(images.classes)}


def _require_enough(images: Images, folds: int, groups: Groups | None) -> None:
    needed = folds or 2
    what = "images" if groups is None else "independent images, or groups of images,"
    counts = images.counts() if groups is None else _groups_by_class(images, groups)
    too_small = {name: count for name, count in counts.items() if count < needed}
    if too_small:
        smallest = min(too_small.values())
        wanted = f"{folds} folds" if folds else "a hold-out"
        raise DataError(
            f"{wanted} need{'' if folds else 's'} at least {needed} {what} of each class",
            f"there are too few of {', '.join(f'{name} ({count})' for name, count in too_small.items())}",
            f"-s folds={smallest}" if smallest >= 2 and folds else "add images to those classes",
        )


def _group_folds(images: Images, folds: int, seed: int, groups: Groups) -> list[Split]:
    """Folds of whole groups. Raises DataError if the training set of a fold lacks a class."""
    splits = _by_group(images, folds, seed, groups)
    absent = _lacking(images, splits)
    if absent:
        fewer = range(folds - 1, 1, -1)
        possible = [n for n in fewer if not _lacking(images, _by_group(images, n, seed, groups))]
        raise DataError(
            f"{folds} folds leave no training image of {absent[0]}",
            "the groups are too few or too large to spread each class over the folds",
            f"-s folds={possible[0]}" if possible else "smaller groups, or more images of that class",
        )
    return splits


def _group_hold_out(images: Images, seed: int, groups: Groups) -> Split:
    """A hold-out of whole groups, at least a fifth of the images. Raises DataError if a set would lack a class."""
    chosen = _part_of_groups(np.asarray(images.labels), groups, HOLD_OUT_FOLDS, seed)
    if chosen is None:
        raise DataError(
            "no hold-out of whole groups has every class",
            NO_SUCH_GROUPS,
            f"smaller groups, or your own validation set: -s valid_data=FOLDER; {see('data')}",
        )
    return _split(np.flatnonzero(~chosen), np.flatnonzero(chosen))


def _lacking(images: Images, splits: list[Split]) -> list[str]:
    """The classes without a training image in one of the splits."""
    return [name for split in splits for name in _absent(images, split.train)]


def _by_group(images: Images, folds: int, seed: int, groups: Groups) -> list[Split]:
    from sklearn.model_selection import StratifiedGroupKFold

    labels = np.asarray(images.labels)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return [_split(train, valid) for train, valid in splitter.split(np.zeros(len(labels)), labels, groups)]


def require_learnable(images: Images, split: Split) -> list[str]:
    """The classes that the validation set lacks. Raises DataError if the training set lacks a class."""
    untrained = _absent(images, split.train)
    if untrained:
        raise DataError(
            f"there is no training image of {', '.join(untrained)}",
            "none of the images of this class can be used",
            "repair the images, or remove the class",
        )
    return _absent(images, split.valid)


def _absent(images: Images, indices: tuple[int, ...]) -> list[str]:
    """The classes that have no image at `indices`."""
    present = {images.labels[i] for i in indices}
    return [name for label, name in enumerate(images.classes) if label not in present]
