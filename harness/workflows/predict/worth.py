"""What a model is worth: the accuracy that its run or its champion's record has, with its interval."""

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
    """The accuracy of the cross-validation that a checkpoint came from, for people; empty if it is not known."""
    present = champion_at(path)
    return worth_text(present.run if present is not None else run_at(path))


def worth_text(record: ChampionRun | RunRecord | OriginRecord | None) -> str:
    """The same, of a record that has an accuracy."""
    if record is None or record.accuracy is None or record.interval is None:
        return ""
    low, high = (100 * bound for bound in record.interval)
    caveat = getattr(record, "caveat", "").removeprefix("; ")
    dev = "a fast dev run, so it means nothing" if getattr(record, "fast_dev_run", False) else ""
    interval = f"95 % interval {low:.1f} to {high:.1f} %, n = {record.n}"
    text = f"{100 * record.accuracy:.1f} % out of fold ({interval})"
    return "; ".join(part for part in (text, caveat, dev) if part)


def champion_at(path: Path) -> ChampionRecord | None:
    """The record of the champion, if that is the checkpoint at `path`."""
    if (champion.FOLDER / champion.CHECKPOINT).absolute() != path.absolute():
        return None  # before the champion's whole file is read, to see that it is the one
    with contextlib.suppress(HarnessError):
        present = champion.present()
        return None if present is None else present.record
    return None


def run_at(path: Path) -> RunRecord | None:
    """The record of the run in whose folder a checkpoint lies."""
    if path.parent.name == "checkpoints":
        with contextlib.suppress(HarnessError):
            return RunFolder.open(path.parents[1]).record
    return None
