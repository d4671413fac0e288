"""The result of `harness data check`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated

from pydantic import Field

from harness.runs.record_parts import SCHEMA
from harness.util.schema import (
    AnyPath,
    ClassName,
    Count,
    Digest,
    FileDigest,
    Flag,
    Interval,
    Moment,
    Number,
    Seconds,
    Share,
    Text,
    Word,
)


class CopyKind(str, Enum):
    """In which way two images are copies."""

    SAME_FILE = "same file"
    SAME_PIXELS = "same pixels"
    NEAR_COPY = "near copy"
    SAME_SCENE = "same scene"

    __str__ = str.__str__


class OddKind(str, Enum):
    """What is unusual about one image."""

    UNREADABLE = "cannot be decoded"
    BLANK = "blank"
    DARK = "dark"
    BRIGHT = "bright"
    BLURRED = "blurred"
    SMALL = "small"
    LARGE = "large"
    NARROW = "narrow"

    __str__ = str.__str__


@dataclass(frozen=True)
class CheckedImage:
    """An image of a finding: its path below the folder of the data, its split (train, valid, test) and its class."""

    path: AnyPath
    side: Word
    label: ClassName
    md5: FileDigest | None = None  # None if the file could not be read


@dataclass(frozen=True)
class CopyLink:
    """Two images of a `CopySet` that are copies of each other, given by their positions in the set.

    For near copies, `bits` is the number of different bits among the 63 bits of the perceptual hash, `similarity` is
    the correlation of their fine detail, and `transform` is how one was changed, such as "mirrored". For images of the
    same scene, `similarity` is the cosine of their features. Unknown values are None or empty.
    """

    first: Count
    second: Count
    kind: Annotated[CopyKind, Field(strict=False)]
    bits: Count | None = None
    similarity: Number | None = None
    transform: Text = ""


@dataclass(frozen=True)
class CopySet:
    """Images that are copies of each other, directly or through other images of the set."""

    images: list[CheckedImage]  # at most a few thousand
    links: list[CopyLink]
    is_contradiction: bool  # whether the images have different labels
    between_sides: bool  # whether some are training images, and others validation or test images
    between_folds: bool  # whether a fold trains on one of them and is evaluated on another
    count: Count = 0  # number of all its images; 0 if `images` has all

    @property
    def size(self) -> int:
        """Number of images in the set, including those that `images` does not list."""
        return self.count or len(self.images)

    @property
    def is_scene(self) -> bool:
        """Whether its images show the same scene without being copies."""
        return all(link.kind == CopyKind.SAME_SCENE for link in self.links)

    @property
    def is_exact(self) -> bool:
        """Whether all links are between files with the same bytes or pixels."""
        return all(link.kind in (CopyKind.SAME_FILE, CopyKind.SAME_PIXELS) for link in self.links)


@dataclass(frozen=True)
class LabelSuspect:
    """An image whose label is probably wrong, found by confident learning on out-of-fold probabilities."""

    image: CheckedImage
    likely: ClassName  # the more probable class
    given_probability: Share  # of the given label
    likely_probability: Share
    reason: Text


@dataclass(frozen=True)
class OddImage:
    """An image that is blank, dark, blurred or of an unusual size, or that cannot be decoded."""

    image: CheckedImage
    kind: Annotated[OddKind, Field(strict=False)]
    reason: Text


@dataclass(frozen=True)
class FactShare:
    """A property of files, such as format PNG, that is far more or far less frequent in one class than in the others.

    `of_class` is (number of images with this value, number of images) in the class, and `of_others` in all other
    classes. `p` is the p-value of Fisher's exact test, corrected for all compared values and classes.
    """

    fact: Text
    value: Text
    label: ClassName
    of_class: tuple[Count, Count]
    of_others: tuple[Count, Count]
    p: Share


@dataclass(frozen=True)
class ShortcutRecord:
    """How well properties of the files predict the class, without any pixel."""

    facts: list[Text]
    accuracy: Share
    interval: Interval
    n: Count
    baseline: Share  # accuracy of always predicting the most frequent class
    is_found: bool  # whether the accuracy is significantly above the baseline
    values: list[FactShare] = field(default_factory=list)


@dataclass(frozen=True)
class SidesRecord:
    """How well a classifier on features distinguishes two splits. An AUC of 0.5 means that they look the same."""

    first: Word
    second: Word
    auc: Share
    interval: Interval
    n: tuple[Count, Count]


@dataclass(frozen=True)
class DataCheckRecord:
    """The complete result of a data check.

    Attributes:
        name: The experiment, or the folder as typed.
        data: The images as the experiment names them: a folder or a table.
        folder: The folder that all paths are relative to.
        digest: One MD5 of the paths and contents of all images.
        counts: Split -> class -> number of images.
        features: Text about the model that computed the features; empty if there are no features.
        probabilities: Text about the origin of the out-of-fold probabilities; empty if there are none.
        right: Share of the given labels that the probabilities agree with; None if there are none.
        arguments: The typed arguments of `harness data check` that select the data; empty if there were none.
        pairs: Number of pairs of copies, including exact copies.
        copies: Sets of copies: first contradictions, then copies between splits, between folds, and others.
        more_copies: Number of sets that are not listed.
        copied: Split -> number of its images that are direct copies of a training image.
        is_cut: Whether too many images look alike to compare all of them. There may be more copies.
        unchecked: Reasons why splits of the experiment were not checked; empty if all were checked.
        scenes: Sets of images that probably show the same scene without being copies.
        suspects: Images with a probably wrong label, the least probable label first.
        odd: Unusual images.
        shortcut: How well properties of the files predict the class; None if there are too few images.
        sides: Comparisons of the training images with each other split.
        notes: Other findings, and what was left out.
        folds: Number of folds that were searched for copies; 0 if the images are not divided into folds.
        methods: Text about the methods and thresholds of the check.
        valid_data: The hold-out images as the experiment names them; None if they are part of `data`, or unused.
        test_data: The test images as the experiment names them; None if they are part of `data`, or unused.
        class_folder: "outer" or "inner" as in the experiment; empty if it is not set.
        columns: The column names of a table, each as "path=filename", as in the experiment.
        value_range: The values shown as black and as white, for images with more than 8 bits; None for 8 bits.
    """

    name: Text
    data: AnyPath
    folder: AnyPath
    digest: Digest
    counts: dict[Word, dict[ClassName, Count]]
    started: Moment
    seconds: Seconds
    features: Text = ""
    probabilities: Text = ""
    right: Share | None = None
    arguments: Text = ""
    pairs: Count = 0
    copies: list[CopySet] = field(default_factory=list)
    more_copies: Count = 0
    copied: dict[Word, Count] = field(default_factory=dict)
    is_cut: Flag = False
    unchecked: list[Text] = field(default_factory=list)
    scenes: list[CopySet] = field(default_factory=list)
    suspects: list[LabelSuspect] = field(default_factory=list)
    odd: list[OddImage] = field(default_factory=list)
    shortcut: ShortcutRecord | None = None
    sides: list[SidesRecord] = field(default_factory=list)
    notes: list[Text] = field(default_factory=list)
    folds: Count = 0
    methods: list[Text] = field(default_factory=list)
    valid_data: AnyPath | None = None
    test_data: AnyPath | None = None
    class_folder: Text = ""
    columns: list[Text] = field(default_factory=list)
    value_range: tuple[Number, Number] | None = None
    schema: Count = SCHEMA

    @property
    def sets(self) -> list[CopySet]:
        """The sets of copies, then those of scenes."""
        return [*self.copies, *self.scenes]

    @property
    def n(self) -> int:
        """The number of checked images."""
        return sum(count for classes in self.counts.values() for count in classes.values())
