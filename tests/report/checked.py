"""Records of data checks, and small images on the disk for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.runs.data_check_record import (
    CheckedImage,
    CopyKind,
    CopyLink,
    CopySet,
    DataCheckRecord,
    FactShare,
    LabelSuspect,
    OddImage,
    OddKind,
    ShortcutRecord,
    SidesRecord,
)
from tests.report.laid import HOSTILE, NAMES, TAG, picture

SURROGATE = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")  # a name that is not UTF-8


def checked(**changes: Any) -> DataCheckRecord:
    """A complete check of 200 training and 40 test images in the folder `images`, without findings."""
    record = DataCheckRecord(
        name="ponds",
        data="images/train",
        folder="images",
        digest="0123456789abcdef" * 2,
        counts={"train": {"newt": 100, "toad": 100}, "test": {"newt": 20, "toad": 20}},
        started="2026-11-27T16:59:00+00:00",
        seconds=12.5,
        features="resnet18, ImageNet",
        probabilities="run 1, 5 folds",
        shortcut=ShortcutRecord(["format", "width"], 0.5, [0.43, 0.57], 200, 0.5, False),
        sides=[SidesRecord("train", "test", 0.52, [0.42, 0.62], (200, 40))],
        folds=5,
    )
    return dataclasses.replace(record, **changes)


def image(path: str, label: str = "newt", side: str = "train", laid: bool = True) -> CheckedImage:
    """An image of a finding. If `laid`, its file is written to the folder `images`."""
    if laid:
        file = Path("images", path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(len(path)))
    return CheckedImage(path, side, label)


def copies(images: Sequence[CheckedImage], folds: bool = False, **link: Any) -> CopySet:
    """A set of copies in which all images are linked to the first. `link` has the fields of the links."""
    links = [CopyLink(0, i, **{"kind": CopyKind.SAME_FILE, **link}) for i in range(1, len(images))]
    sides = {each.side for each in images}
    return CopySet([*images], links, len({each.label for each in images}) > 1, len(sides) > 1, folds)


def suspect(found: CheckedImage, likely: str = "toad", given: float = 0.03, reason: str = "") -> LabelSuspect:
    return LabelSuspect(found, likely, given, 1 - given, reason or f"{likely} is more probable than {found.label}")


def odd(found: CheckedImage, kind: OddKind = OddKind.DARK, reason: str = "mean brightness 4 of 255") -> OddImage:
    return OddImage(found, kind, reason)


def everything() -> DataCheckRecord:
    """A check with findings of every kind. Its images are written to the current folder."""
    return checked(
        copies=[
            copies([image("train/newt/1.jpg"), image("train/toad/1.jpg", "toad")]),
            copies(
                [image("train/newt/2.jpg"), image("test/newt/2.jpg", side="test")],
                kind=CopyKind.NEAR_COPY,
                bits=3,
                similarity=0.9812,
                transform="mirrored",
            ),
            copies([image("train/newt/3.jpg"), image("train/newt/4.jpg")], folds=True, kind=CopyKind.SAME_PIXELS),
            copies([image(f"train/newt/5{i}.jpg") for i in range(3)]),
        ],
        pairs=5,
        suspects=[suspect(image("train/newt/6.jpg"))],
        odd=[odd(image("train/toad/7.jpg", "toad")), odd(image("train/toad/8.jpg", "toad"), OddKind.UNREADABLE, "cut")],
        shortcut=ShortcutRecord(
            ["format", "width"],
            0.98,
            [0.95, 0.99],
            200,
            0.5,
            True,
            [FactShare("format", "PNG", "newt", (99, 100), (3, 840), 1e-30)],
        ),
        sides=[SidesRecord("train", "test", 0.93, [0.88, 0.96], (200, 40))],
        notes=["2 files are no images by their name"],
        methods=["Dark: a mean brightness below 10 of 255"],
    )


def hostile_record() -> DataCheckRecord:
    """A check whose files and classes have names that try to inject code."""
    names = [*NAMES, "two\nlines.jpg", "=1+1.jpg"]
    images = [image(f"train/{number}/{name}", HOSTILE[number % 4]) for number, name in enumerate(names)]
    return checked(
        name=TAG,
        counts={"train": dict.fromkeys(HOSTILE, 9)},
        copies=[copies(images), copies([images[0], image(SURROGATE, laid=False)], folds=True, transform=TAG)],
        suspects=[suspect(each, likely=TAG, reason=TAG) for each in images],
        odd=[odd(each, kind, TAG) for each, kind in zip(images, OddKind, strict=False)],
        features=TAG,
        probabilities=TAG,
        notes=[TAG],
        methods=[TAG],
    )
