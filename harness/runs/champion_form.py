"""`champion.json`."""

from __future__ import annotations

from typing_extensions import NotRequired, TypedDict

from harness.runs.form_parts import Data, Few, Gate, Git
from harness.util.checked import (
    AnyPath,
    Digest,
    Digits,
    Interval,
    Moment,
    Name,
    Ordinal,
    Positive,
    RunId,
    Sha256,
    Share,
    Text,
    record,
)


@record
class ChampionFile(TypedDict):
    md5: Digest
    sha256: Sha256
    fold: Few | None


@record
class ChampionTest(TypedDict):
    accuracy: Share
    interval: Interval
    n: Positive
    data: AnyPath
    gate: Gate


@record
class ChampionRun(TypedDict):
    name: Name
    id: RunId
    data: NotRequired[Data | None]
    git: NotRequired[Git | None]


@record
class Comparison(TypedDict):
    says: Text


@record
class Registry(TypedDict, total=False):
    version: Digits


@record
class Champion(TypedDict):
    """`champion.json`."""

    number: Ordinal
    promoted: Moment
    replaced: Ordinal | None
    forced: bool
    comparison: Comparison | None
    registry: Registry
    checkpoint: ChampionFile
    test: ChampionTest
    run: ChampionRun
    rolled_back: NotRequired[Moment]
