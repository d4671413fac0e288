"""Near copies of test images among those that a model was trained on, if these are at hand."""

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
    paths: Test images that have a near copy among those that the model was trained on, and are not of these.
    notes: For people; empty if there are none, or if the training images are not at hand.
    """

    paths: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def near_copies_of_test(model: SavedModel, tested: TestImages) -> NearOfTest:
    """Compares the test images with the training images on this machine that the model was trained on.

    These are the images of its experiment's `data` and `valid_data` whose pixels are those of an image that the
    checkpoint names; of an older checkpoint, which names none, all of `data`. They are read again, and decoded unless
    the cache knows them. More than `MOST_COMPARED` images are not read, and a note says so.
    """
    names = ("data",) if model.trained_on is None else ("data", "valid_data")
    sides = [side for side in (images_at_hand(model, name) for name in names) if side is not None]
    if not sides:
        return NearOfTest()
    count = sum(map(len, sides))
    if count > MOST_COMPARED:
        return NearOfTest(
            notes=(
                f"near copies of these images are not looked for among more than {MOST_COMPARED:,} training images; "
                "harness data check EXPERIMENT looks for them",
            )
        )
    cache = cache_of(model)
    checks = [check_images(side, cache=cache) for side in sides]
    prints = np.concatenate([check.fingerprints for check in checks])
    known = model.trained_on
    trained_on = [i for i, look in enumerate(prints.tolist()) if look and (known is None or look in known)]
    if not trained_on:
        return NearOfTest()
    copies = search([*checks, tested.check], cache)
    partners = across(copies, range(count, count + len(tested.images)), trained_on)
    if not partners:
        return NearOfTest()
    files = [str(file) for images in (*sides, tested.images) for file in images.files()]
    counted = near_text(len(partners), len(tested.images), "test images", "among the training images")
    note = f"{counted}, so the accuracy can be too good: {example(partners, files)}; the gate counts all images"
    return NearOfTest(frozenset(tested.images.paths[i - count] for i in partners), (note,))
