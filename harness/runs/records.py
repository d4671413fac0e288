"""The records of runs, tests and studies, which are stored as JSON files.

    run.json         RunRecord, or TestRecord for a test    read and written by `RunFolder`
    study.json       StudyRecord                            read and written by `StudyFolder`
    champion.json    ChampionRecord                         in `champion_record.py`

Files of version 0.1.0 have no field `schema`, and can be read. Files with a newer schema than SCHEMA are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field

from harness.runs.looks import Looks
from harness.runs.record_parts import (
    OPTIMISTIC,
    SCHEMA,
    AnyStatus,
    ClassRecord,
    ConfusionRecord,
    DataRecord,
    ExperimentFields,
    FoldRecord,
    GateRecord,
    GitRecord,
    NearCopiesRecord,
    PrecisionRecord,
    ProgressRecord,
    RefitRecord,
    ResumeRecord,
    SplitSizes,
    TestedFile,
    TrialOf,
    leak_text,
)
from harness.runs.scores_record import AnswersRecord, EnsembleRecord, NoiseRecord, ReliabilityRecord
from harness.runs.study_record import StudyResultRecord
from harness.util.schema import (
    ClassName,
    Count,
    Digest,
    Digits,
    Flag,
    Interval,
    Moment,
    Name,
    Number,
    Ordinal,
    Positive,
    RunId,
    Seconds,
    Share,
    Text,
    Version,
    Word,
)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The origin of a run, a test or a study: code, data, machine, and the process that wrote the record."""

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
    origins: dict[Text, Word | Literal["experiment file", "command line", "found in data", "found in model"]] = field(
        default_factory=dict
    )
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
        """The process that wrote the record, in the form of `util.processes`."""
        return {"host": self.host, "pid": self.pid, "since": self.since}


@dataclass(frozen=True, kw_only=True)
class RunRecord(Origin):
    """`run.json` of a run or a trial."""

    experiment: ExperimentFields
    data: DataRecord
    kind: Literal["run", "test"] = "run"
    title: Text | None = None
    study: TrialOf | None = None  # only for a trial
    pruned: Text | None = None  # only for a trial: why it was pruned
    reproduces: RunId | None = None
    trackers: dict[Word, Text] = field(default_factory=dict)
    judged: Text | None = None  # which epoch of a fold is evaluated; None: the best one on its validation images
    accuracy: Share | None = None
    interval: Interval | None = None
    n: Positive | None = None
    groups: Count | None = None  # number of groups of the n images; None if they are independent
    leaked: Count = 0  # how many of the n images are training images
    near_copies: NearCopiesRecord | None = None  # images with a near copy among the training images; None without any
    loss: Number | None = None
    baseline: Share | None = None
    mean: Share | None = None
    deviation: Number | None = None
    folds: list[FoldRecord] = field(default_factory=list)
    refit: RefitRecord | None = None
    metrics: dict[Text, Number | None] = field(default_factory=dict)  # over all images; None if undefined
    per_class: dict[ClassName, ClassRecord] = field(default_factory=dict)
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None  # stored with its models
    uncalibrated: ReliabilityRecord | None = None  # without the temperature
    calibrated: ReliabilityRecord | None = None
    abstention: list[AnswersRecord] = field(default_factory=list)
    noise: NoiseRecord | None = None
    fit_seconds: Seconds | None = None
    run_seconds: Seconds | None = None
    progress: ProgressRecord | None = None  # of the running fold
    models_removed: Moment | None = None  # when `harness runs` removed only its checkpoints
    resumes: list[ResumeRecord] = field(default_factory=list)

    @property
    def caveat(self) -> str:
        """A warning to show with the accuracy, if evaluated images were used for training or to choose the epoch.

        Versions before schema 3 evaluated a fold at its best epoch. If this was the last epoch, there is no warning.
        """
        chosen = self.judged is None and any(entry.epoch < entry.epochs for entry in self.folds)
        return leak_text(self.leaked, self.n) + (OPTIMISTIC if chosen else "")

    @property
    def near_copies_text(self) -> str:
        """How many evaluated images have a near copy among the training images, and the accuracy without them."""
        if self.near_copies is None:
            return ""
        if self.kind == "run" and self.experiment.get("folds"):
            return self.near_copies.text(self.n, "in the training set of their fold")
        return self.near_copies.text(self.n)

    def __post_init__(self) -> None:
        """Raises ValueError if fields that belong together are not all set."""
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
                raise ValueError(f"folds has fold {entry.fold}, but splits does not")


@dataclass(frozen=True, kw_only=True)
class TestRecord(RunRecord):
    """`run.json` of a test of one checkpoint."""

    __test__ = False  # pytest must not collect it

    checkpoint: TestedFile
    misclassification_rate: Share | None = None
    gate: GateRecord | None = None
    looks: Looks | None = None  # how often its images were used for tests, including this test
    ensemble: EnsembleRecord | None = None
    confusion: ConfusionRecord | None = None


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
    result: Annotated[StudyResultRecord | None, Field(validation_alias=AliasChoices("result", "found"))] = None


@dataclass(frozen=True)
class Epoch:
    """The required fields of a line in `metrics.jsonl`. All other fields are numbers."""

    fold: Ordinal
    epoch: Ordinal
    time: Seconds
    step: Count | None = None
