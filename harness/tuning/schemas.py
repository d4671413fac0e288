"""What a study's storage holds of a trial beside what Optuna writes: its attributes, and one for each fold."""

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
    right: Text  # base64 of zlib of a bit for each image
    losses: Text | None  # base64 of zlib of a byte for each image
    curve: list[Share]
    seconds: Seconds
    loop_seconds: Seconds
    checkpoint: PathBelow


@record
class Process(TypedDict, total=False):
    """A process, as `util.processes` names one."""

    host: Text
    pid: Annotated[int, Field(ge=1, le=2**31 - 1)]
    since: Text


@record
class TrialAttributes(TypedDict, total=False):
    owner: Process
    beat: Seconds
    instead_of: Count  # the number of the trial that it replaces
    trial: SmallCount
    kind: Text
    changes: dict[Text, Any]
    device: Text
    threads: Annotated[int, Field(ge=1, le=4096)]
    died: Text
    reason: Text
    pruned: Text
    fresh: bool
    stop: bool  # the search space has asked to end the search


@record
class StudyFacts(TypedDict):
    """What its first process said of a study."""

    id: RunId
    experiment: NotRequired[dict[Text, Any]]
    data: NotRequired[Text]
    metric: NotRequired[Text]
    space: NotRequired[dict[Text, Text]]
    code: NotRequired[dict[Text, Text]]  # by field: the identity of a function, see `code_facts`
    groups: NotRequired[Text]  # SHA-256 of the group of each image; absent if all are independent
