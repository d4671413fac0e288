"""`run.json`, `study.json`, and a line of `metrics.jsonl`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import NotRequired, Required, TypedDict

from harness.runs.form_parts import Data, Few, Fields, Gate, Git
from harness.util.checked import (
    AnyPath,
    ClassName,
    Count,
    Digest,
    Digits,
    Interval,
    Moment,
    Name,
    Number,
    Ordinal,
    Positive,
    RunId,
    Seconds,
    Sha256,
    Share,
    Text,
    Version,
    Word,
    record,
)


@record
class Fold(TypedDict):
    fold: Ordinal
    accuracy: Share
    n: Positive
    loss: Number
    best_epoch: Ordinal
    epochs: Ordinal
    stop_reason: Text | None
    checkpoint: AnyPath
    seconds: Seconds


@record
class Score(TypedDict, total=False):
    precision: Share | None
    recall: Share | None
    f1: Share | None
    support: Count


@record
class TestedFile(TypedDict):
    file: AnyPath
    sha256: Sha256
    fold: NotRequired[Few | None]


@record
class Trial(TypedDict):
    name: Name
    id: RunId
    trial: Few


@record
class Sides(TypedDict):
    train: Count
    valid: Count


@record
class Process(TypedDict, total=False):
    """Which process wrote a record."""

    host: Text
    pid: Annotated[int, Field(ge=1, le=2**31 - 1)]
    since: Text


@record
class Origin(Process, total=False):
    """What made a run, a test or a study."""

    command: list[Text]
    origins: dict[Text, Word | Literal["experiment file", "command line"]]
    git: Git | None
    weights: Text | None
    weights_md5: Digest | None
    parameters: dict[Word, Count]
    device: Text
    precision: dict[Word, Any] | None
    seed: Count
    splits: dict[Digits, Sides]
    threads: Annotated[int, Field(ge=1, le=4096)]
    versions: dict[Version, Version]
    machine: dict[Word, Any]
    notes: list[Text]
    fast_dev_run: bool
    stores: dict[Word, Text]
    store_ids: dict[Word, Text]
    asked: dict[Word, Any]
    error: Text | None


@record
class Run(Origin, total=False):
    """`run.json` of a run, a trial or a test."""

    name: Required[Name]
    status: Required[Word]
    started: Required[Moment]
    experiment: Required[Fields]
    data: Required[Data]
    id: RunId
    kind: Literal["run", "test"]
    title: Text
    trackers: dict[Word, Text]
    accuracy: Share
    interval: Interval
    n: Positive
    loss: Number
    misclassification_rate: Share
    baseline: Share
    mean: Share
    deviation: Number
    folds: list[Fold]
    fit_seconds: Seconds
    run_seconds: Seconds | None
    gate: Gate
    per_class: dict[ClassName, Score]
    checkpoint: TestedFile
    study: Trial
    pruned: Text
    reproduces: RunId


@record
class Best(TypedDict):
    trial: Few
    accuracy: Share
    low: Share
    high: Share
    n: Positive


@record
class Found(TypedDict, total=False):
    best: Best | None


@record
class Study(Origin, total=False):
    """`study.json`."""

    name: Required[Name]
    experiment_name: Required[Name]
    status: Required[Word]
    started: Required[Moment]
    experiment: Fields
    data: Data
    id: RunId
    storage: Text
    space: list[Text]
    trials: Count
    mlflow: Text | None
    found: Found | None


@record
class Epoch(TypedDict):
    """A line of `metrics.jsonl`; its other fields are numbers."""

    fold: Ordinal
    epoch: Ordinal
    time: Seconds
    step: NotRequired[Count]
