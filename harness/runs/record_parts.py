"""What the records of runs, tests, studies and champions are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, Field
from typing_extensions import TypedDict

from harness.util.schema import (
    AnyPath,
    ClassName,
    Commit,
    Count,
    Digest,
    Flag,
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
    Word,
    record,
    schema_of,
    validate,
)

SCHEMA = 3
Side = Annotated[int, Field(strict=True, ge=16, le=4096)]  # of an image, in pixels
SmallCount = Annotated[int, Field(strict=True, ge=0, le=10_000)]


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
    valid_data: AnyPath | None
    test_data: AnyPath | None
    class_folder: Literal["outer", "inner"] | None
    columns: list[Text]
    groups: Text | None
    value_range: Annotated[list[Number], Field(min_length=2, max_length=2)] | None
    image_size: Side | Annotated[list[Side], Field(min_length=2, max_length=2)]
    model: Text
    weights: AnyPath | None
    freeze: bool | Text
    lr: Number
    batch_size: Count
    weight_decay: Number
    epochs: Count
    folds: SmallCount
    precision: Text
    seed: Count
    min_accuracy: Share
    trackers: list[Word]


# the dictionary itself: its fields keep their order, and those of other versions stay
ExperimentFields = Annotated[dict[str, Any], AfterValidator(lambda value: validate(schema_of(Fields), value))]


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
    groups: Count | None = None  # of images that are not independent of each other; None if all are
    leaked: Count = 0  # images that are judged and were trained on
    near_copies: Count = 0  # images that judge, and have a near copy that was trained on


def leak_text(leaked: int, n: int | None) -> str:
    """For people, after an accuracy: how many of the images were trained on; empty if none."""
    return f"; LEAK: {leaked} of the {n} images were trained on, so it is too good" if leaked else ""


@dataclass(frozen=True)
class NearCopiesRecord:
    """The images that judge a model and have a near copy among those that it was trained on.

    Attributes:
        images: Their number.
        accuracy: Of the other images; None if there are none, or if some of them were trained on themselves.
        interval: Its 95 % interval.
        n: Number of the other images.
        groups: Number of groups of these; None if they are independent.
    """

    images: Positive
    accuracy: Share | None = None
    interval: Interval | None = None
    n: Count = 0
    groups: Count | None = None

    def text(self, n: int | None, where: str = "among the training images") -> str:
        """For people: how many of the `n` images that judge, and the accuracy without them."""
        text = f"{self.images} of {n} images {'has' if self.images == 1 else 'have'} a near copy {where}"
        if not self.n:
            return f"{text}, so nothing is known of new images"
        if self.accuracy is None or self.interval is None:
            return text
        low, high = (100 * bound for bound in self.interval)
        groups = "" if self.groups is None else f" in {self.groups} groups"
        rest = f"{100 * self.accuracy:.1f} % (95 % interval {low:.1f} to {high:.1f} %, n = {self.n}{groups})"
        return f"{text}; without {'it' if self.images == 1 else 'them'} {rest}"


@dataclass(frozen=True)
class RefitRecord:
    """The model that was trained on all images of a run: the model to use."""

    checkpoint: AnyPath
    images: Positive
    inner: Count
    epoch: Ordinal
    epochs: Ordinal
    stop_reason: Text | None
    seconds: Seconds


OPTIMISTIC = "; optimistic: each fold's best epoch was chosen on the images that judge it"


@dataclass(frozen=True)
class PrecisionRecord:
    """Dtype of the arithmetic, and why it was chosen."""

    name: Text
    reason: Text = ""


@dataclass(frozen=True)
class SplitSizes:
    """Number of training and validation images of a fold, and of those that only steer its training."""

    train: Count
    valid: Count
    inner: Count = 0


@dataclass(frozen=True)
class FoldRecord:
    """A fold that has ended: the numbers of the epoch whose weights were kept."""

    fold: Ordinal
    accuracy: Share
    n: Positive
    loss: Number
    epoch: Annotated[Ordinal, Field(validation_alias=AliasChoices("epoch", "best_epoch"))]
    epochs: Ordinal
    stop_reason: Text | None
    checkpoint: AnyPath
    seconds: Seconds


@dataclass(frozen=True)
class ProgressRecord:
    """How far the fold in work is saved, so that the run can go on from there.

    Attributes:
        fold: 1-based; 0 is the refit.
        epoch: The last whole epoch that is saved; 0 before the first one has ended.
        step: Batches trained on in this fold.
    """

    fold: SmallCount
    epoch: Count
    step: Count = 0


@dataclass(frozen=True)
class ResumeRecord:
    """The moment at which a run went on that had been cut off.

    Attributes:
        at: When.
        status: How it had ended.
        progress: From where it went on; None after all folds.
        differs: What was not as before: the machine, a version, with `forced` also the experiment or the images.
        forced: Whether it went on although the experiment or the images were others.
    """

    at: Moment
    status: AnyStatus
    progress: ProgressRecord | None = None
    differs: list[Text] = field(default_factory=list)
    forced: Flag = False


@dataclass(frozen=True)
class TrialOf:
    """The study that a trial's run belongs to, and the number of the trial."""

    name: Name
    id: RunId
    trial: SmallCount


@dataclass(frozen=True)
class FloorRecord:
    """One number that must not be below a floor; `value` is None if no image tells."""

    name: Text
    value: Share | None
    interval: Interval
    least: Share
    passed: Flag


@dataclass(frozen=True)
class GateRecord:
    """Whether a model passed its gate: `min_accuracy` is the floor of its metric, `floors` are all."""

    passed: Flag
    min_accuracy: Share
    metric: Text = "accuracy"
    confident: Flag = False  # the lower end of each interval had to pass
    floors: list[FloorRecord] = field(default_factory=list)


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
    fold: SmallCount | None = None
