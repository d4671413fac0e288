"""What `harness data check` found in a data set."""

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
    """How alike two images are."""

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
    """An image that a finding names: its path below the data's folder, its side (train, valid, test) and its class."""

    path: AnyPath
    side: Word
    label: ClassName
    md5: FileDigest | None = None  # None if the file could not be read


@dataclass(frozen=True)
class CopyLink:
    """Two images of a `CopySet`, by their positions in it, that are copies of each other.

    Of near copies, `bits` is the number of the perceptual hash's 63 bits in which they differ, `similarity` the
    correlation of their fine detail, and `transform` what was done to one of them, as "mirrored". Of the same scene,
    `similarity` is the cosine of their features. Each is None or empty if it is not known.
    """

    first: Count
    second: Count
    kind: Annotated[CopyKind, Field(strict=False)]
    bits: Count | None = None
    similarity: Number | None = None
    transform: Text = ""


@dataclass(frozen=True)
class CopySet:
    """Images that are copies of each other, directly or by way of a third."""

    images: list[CheckedImage]  # at most some thousands
    links: list[CopyLink]
    is_contradiction: bool  # whether the images have several labels
    between_sides: bool  # whether some of them are of training, and others of validation or of the test
    between_folds: bool  # whether a fold trains on one of them and is judged by another
    count: Count = 0  # of all its images; 0 if `images` has all

    @property
    def size(self) -> int:
        """Number of its images, also of those that are not listed."""
        return self.count or len(self.images)

    @property
    def is_scene(self) -> bool:
        """Whether its images are no copies, but show the same scene."""
        return all(link.kind == CopyKind.SAME_SCENE for link in self.links)

    @property
    def is_exact(self) -> bool:
        """Whether all links are between files with the same bytes or pixels."""
        return all(link.kind in (CopyKind.SAME_FILE, CopyKind.SAME_PIXELS) for link in self.links)


@dataclass(frozen=True)
class LabelSuspect:
    """An image whose label is probably wrong, by confident learning on out-of-fold probabilities."""

    image: CheckedImage
    likely: ClassName
    given_probability: Share  # of the given label
    likely_probability: Share
    reason: Text


@dataclass(frozen=True)
class OddImage:
    """An image that is blank, dark, blurred, of an unusual size, or cannot be decoded."""

    image: CheckedImage
    kind: Annotated[OddKind, Field(strict=False)]
    reason: Text


@dataclass(frozen=True)
class FactShare:
    """A value of a fact of the file, as format PNG, that one class has far more or far less often than the others.

    `of_class` is (number of images with that value, number of images) of the class, `of_others` that of all other
    classes. `p` is that of Fisher's exact test, corrected for all values and classes that were compared.
    """

    fact: Text
    value: Text
    label: ClassName
    of_class: tuple[Count, Count]
    of_others: tuple[Count, Count]
    p: Share


@dataclass(frozen=True)
class ShortcutRecord:
    """How well the class can be told from facts of the file alone, without any pixel."""

    facts: list[Text]
    accuracy: Share
    interval: Interval
    n: Count
    baseline: Share  # of always naming the most frequent class
    is_found: bool  # whether the accuracy is above the baseline by more than chance
    values: list[FactShare] = field(default_factory=list)


@dataclass(frozen=True)
class SidesRecord:
    """How well a classifier on features tells two sides apart: an AUC of 0.5 means that they look alike."""

    first: Word
    second: Word
    auc: Share
    interval: Interval
    n: tuple[Count, Count]


@dataclass(frozen=True)
class DataCheckRecord:
    """A whole check of a data set.

    Attributes:
        name: Experiment, or the folder as it was named.
        data: The images as the experiment names them: a folder or a table.
        folder: Folder that all paths are below.
        digest: One MD5 of the paths and contents of all images.
        counts: Side -> class -> number of images.
        features: Where the features come from, for people; empty if there are none.
        probabilities: Where the out-of-fold probabilities come from; empty if there are none.
        right: Share of the given labels that they agree with; None if there are none.
        arguments: What was typed after `harness data check`, without options of the output; empty if nothing was.
        pairs: Number of pairs of copies, exact ones included.
        copies: Sets of copies: contradictions first, then those between sides, between folds, and the others.
        more_copies: Number of sets that are not listed.
        copied: Side -> number of its images that are copies of a training image, not by way of a third one.
        is_cut: Whether too many images look alike for all of them to be compared: there may be more copies.
        unchecked: Why sides were not checked that the experiment names; empty if all were.
        scenes: Sets of images that probably show the same scene and are no copies.
        suspects: The least probable label first.
        odd: Unusual images.
        shortcut: None if there are too few images.
        sides: Comparisons of training images with those of the other sides.
        notes: What else was found or left out, for people.
        folds: Number of folds whose two sides were compared; 0 if the images are not divided into folds.
        methods: How copies, labels, odd images and so on were looked for, with the thresholds, for people.
        valid_data: Images of the hold-out, as the experiment names them; None if they are part of `data`, or unused.
        test_data: The same of the test images.
        class_folder: "outer" or "inner" as in the experiment; empty if it says neither.
        columns: Names of a table's columns, each as "path=filename", as in the experiment.
        value_range: Values shown as black and as white, of images with more than 8 bits; None if there are none.
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
        """Number of images that were checked."""
        return sum(count for classes in self.counts.values() for count in classes.values())
