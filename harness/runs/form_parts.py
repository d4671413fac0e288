"""What several records have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from harness.util.checked import (
    AnyPath,
    ClassName,
    Commit,
    Count,
    Digest,
    NameOrNone,
    Number,
    Share,
    Text,
    Word,
    record,
)

Classes = dict[ClassName, Count]  # images per class, in the order of the logits
Few = Annotated[int, Field(ge=0, le=10_000)]


@record
class Git(TypedDict, total=False):
    commit: Commit | None
    dirty: bool


@record
class Dvc(TypedDict):
    file: AnyPath
    md5: Digest
    matches: bool


@record
class Data(TypedDict):
    folder: AnyPath
    images: Count
    classes: Classes
    digest: Digest
    dvc: NotRequired[Dvc | None]
    ignored: NotRequired[Count]
    skipped: NotRequired[dict[Text, Text]]  # images that cannot be decoded, and why


@record
class Fields(TypedDict, total=False):
    """An experiment's fields, as far as they are used without being fields of an `Experiment` again."""

    name: NameOrNone
    data: AnyPath
    test_data: AnyPath | None
    image_size: Annotated[int, Field(ge=16, le=4096)]
    model: Text
    weights: AnyPath | None
    freeze: bool | Text
    lr: Number
    batch_size: Count
    weight_decay: Number
    epochs: Count
    folds: Few
    precision: Text
    seed: Count
    min_accuracy: Share
    trackers: list[Word]


@record
class Gate(TypedDict):
    passed: bool
    min_accuracy: Share
