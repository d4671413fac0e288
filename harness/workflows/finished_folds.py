"""Reads the results of the folds that are complete in a run folder."""

from __future__ import annotations

from pathlib import Path

from harness.engine import checkpoint
from harness.errors import ModelError
from harness.runs.run_folder import RunFolder
from harness.training.fit import FoldResult
from harness.training.plan import Plan

ADDED_BY_EPOCH_LOG = {"fold", "time", "step"}  # columns of `metrics.jsonl` that the history does not have


def finished_folds(plan: Plan, folder: RunFolder) -> list[FoldResult]:
    """Reads the results of the finished folds of this plan from the run folder.

    A fold is left out if an epoch, a prediction or its checkpoint is missing.
    """
    rows, predictions = folder.epochs(), folder.predictions()
    results = []
    for entry in folder.record.folds:
        own = predictions.of_fold(entry.fold)
        history = [
            {name: value for name, value in row.items() if name not in ADDED_BY_EPOCH_LOG}
            for row in rows
            if row["fold"] == entry.fold
        ]
        valid = plan.splits[entry.fold].valid if entry.fold in plan.splits else ()
        whole = list(own.paths) == [plan.images.paths[i] for i in valid] and len(history) == entry.epochs
        if not whole or not _is_readable(folder.checkpoint_of(entry)):
            continue
        results.append(
            FoldResult(
                fold=entry.fold,
                history=tuple(history),
                epoch=entry.epoch,
                stop_reason=entry.stop_reason,
                checkpoint=folder.checkpoint_of(entry),
                predictions=own,
                seconds=entry.seconds,
            )
        )
    return results


def _is_readable(path: Path) -> bool:
    try:
        checkpoint.load(path)
    except ModelError:
        return False
    return True
