"""`champion.json`: the champion, its test, and its origin."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.runs.record_parts import (
    SCHEMA,
    ClassRecord,
    ConfusionRecord,
    DataRecord,
    ExperimentFields,
    GateRecord,
    GitRecord,
    SmallCount,
    leak_text,
)
from harness.util.schema import (
    AnyPath,
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
    Sha256,
    Share,
    Text,
    Version,
)


@dataclass(frozen=True)
class ChampionFile:
    """The champion's checkpoint."""

    md5: Digest
    sha256: Sha256
    fold: SmallCount | None


@dataclass(frozen=True, kw_only=True)
class ChampionTest:
    """The test that a champion passed before it was promoted."""

    accuracy: Share
    interval: Interval
    n: Positive
    gate: GateRecord
    data: AnyPath
    run: Text | None = None
    groups: Count | None = None
    leaked: Count = 0
    loss: Number | None = None
    metrics: dict[Text, Number | None] = field(default_factory=dict)
    temperature: Number | None = None
    misclassification_rate: Share | None = None
    per_class: dict[ClassName, ClassRecord] = field(default_factory=dict)
    confusion: ConfusionRecord | None = None

    @property
    def caveat(self) -> str:
        """A warning to show with the accuracy, if the model was trained on some of the test images."""
        return leak_text(self.leaked, self.n)


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
    """A comparison of a new champion with an earlier one on the same images.

    Differences are the new one minus the earlier one. `needed` is about how many images in total would show a
    difference of this size.
    """

    says: Text
    champion: Ordinal | None = None
    better: Count | None = None
    worse: Count | None = None
    p: Share | None = None
    difference: Number | None = None
    interval: tuple[Number, Number] | None = None
    n: Positive | None = None
    needed: Positive | None = None


@dataclass(frozen=True)
class PromotedAt:
    """The project at the moment of a promotion."""

    git: GitRecord | None = None
    versions: dict[Version, Version] = field(default_factory=dict)


@dataclass(frozen=True)
class RegistryRecord:
    """The version of a champion in MLflow's registry."""

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
    best_before: ComparisonRecord | None = (
        None  # with the best champion of the history, if this is not the previous one
    )
    registry: RegistryRecord = RegistryRecord()
    promoted_at: PromotedAt | None = None
    rolled_back: Moment | None = None
    schema: Count = SCHEMA
