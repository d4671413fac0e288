"""The description of an exported model, in the file's metadata and in the `.json` beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from harness.data.prepare import preparation_from
from harness.data.transforms import Transform
from harness.models.schemas import Transform as TransformFields
from harness.runs.record_file import to_plain
from harness.runs.record_parts import GitRecord
from harness.util.schema import (
    ClassName,
    Count,
    Digest,
    Flag,
    Interval,
    Number,
    Ordinal,
    Positive,
    RunId,
    SchemaError,
    Sha256,
    Share,
    Text,
    Version,
    parse,
    schema_of,
)

FORMAT: Literal["harness-export-1"] = "harness-export-1"
METADATA = "harness"  # the key of the whole record in a file's metadata
LARGEST_JSON = 64 * 2**20  # bytes
MOST_CLASSES = 100_000
HOTTEST = 1e6
Kind = Literal["onnx", "pt2", "state_dict", "safetensors"]
SUFFIXES: dict[str, str] = {"onnx": ".onnx", "pt2": ".pt2", "state_dict": ".pth", "safetensors": ".safetensors"}


@dataclass(frozen=True)
class ArrayRecord:
    """An input or an output: its name, dtype and shape, and the meaning of its values."""

    name: Text
    dtype: Literal["uint8", "float32"]
    shape: list[Positive | Text]  # a text is a variable size
    meaning: Text


@dataclass(frozen=True, kw_only=True)
class OriginRecord:
    """Where the model comes from. `accuracy`, its 95 % interval and n are those of the run's cross-validation."""

    run: RunId | None = None
    name: Text | None = None
    champion: Ordinal | None = None
    checkpoint: Sha256 | None = None
    git: GitRecord | None = None
    data: Digest | None = None
    accuracy: Share | None = None
    interval: Interval | None = None
    n: Positive | None = None
    caveat: Text = ""
    versions: dict[Version, Version] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class QuantisedRecord:
    """How weights and activations were quantised to 8-bit integers, and the effect on test images."""

    calibration: Count  # training images
    before: Share
    after: Share
    n: Positive
    interval: tuple[Number, Number]  # of the difference
    p: Share


@dataclass(frozen=True, kw_only=True)
class ExportRecord:
    """The description of an exported file.

    Attributes:
        kind: The format.
        architecture: The model's name.
        classes: In the order of the logits.
        inputs: The inputs.
        outputs: The outputs; empty if the file has only weights.
        transform: Image size, resize rule, interpolation, background, channels, range of values, mean and deviation.
        normalisation_inside: Whether the file itself subtracts the mean and divides by the deviation.
        resize_inside: Whether the file itself resizes images of any size.
        temperature: The divisor of the logits before the softmax.
        int8: The quantisation; None without one.
        origin: Where the model comes from.
        sha256: Of the file; only in the `.json` beside it.
    """

    format: Literal["harness-export-1"]
    kind: Kind
    architecture: Text
    classes: list[ClassName]
    inputs: list[ArrayRecord]
    outputs: list[ArrayRecord]
    transform: TransformFields
    normalisation_inside: Flag
    resize_inside: Flag
    temperature: Number
    int8: QuantisedRecord | None = None
    origin: OriginRecord = field(default_factory=OriginRecord)
    sha256: Sha256 | None = None

    def __post_init__(self) -> None:
        """Raises ValueError if the classes or the temperature are not possible."""
        if not self.classes or len({*self.classes}) < len(self.classes) or len(self.classes) > MOST_CLASSES:
            raise ValueError("classes must be different names")
        if not 0 < self.temperature <= HOTTEST:
            raise ValueError(f"temperature must be above 0 and at most {HOTTEST:g}")

    @property
    def prepared(self) -> Transform:
        """The transform of the images. Raises SchemaError if it is not possible."""
        plain = self.transform
        mean, std = tuple(plain["mean"]), tuple(plain["std"])
        preparation = preparation_from(plain)
        if len(mean) != len(std) or len(mean) not in (1, preparation.channels):
            raise SchemaError("transform has another number of channels than its mean or deviation")
        return Transform(preparation, mean, std)

    def to_plain(self) -> dict[str, Any]:
        """Returns the record as plain values for JSON."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    def in_metadata(self) -> dict[str, str]:
        """Returns texts by key, for formats with such metadata: the whole record, and the most needed fields.

        Each value is JSON.
        """
        plain = replace(self, sha256=None).to_plain()
        often = {name: plain[name] for name in ("classes", "temperature", "transform", "origin")}
        return {name: json.dumps(value) for name, value in (*often.items(), (METADATA, plain))}


def json_beside(path: Path) -> Path:
    """Returns `model.onnx.json` for `model.onnx`."""
    return path.with_name(f"{path.name}.json")


def record_from(text: str) -> ExportRecord:
    """Returns the record in a JSON text. Raises SchemaError if there is none."""
    if len(text) > LARGEST_JSON:
        raise SchemaError(f"it is larger than {LARGEST_JSON // 2**20} MB")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"it is not JSON: {error}") from None
    record: ExportRecord = parse(schema_of(ExportRecord), value)
    _ = record.prepared
    return record
