"""Schemas of what harness adds to a study's storage: a trial's attributes, one of them for each fold."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from harness.runs.record_parts import SmallCount
from harness.util.schema import Count, Number, PathBelow, RunId, Seconds, Share, Text, record


@record
class TrialFold(TypedDict):
    value: Number
    n: Annotated[int, Field(ge=1, le=10**8)]  # images
    right: Text  # one bit per image, compressed by zlib, as base64
    losses: Text | None  # one byte per image, compressed by zlib, as base64
    curve: list[Share]
    seconds: Seconds
    loop_seconds: Seconds
    checkpoint: PathBelow


@record
class Process(TypedDict, total=False):
    """A process, as `util.processes` identifies it."""

    host: Text
    pid: Annotated[int, Field(ge=1, le=2**31 - 1)]
    since: Text


@record
class TrialAttributes(TypedDict, total=False):
    owner: Process
    beat: Seconds
    instead_of: Count  # number of the trial that it replaces
    trial: SmallCount
    kind: Text
    changes: dict[Text, Any]
    device: Text
    threads: Annotated[int, Field(ge=1, le=4096)]
    died: Text
    reason: Text
    pruned: Text
    fresh: bool
    stop: bool  # whether the search space has asked to end the search


@record
class StudyFacts(TypedDict):
    """The settings of a study, stored by its first process."""

    id: RunId
    experiment: NotRequired[dict[Text, Any]]
    data: NotRequired[Text]
    metric: NotRequired[Text]
    space: NotRequired[dict[Text, Text]]
    code: NotRequired[dict[Text, Text]]  # field -> identity of its functions, see `code_facts`
    groups: NotRequired[Text]  # SHA-256 of the images' groups; absent if all images are independent
