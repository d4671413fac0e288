"""Describes the accuracy of a model, with its interval, from the record of its run or champion."""

from __future__ import annotations

import contextlib
from pathlib import Path

from harness.errors import HarnessError
from harness.models.export_record import OriginRecord
from harness.runs import champion
from harness.runs.champion_record import ChampionRecord, ChampionRun
from harness.runs.records import RunRecord
from harness.runs.run_folder import RunFolder


def worth_of(path: Path) -> str:
    """The cross-validated accuracy of the run of a checkpoint, as a text; empty if it is unknown."""
    present = champion_at(path)
    return worth_text(present.run if present is not None else run_at(path))


def worth_text(record: ChampionRun | RunRecord | OriginRecord | None) -> str:
    """The accuracy in a record, as a text; empty if it has none."""
    if record is None or record.accuracy is None or record.interval is None:
        return ""
    low, high = (100 * bound for bound in record.interval)
    caveat = getattr(record, "caveat", "").removeprefix("; ")
    dev = "from a fast dev run, so it is meaningless" if getattr(record, "fast_dev_run", False) else ""
    interval = f"95 % interval {low:.1f} to {high:.1f} %, n = {record.n}"
    text = f"{100 * record.accuracy:.1f} % out of fold ({interval})"
    return "; ".join(part for part in (text, caveat, dev) if part)


def champion_at(path: Path) -> ChampionRecord | None:
    """The record of the champion, if `path` is its checkpoint."""
    if (champion.FOLDER / champion.CHECKPOINT).absolute() != path.absolute():
        return None  # avoids reading the whole file of the champion
    with contextlib.suppress(HarnessError):
        present = champion.present()
        return None if present is None else present.record
    return None


def run_at(path: Path) -> RunRecord | None:
    """The record of the run whose folder contains a checkpoint; None if there is none."""
    if path.parent.name == "checkpoints":
        with contextlib.suppress(HarnessError):
            return RunFolder.open(path.parents[1]).record
    return None
