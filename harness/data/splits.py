"""Which images a model learns from and which it is judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.data.folders import Images
from harness.errors import DataError

HOLD_OUT = 0.2  # the share of images that one hold-out keeps for validation


@dataclass(frozen=True)
class Split:
    """Indices into an `Images`, sorted; no index is in both."""

    train: tuple[int, ...]
    valid: tuple[int, ...]


def stratified_splits(images: Images, folds: int, seed: int) -> list[Split]:
    """`folds` splits whose validation sides are disjoint and together are all images; or, for 0, one hold-out.

    Every side has each class in the proportion of the whole. A function of the sorted listing and `seed` alone. Raises
    DataError where a class has fewer images than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

    _require_enough(images, folds)
    labels = np.asarray(images.labels)
    if folds:
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    else:
        splitter = StratifiedShuffleSplit(
            1, test_size=max(HOLD_OUT, len(images.classes) / len(labels)), random_state=seed
        )
    return [
        Split(tuple(sorted(train.tolist())), tuple(sorted(valid.tolist())))
        for train, valid in splitter.split(np.zeros(len(labels)), labels)
    ]


def _require_enough(images: Images, folds: int) -> None:
    needed = folds or 2
    too_small = {name: count for name, count in images.counts().items() if count < needed}
    if too_small:
        smallest = min(too_small.values())
        wanted = f"{folds} folds" if folds else "a hold-out"
        raise DataError(
            f"{wanted} need{'' if folds else 's'} at least {needed} images of each class",
            f"there are too few of {', '.join(f'{name} ({count})' for name, count in too_small.items())}",
            f"-s folds={smallest}" if smallest >= 2 and folds else "add images to those classes",
        )
