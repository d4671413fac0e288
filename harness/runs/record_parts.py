"""The parts of the records of runs, tests, studies and champions."""

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
    """The status of a run or a study."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    PRUNED = "pruned"
    DIED = "died"  # never in a file: the file says running, but the process has ended

    __str__ = str.__str__


AnyStatus = Annotated[Status, Field(strict=False)]


@record
class Fields(TypedDict, total=False):
    """The fields of an experiment that are read from a record directly, and not through an `Experiment`."""

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


# It stays a dictionary, so that fields keep their order and fields of other versions are not lost
ExperimentFields = Annotated[dict[str, Any], AfterValidator(lambda value: validate(schema_of(Fields), value))]


@dataclass(frozen=True)
class GitRecord:
    """The commit of the project. `dirty`: whether files differ from it."""

    commit: Commit | None = None
    dirty: Flag = False


@dataclass(frozen=True)
class DvcRecord:
    """The `.dvc` file that tracks the images, and whether the images on the disk match it."""

    file: AnyPath
    md5: Digest
    matches: Flag


@dataclass(frozen=True)
class DataRecord:
    """The images of a run. `classes` has the number of images per class, in the order of the logits."""

    folder: AnyPath
    images: Count
    classes: dict[ClassName, Count]
    digest: Digest
    dvc: DvcRecord | None = None
    ignored: Count = 0
    skipped: dict[Text, Text] = field(default_factory=dict)  # images that cannot be decoded -> reason
    groups: Count | None = None  # number of groups of dependent images; None if all images are independent
    leaked: Count = 0  # evaluated images that are also training images
    near_copies: Count = 0  # evaluated images with a near copy among the training images


def leak_text(leaked: int, n: int | None) -> str:
    """Returns a warning to show after an accuracy, if the model was trained on some of the images; else ""."""
    return f"; LEAK: {leaked} of the {n} images were trained on, so it is too good" if leaked else ""


@dataclass(frozen=True)
class NearCopiesRecord:
    """The evaluated images that have a near copy among the training images.

    Attributes:
        images: The number of these images.
        accuracy: The accuracy on the other images; None without other images, or if some are training images.
        interval: The 95 % interval of this accuracy.
        n: The number of the other images.
        groups: The number of groups of the other images; None if they are independent.
    """

    images: Positive
    accuracy: Share | None = None
    interval: Interval | None = None
    n: Count = 0
    groups: Count | None = None

    def text(self, n: int | None, where: str = "among the training images") -> str:
        """Returns how many of the `n` evaluated images these are, and the accuracy without them, as text."""
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
    """The final model of a run, which was trained on all its images."""

    checkpoint: AnyPath
    images: Positive
    inner: Count
    epoch: Ordinal
    epochs: Ordinal
    stop_reason: Text | None
    seconds: Seconds


OPTIMISTIC = "; optimistic: the best epoch of each fold was chosen on the images that evaluate it"


@dataclass(frozen=True)
class PrecisionRecord:
    """The dtype of the arithmetic, and why it was chosen."""

    name: Text
    reason: Text = ""


@dataclass(frozen=True)
class SplitSizes:
    """The numbers of training and validation images of a fold, and of its inner part."""

    train: Count
    valid: Count
    inner: Count = 0


@dataclass(frozen=True)
class FoldRecord:
    """A finished fold, with the numbers of the epoch whose weights were kept."""

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
    """The saved state of the running fold, from which the run can resume.

    Attributes:
        fold: The fold, from 1; 0 is the refit.
        epoch: The last complete epoch in the saved state; 0 before the first one has ended.
        step: The number of batches that this fold has trained on.
    """

    fold: SmallCount
    epoch: Count
    step: Count = 0


@dataclass(frozen=True)
class ResumeRecord:
    """One resumption of an interrupted run.

    Attributes:
        at: The time at which the run was resumed.
        status: The status of the run before.
        progress: The saved state that it resumed from; None if all folds had ended.
        differs: What had changed: the machine or a version; with `forced` also the experiment or the images.
        forced: Whether it was resumed with another experiment or other images.
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
    """A number that must be at least `least`. `value` is None if no image determines it."""

    name: Text
    value: Share | None
    interval: Interval
    least: Share
    passed: Flag


@dataclass(frozen=True)
class GateRecord:
    """Whether a model passed its gate. `min_accuracy` is the threshold of `metric`; `floors` has all thresholds."""

    passed: Flag
    min_accuracy: Share
    metric: Text = "accuracy"
    confident: Flag = False  # whether the lower end of each interval had to pass
    floors: list[FloorRecord] = field(default_factory=list)


@dataclass(frozen=True)
class ClassRecord:
    """Precision, recall and F1 of one class. A value is None if its denominator is 0."""

    precision: Share | None
    recall: Share | None
    f1: Share | None
    support: Count


@dataclass(frozen=True)
class ConfusionRecord:
    """A confusion matrix of counts, with a row for each true class and a column for each predicted class."""

    classes: list[ClassName]
    counts: list[list[Count]]


@dataclass(frozen=True)
class TestedFile:
    """The checkpoint that was tested."""

    __test__ = False  # pytest must not collect it

    file: AnyPath
    sha256: Sha256
    fold: SmallCount | None = None
