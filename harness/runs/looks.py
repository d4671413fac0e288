"""A list in `.harness/` of all tests: which models were tested on which images.

The more models are tested on the same images, the more the accuracy of the best one is too good by chance. Images are
identified by their pixels, so a new folder, a new name, or one more image does not make a new test set.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.luck import luck_of_best
from harness.evaluation.predictions import Predictions
from harness.runs import trust
from harness.util.files import append_lines
from harness.util.locks import locked
from harness.util.schema import Count, Ordinal, Positive, Share

FILE = trust.FOLDER / "tests.jsonl"  # a line for each set of images, and one for each test
Prints = NDArray[np.int64]
Right = NDArray[np.bool_]


@dataclass(frozen=True)
class Look:
    """A test in the list.

    Attributes:
        model: The tested model, such as the SHA-256 of a checkpoint.
        images: (n,) fingerprints, in ascending order.
        right: (n,) whether the model was right.
    """

    model: str
    images: Prints
    right: Right


@dataclass(frozen=True)
class Looks:
    """How often the images of a test were used for tests, including this test.

    Attributes:
        tests: The number of tests that at least half of the images were used in.
        images: The number of images that were used in at least `tests` tests. If `tests` is 1: in this test only.
        n: The number of images in this test.
        models: The number of different models that were tested on at least half of the images.
        luck: How much too high the accuracy of the best model is expected to be if all models are equally good.
    """

    tests: Ordinal
    images: Count
    n: Positive
    models: Ordinal
    luck: Share

    def __str__(self) -> str:
        which = f"these {self.n}" if self.images == self.n else f"{self.images} of these {self.n}"
        if self.tests == 1:
            return f"the first test on {which} images"
        text = f"test number {self.tests} on {which} images, with {self.models} model{'s' * (self.models > 1)} so far"
        if self.models == 1:
            return text
        return f"{text}; if all were equally good, the best would look {100 * self.luck:.1f} points too good by chance"


def add_look(predictions: Predictions, model: str, test: str) -> Looks | None:
    """Adds a test to the list, and returns how often its images were used.

    Args:
        predictions: The predictions of the test.
        model: The tested model, such as the SHA-256 of its checkpoint. A model that is tested twice counts once.
        test: The id of the test's run.

    Returns:
        None if the images have no fingerprints, or if the list cannot be written.
    """
    if predictions.fingerprints is None or not len(predictions):
        return None
    images, places = np.unique(predictions.fingerprints, return_inverse=True)
    wrong = np.bincount(places, weights=~predictions.right)
    look = Look(model, images, wrong == 0)
    try:
        trust.make_folder(FILE)
        with locked(trust.FOLDER / ".lock", wait=True, required=False):
            known = list(_read())
            lines = [_of_test(look, test)]
            if not any(np.array_equal(images, other.images) for other in known):
                lines.insert(0, _of_images(images))
            append_lines(FILE, *map(json.dumps, lines))
    except OSError:
        return None
    effective = predictions.accuracy.effective
    return _counted(look, known, float(len(images) if effective is None else effective))


def _counted(look: Look, known: list[Look], n: float) -> Looks:
    """How often the images of `look` were used, by the tests in the list and by `look`."""
    tests, models = np.ones(len(look.images), np.int64), {look.model: np.ones(len(look.images), bool)}
    disagreements: list[float] = []
    for other in known:
        mine, theirs = np.isin(look.images, other.images), np.isin(other.images, look.images)
        tests += mine
        if other.model not in models and mine.any():
            disagreements.append(float((look.right[mine] != other.right[theirs]).mean()))
        seen = models.setdefault(other.model, np.zeros(len(look.images), bool))
        seen |= mine
    count = _of_half(tests)
    different = _of_half(np.sum(list(models.values()), axis=0))
    luck = luck_of_best(different, float(np.mean(disagreements)), n) if disagreements else 0.0
    images = (tests == 1 if count == 1 else tests >= count).sum()
    return Looks(count, int(images), len(look.images), different, luck)


def _of_half(counts: NDArray[np.int64]) -> int:
    """The largest number that at least half of the counts reach."""
    return int(np.sort(counts)[len(counts) // 2])


def _of_images(images: Prints) -> dict[str, Any]:
    return {"set": _digest(images), "images": _text(images.astype("<i8").tobytes())}


def _of_test(look: Look, test: str) -> dict[str, Any]:
    """The line of a test. It stores which images were right, so that later tests can be compared with it."""
    moment = datetime.now().astimezone().isoformat(timespec="seconds")
    right = _text(zlib.compress(np.packbits(look.right).tobytes(), 9))
    return {"test": test, "time": moment, "model": look.model, "set": _digest(look.images), "right": right}


def _read() -> Iterator[Look]:
    """The tests of the list, without lines that are incomplete or damaged."""
    if FILE.is_symlink() or not FILE.is_file():
        return
    sets: dict[str, Prints] = {}
    for line in FILE.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError, binascii.Error, zlib.error):
            entry = json.loads(line)
            if "images" in entry:
                images = np.frombuffer(base64.b64decode(entry["images"], validate=True), "<i8").astype(np.int64)
                sets[str(entry["set"])] = np.unique(images)
            else:
                images = sets[entry["set"]]
                packed = zlib.decompressobj().decompress(base64.b64decode(entry["right"]), -(-len(images) // 8) + 1)
                right = np.unpackbits(np.frombuffer(packed, np.uint8), count=len(images)).astype(bool)
                yield Look(str(entry["model"]), images, right)


def _digest(images: Prints) -> str:
    return hashlib.sha256(images.astype("<i8").tobytes()).hexdigest()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
