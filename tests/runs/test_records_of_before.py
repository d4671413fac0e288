"""Earlier versions evaluated each fold at its best epoch. Their numbers are always shown with a warning."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.runs.run_folder import RunFolder
from harness.runs.study_folder import StudyFolder
from harness.trackers.mlflow.conversion import note, tags
from harness.trackers.mlflow.study import result_numbers

OLD = Path(__file__).parents[1] / "samples/0.1.0/runs/tiny/20261125-231800-b7e6"


def old_run(runs: Path, best: int) -> RunFolder:
    """A run of version 0.1.0 whose folds were evaluated at epoch `best` of 2."""
    path = runs / "tiny" / OLD.name
    shutil.copytree(OLD, path)
    record = json.loads((path / "run.json").read_text())
    for fold in record["folds"]:
        fold["best_epoch"], fold["epochs"] = best, 2
    (path / "run.json").write_text(json.dumps(record))
    return RunFolder.open(path)


def test_caveat_warns_of_a_chosen_best_epoch(tmp_path: Path, call: Callable[..., Any]) -> None:
    folder = old_run(tmp_path, best=1)
    assert "optimistic: the best epoch of each fold was chosen on the images that evaluate it" in folder.record.caveat
    assert "optimistic" in note(folder.record)
    assert tags(folder.record)["harness.judged"].startswith("optimistic")
    assert "optimistic" in call("list", "--runs", tmp_path).out
    folder.update()  # as `harness sync` does
    assert "optimistic" in RunFolder.open(folder.path).record.caveat


def test_caveat_is_empty_if_the_best_epoch_was_the_last(tmp_path: Path) -> None:
    assert old_run(tmp_path, best=2).record.caveat == ""


@pytest.mark.parametrize("field", ["judged", "metrics"])
def test_old_run_has_no_values_for_new_fields(field: str) -> None:
    assert getattr(RunFolder.open(OLD).record, field) in (None, {})


def test_study_folder_reads_importances_and_uncorrected_p_values(tmp_path: Path) -> None:
    path = tmp_path / "study-tiny"
    path.mkdir()
    record = json.loads((OLD.parent / "study-tiny/study.json").read_text())
    record["found"]["importances"] = {"lr": 0.97, "freeze": 0.03}
    (path / "study.json").write_text(json.dumps(record))
    result = StudyFolder.open(path).record.result
    assert result is not None
    assert [(row.trial, row.p, row.apart) for row in result.top] == [(0, 1.0, False), (1, 1.0, False)]
    assert (result.shares, result.expected, result.unknown) == ([], None, None)
    assert result_numbers(result) == {}
