"""Finds test images with a near copy among the model's training images, if these are on this machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.data.check import check_images
from harness.models.saved import SavedModel
from harness.workflows.images_to_test import TestImages, cache_of, images_at_hand
from harness.workflows.near_copies import MOST_COMPARED, across, example, near_text, search


@dataclass(frozen=True)
class NearOfTest:
    """Attributes:
    paths: Test images with a near copy among the model's training images. Excludes training images themselves.
    notes: Warnings, one line each; empty if there are none, or if the training images are not on this machine.
    """

    paths: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def near_copies_of_test(model: SavedModel, tested: TestImages) -> NearOfTest:
    """Compares the test images with the model's training images on this machine.

    The training images are those of the experiment's `data` and `valid_data` whose fingerprint the checkpoint lists.
    An older checkpoint lists none: then they are all images of `data`. They are read again, and decoded unless they
    are in the cache. If there are more than `MOST_COMPARED`, they are not read, and a warning says so.
    """
    names = ("data",) if model.trained_on is None else ("data", "valid_data")
    sides = [side for side in (images_at_hand(model, name) for name in names) if side is not None]
    if not sides:
        return NearOfTest()
    count = sum(map(len, sides))
    if count > MOST_COMPARED:
        return NearOfTest(
            notes=(
                f"not checked for near copies, because there are more than {MOST_COMPARED:,} training images; "
                "harness data check EXPERIMENT checks them",
            )
        )
    cache = cache_of(model)
    checks = [check_images(side, cache=cache) for side in sides]
    prints = np.concatenate([check.fingerprints for check in checks])
    known = model.trained_on
    trained_on = [i for i, key in enumerate(prints.tolist()) if key and (known is None or key in known)]
    if not trained_on:
        return NearOfTest()
    copies = search([*checks, tested.check], cache)
    partners = across(copies, range(count, count + len(tested.images)), trained_on)
    if not partners:
        return NearOfTest()
    files = [str(file) for images in (*sides, tested.images) for file in images.files()]
    counted = near_text(len(partners), len(tested.images), "test images", "among the training images")
    note = f"{counted}, so the accuracy may be too good: {example(partners, files)}; the gate counts all images"
    return NearOfTest(frozenset(tested.images.paths[i - count] for i in partners), (note,))
