"""The description of a model in its checkpoint, without the weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from harness.config.experiment import COLOUR
from harness.runs.record_parts import Fields, SmallCount
from harness.util.schema import ClassName, Digest, Text, record

Number = Annotated[float, Field(allow_inf_nan=False)]
Channels = Annotated[list[Number], Field(min_length=1, max_length=3)]
Side = Annotated[int, Field(ge=16, le=4096)]


@record
class Transform(TypedDict):
    """From an image to the model's input; version 0.1.0 has only the first three fields."""

    image_size: Side | Annotated[list[Side], Field(min_length=2, max_length=2)]
    mean: Channels
    std: Annotated[list[Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]], Field(min_length=1, max_length=3)]
    resize: NotRequired[Literal["squash", "crop", "pad"]]
    center_crop: NotRequired[Annotated[float, Field(ge=0.1, le=1, allow_inf_nan=False)]]
    interpolation: NotRequired[Literal["nearest", "bilinear", "bicubic", "lanczos"]]
    antialias: NotRequired[bool]
    channels: NotRequired[Literal[1, 3]]
    background: NotRequired[Annotated[str, Field(pattern=f"^({COLOUR.pattern})$")]]
    value_range: NotRequired[Annotated[list[Number], Field(min_length=2, max_length=2)] | None]


@record
class Checkpoint(TypedDict):
    """The description of a model in a checkpoint. Other code checks the weights (`model`)."""

    architecture: Text
    classes: Annotated[list[ClassName], Field(min_length=1, max_length=100_000)]
    transform: Transform
    experiment: Fields
    fold: NotRequired[SmallCount | None]
    is_refit: NotRequired[bool]
    temperature: NotRequired[Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]]
    data_digest: NotRequired[Digest | None]
