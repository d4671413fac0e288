"""What a checkpoint says of its model, without the weights."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from harness.runs.record_parts import Fields, SmallCount
from harness.util.schema import ClassName, Digest, Text, record

Channels = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=3, max_length=3)]


@record
class Transform(TypedDict):
    image_size: Annotated[int, Field(ge=16, le=4096)]
    mean: Channels
    std: Annotated[list[Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]], Field(min_length=3, max_length=3)]


@record
class Checkpoint(TypedDict):
    """What a checkpoint says of its model; the weights (`model`) are checked elsewhere."""

    architecture: Text
    classes: Annotated[list[ClassName], Field(min_length=1, max_length=100_000)]
    transform: Transform
    experiment: Fields
    fold: NotRequired[SmallCount | None]
    data_digest: NotRequired[Digest | None]
