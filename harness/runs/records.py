"""The records of runs, tests, studies and champions: what their JSON files hold, and which schema they have.

    run.json         RunRecord, or TestRecord of a test     read and written by `RunFolder`
    study.json       StudyRecord                            read and written by `StudyFolder`
    champion.json    ChampionRecord                         read and written by `champion`

Files of version 0.1.0 have no schema and are read as they are. A file of a newer schema than SCHEMA is refused.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from harness.util.checked import (
    AnyPath,
    ClassName,
    Commit,
    Count,
    Digest,
    Digits,
    Flag,
    FormError,
    Interval,
    Moment,
    Name,
    NameOrNone,
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
    checked,
    form,
    parsed,
    read_text,
    record,
)

SCHEMA = 2
R = TypeVar("R")
Few = Annotated[int, Field(strict=True, ge=0, le=10_000)]


class Status(str, Enum):
    """How far a run or a study is."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    PRUNED = "pruned"
    DIED = "died"  # never written: the file says running, and its process is gone

    __str__ = str.__str__


AnyStatus = Annotated[Status, Field(strict=False)]


@record
class Fields(TypedDict, total=False):
    """An experiment's fields, as far as they are used without being fields of an `Experiment` again."""

    name: NameOrNone
    data: AnyPath
    test_data: AnyPath | None
    image_size: Annotated[int, Field(strict=True, ge=16, le=4096)]
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


# the dictionary itself: its fields keep their order, and those of other versions stay
ExperimentFields = Annotated[dict[str, Any], AfterValidator(lambda value: checked(form(Fields), value))]


@dataclass(frozen=True)
class GitRecord:
    """The commit of the project, and whether files differ from it."""

    commit: Commit | None = None
    dirty: Flag = False


@dataclass(frozen=True)
class DvcRecord:
    """The `.dvc` file that tracks the images, and whether all of them are on the disk as it says."""

    file: AnyPath
    md5: Digest
    matches: Flag


@dataclass(frozen=True)
class DataRecord:
    """The images of a run: `classes` has their number per class, in the order of the logits."""

    folder: AnyPath
    images: Count
    classes: dict[ClassName, Count]
    digest: Digest
    dvc: DvcRecord | None = None
    ignored: Count = 0
    skipped: dict[Text, Text] = field(default_factory=dict)  # images that cannot be decoded, and why


@dataclass(frozen=True)
class PrecisionRecord:
    """Number format of the arithmetic, and why it was chosen."""

    name: Text
    reason: Text = ""


@dataclass(frozen=True)
class SplitSizes:
    """Number of training and validation images of a fold."""

    train: Count
    valid: Count


@dataclass(frozen=True)
class FoldRecord:
    """A fold that has ended: the numbers of its best epoch."""

    fold: Ordinal
    accuracy: Share
    n: Positive
    loss: Number
    best_epoch: Ordinal
    epochs: Ordinal
    stop_reason: Text | None
    checkpoint: AnyPath
    seconds: Seconds


@dataclass(frozen=True)
class TrialOf:
    """Which trial of which study a run is."""

    name: Name
    id: RunId
    trial: Few


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a run, a test or a study came from: code, data, machine; and which process wrote the record."""

    name: Name
    status: AnyStatus
    started: Moment
    schema: Count = SCHEMA
    id: RunId | None = None
    host: Text | None = None
    pid: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)] | None = None
    since: Text | None = None
    command: list[Text] = field(default_factory=list)
    fast_dev_run: Flag = False
    origins: dict[Text, Word | Literal["experiment file", "command line"]] = field(default_factory=dict)
    git: GitRecord | None = None
    weights: Text | None = None
    weights_md5: Digest | None = None
    parameters: dict[Word, Count] = field(default_factory=dict)
    frozen_part: Text | None = None
    device: Text | None = None
    precision: PrecisionRecord | None = None
    seed: Count | None = None
    splits: dict[Digits, SplitSizes] = field(default_factory=dict)
    threads: Annotated[int, Field(strict=True, ge=1, le=4096)] | None = None
    versions: dict[Version, Version] = field(default_factory=dict)
    machine: dict[Word, Any] = field(default_factory=dict)
    notes: list[Text] = field(default_factory=list)
    stores: dict[Word, Text] = field(default_factory=dict)
    store_ids: dict[Word, Text] = field(default_factory=dict)
    asked: dict[Word, Any] = field(default_factory=dict)
    error: Text | None = None

    @property
    def process(self) -> dict[str, Any]:
        """The process that wrote the record, as `util.processes` names one."""
        return {"host": self.host, "pid": self.pid, "since": self.since}


@dataclass(frozen=True, kw_only=True)
class RunRecord(Origin):
    """`run.json` of a run or a trial."""

    experiment: ExperimentFields
    data: DataRecord
    kind: Literal["run", "test"] = "run"
    title: Text | None = None
    study: TrialOf | None = None  # of a trial
    pruned: Text | None = None  # of a trial: why
    reproduces: RunId | None = None
    trackers: dict[Word, Text] = field(default_factory=dict)
    accuracy: Share | None = None
    interval: Interval | None = None
    n: Positive | None = None
    loss: Number | None = None
    baseline: Share | None = None
    mean: Share | None = None
    deviation: Number | None = None
    folds: list[FoldRecord] = field(default_factory=list)
    fit_seconds: Seconds | None = None
    run_seconds: Seconds | None = None

    def __post_init__(self) -> None:
        """Raises ValueError if a part of it lacks another one that belongs to it."""
        if self.folds:
            for name in ("accuracy", "interval", "fit_seconds"):
                if getattr(self, name) is None:
                    raise ValueError(f"{name} is missing")
        if len({entry.fold for entry in self.folds}) < len(self.folds):
            raise ValueError("folds has one of them twice")
        if self.accuracy is not None and None in (self.n, self.interval):
            raise ValueError("n or interval is missing")
        for entry in self.folds:
            if str(entry.fold) not in self.splits:
                raise ValueError(f"folds has fold {entry.fold}, and splits has none")


@dataclass(frozen=True)
class GateRecord:
    """Whether a model passed the accuracy gate."""

    passed: Flag
    min_accuracy: Share


@dataclass(frozen=True)
class ClassRecord:
    """Precision, recall and F1 of one class; None where they would be a share of nothing."""

    precision: Share | None
    recall: Share | None
    f1: Share | None
    support: Count


@dataclass(frozen=True)
class ConfusionRecord:
    """Counts of images: a row for each true class, a column for each predicted one."""

    classes: list[ClassName]
    counts: list[list[Count]]


@dataclass(frozen=True)
class TestedFile:
    """The checkpoint that was tested."""

    __test__ = False  # no class of tests

    file: AnyPath
    sha256: Sha256
    fold: Few | None = None


@dataclass(frozen=True, kw_only=True)
class TestRecord(RunRecord):
    """`run.json` of a test of one checkpoint."""

    __test__ = False  # no class of tests

    checkpoint: TestedFile
    misclassification_rate: Share | None = None
    gate: GateRecord | None = None
    per_class: dict[ClassName, ClassRecord] = field(default_factory=dict)
    confusion: ConfusionRecord | None = None


@dataclass(frozen=True, kw_only=True)
class StudyTrial:
    """A trial of a study, with its interval as far as it has folds."""

    trial: Few
    state: Word | None
    number: Count | None  # Optuna's own
    value: Number | None
    accuracy: Share | None
    low: Share | None
    high: Share | None
    n: Positive | None
    folds: Few = 0
    seconds: Seconds = 0.0
    loop_seconds: Seconds = 0.0
    kind: Text = ""
    host: Text | None
    pid: Count | None
    why: Text | None
    changes: dict[Text, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ComparedTrial:
    """A trial beside the best one: the p-value of their difference, and whether it is significant."""

    trial: Few
    p: Share
    apart: Flag


@dataclass(frozen=True, kw_only=True)
class StudyResultRecord:
    """What a study has found so far."""

    best: StudyTrial | None = None
    trials: list[StudyTrial] = field(default_factory=list)
    counts: dict[Word, Count] = field(default_factory=dict)
    folds_trained: Count = 0
    top: list[ComparedTrial] = field(default_factory=list)
    cheapest: Few | None = None
    front: list[Few] = field(default_factory=list)
    importances: dict[Text, Number] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StudyRecord(Origin):
    """`study.json`."""

    experiment_name: Name
    experiment: ExperimentFields = field(default_factory=dict)
    data: DataRecord | None = None
    storage: Text | None = None
    space: list[Text] = field(default_factory=list)
    trials: Count = 0
    mlflow: Text | None = None
    found: StudyResultRecord | None = None


@dataclass(frozen=True)
class Epoch:
    """What a line of `metrics.jsonl` must have; its other fields are numbers."""

    fold: Ordinal
    epoch: Ordinal
    time: Seconds
    step: Count | None = None


@dataclass(frozen=True)
class ChampionFile:
    """The champion's checkpoint."""

    md5: Digest
    sha256: Sha256
    fold: Few | None


@dataclass(frozen=True, kw_only=True)
class ChampionTest:
    """The test that a champion passed before it was promoted."""

    accuracy: Share
    interval: Interval
    n: Positive
    gate: GateRecord
    data: AnyPath
    run: Text | None = None
    loss: Number | None = None
    misclassification_rate: Share | None = None
    per_class: dict[ClassName, ClassRecord] = field(default_factory=dict)
    confusion: ConfusionRecord | None = None


@dataclass(frozen=True, kw_only=True)
class ChampionRun:
    """The run that a champion came from."""

    name: Name
    id: RunId
    command: list[Text] = field(default_factory=list)
    experiment: ExperimentFields = field(default_factory=dict)
    accuracy: Share | None = None
    interval: Interval | None = None
    n: Positive | None = None
    git: GitRecord | None = None
    data: DataRecord | None = None
    versions: dict[Version, Version] = field(default_factory=dict)
    device: Text | None = None
    seed: Count | None = None


@dataclass(frozen=True, kw_only=True)
class ComparisonRecord:
    """How a champion compares with the one before, on the same images."""

    says: Text
    champion: Ordinal | None = None
    better: Count | None = None
    worse: Count | None = None
    p: Share | None = None


@dataclass(frozen=True)
class PromotedAt:
    """The project at the moment of a promotion."""

    git: GitRecord | None = None
    versions: dict[Version, Version] = field(default_factory=dict)


@dataclass(frozen=True)
class RegistryRecord:
    """The version of MLflow's registry that a champion is."""

    version: Digits | None = None


@dataclass(frozen=True, kw_only=True)
class ChampionRecord:
    """`champion.json`."""

    number: Ordinal
    promoted: Moment
    replaced: Ordinal | None
    forced: Flag
    checkpoint: ChampionFile
    test: ChampionTest
    run: ChampionRun
    comparison: ComparisonRecord | None = None
    registry: RegistryRecord = RegistryRecord()
    promoted_at: PromotedAt | None = None
    rolled_back: Moment | None = None
    schema: Count = SCHEMA


def read_record(kind: type[R], path: Path) -> R:
    """The record in the file at `path`.

    Raises:
        FormError: It is no JSON, has a newer schema, lacks a field, or a field holds something else.
        OSError: The file cannot be read.
    """
    try:
        content = json.loads(read_text(path))
    except RecursionError:
        raise FormError("it is nested too deep") from None
    except ValueError as error:
        raise FormError(str(error)) from error
    if not isinstance(content, dict):
        raise FormError(f"it is a {type(content).__name__}: it must be an object with fields")
    schema = content.get("schema", 1)
    if type(schema) is int and schema > SCHEMA:
        raise FormError(f"schema is {schema}, of a newer harness: this one reads up to {SCHEMA} (pip install -U)")
    wanted: Any = TestRecord if kind is RunRecord and content.get("kind") == "test" else kind
    found: R = parsed(form(wanted), {"schema": 1, **content})
    return found


def to_plain(value: Any) -> Any:
    """A record as plain values, for JSON. A field that is None by default is left out if it is None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((item, getattr(value, item.name)) for item in dataclasses.fields(value))
        return {item.name: to_plain(each) for item, each in fields if each is not None or item.default is not None}
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def to_json(value: Any) -> bytes:
    """A record as the content of a file."""
    plain = to_plain(value) | ({"schema": SCHEMA} if hasattr(value, "schema") else {})
    return f"{json.dumps(plain, indent=2, default=str)}\n".encode()
