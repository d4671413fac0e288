"""The result of a study with given scores: its report, its JSON and its record."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config.experiment_file import ExperimentFile, find
from harness.runs.study_record import StudyResultRecord
from harness.tuning.pictures import draw_study
from harness.tuning.prepare import SearchOptions, prepare_search
from harness.tuning.report import report
from harness.tuning.result import StudyResult, summarise_study, write_trials
from harness.tuning.search_plan import SearchPlan
from harness.tuning.study import Study
from harness.tuning.trial_record import FoldScores
from harness.util.schema import parse, schema_of


def searched(rows: Sequence[Sequence[int]], folds: int = 3, **options: Any) -> tuple[SearchPlan, Study]:
    """A search of `tiny`, and its study. `rows` has the number of right images in each fold of each trial.

    A trial with fewer folds is pruned. Later trials take longer.
    """
    file = ExperimentFile.run(find("tiny"))
    experiment = file.experiment.named("tiny").override({"folds": str(folds)})
    search, study = prepare_search(file, experiment, SearchOptions(trials=len(rows), **options))
    for index, row in enumerate(rows):
        claim = study.claim(len(rows), search.space.fitting(search.distributions))
        assert claim is not None
        if index:
            study.note(claim.record, "changes", search.space.changes(claim.trial))
        else:
            search.space.written(claim.trial, search.distributions)
        for fold, count in enumerate(row, start=1):
            n = len(search.plan.splits[fold].valid)
            right = np.arange(n) < count
            seconds = 10.0 - index
            scores = FoldScores(fold, float(right.mean()), right, None, (0.5,), seconds, seconds, f"fold{fold}.pt")
            study.note(claim.record, f"fold{fold}", scores.to_plain())
        if len(row) == max(1, folds):
            study.complete(claim.record, [sum(row) / 33])
        else:
            study.report(claim, row[0] / 11, 1)
            study.prune(claim.record, "after fold 1")
    return search, study


def lines_of(search: SearchPlan, study: Study, result: StudyResult) -> list[str]:
    return report(search, study, result, 60.0, "harness search tiny --trials 20")


def starting(lines: list[str], word: str) -> str:
    return next(line.removeprefix(f"  {word}").strip() for line in lines if line.startswith(f"  {word} "))


@pytest.fixture
def mixed(project: Path) -> tuple[SearchPlan, Study]:
    """Eight trials: five similar ones, two much worse ones, one pruned."""
    rows = [[11, 10, 10], [10, 11, 10], [10, 10, 11], [11, 10, 9], [10, 10, 10], [3, 2, 2], [2, 3, 2], [4]]
    return searched(rows)


def test_report_prints_what_differs_and_what_to_expect(mixed: tuple[SearchPlan, Study]) -> None:
    search, study = mixed
    result = summarise_study(search, study)
    lines = lines_of(search, study, result)
    assert starting(lines, "best").startswith("trial 0: 93.9 %")
    expected = result.expected
    assert expected is not None
    assert starting(lines, "expected") == str(expected.accuracy)
    assert 0.85 < expected.value < result.top[0].trial.value
    assert [row.differs for row in result.top] == [False] * 5 + [True] * 2
    assert len([line for line in lines if "differs (p " in line]) == 2
    assert starting(lines, "compared").startswith("4 others: no significant difference from the best (at 5 %, correct")
    assert starting(lines, "cheapest").startswith("trial 4 of these trials:")
    assert starting(lines, "importance").startswith("not shown: ")
    assert not any(line.startswith("  caution") for line in lines)


def test_to_dict_and_the_record_have_the_numbers_of_the_report(mixed: tuple[SearchPlan, Study]) -> None:
    search, study = mixed
    result = summarise_study(search, study)
    plain = json.loads(json.dumps(result.to_dict()))
    assert [row["apart"] for row in plain["top"]] == [False] * 5 + [True] * 2
    assert plain["top"][0]["p"] == 1
    assert plain["expected"]["n"] == 33
    assert plain["expected"]["low"] < plain["expected"]["value"] < plain["expected"]["high"]
    assert plain["unknown"] is None
    assert {share["parameter"] for share in plain["shares"]} == {"lr", "batch_size", "freeze"}
    assert "importances" not in plain
    record = parse(schema_of(StudyResultRecord), plain)
    assert [share.parameter for share in record.shares] == [share.parameter for share in result.shares]
    assert record.expected is not None
    assert record.expected.value == plain["expected"]["value"]
    write_trials(search.folder.path / "trials.csv", result)
    with (search.folder.path / "trials.csv").open(newline="") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["complete"] * 7 + ["pruned"]


def test_one_fold_gives_neither_differences_nor_an_expected_value(project: Path) -> None:
    search, study = searched([[7], [6], [3]], folds=0)
    result = summarise_study(search, study)
    lines = lines_of(search, study, result)
    why = "not known: one fold does not show the noise of training"
    assert starting(lines, "expected") == starting(lines, "compared") == why
    assert sum("  not known  " in line for line in lines) == 2
    assert result.cheapest is None
    assert not any(line.startswith("  cheapest") for line in lines)
    plain = parse(schema_of(StudyResultRecord), json.loads(json.dumps(result.to_dict())))
    assert [(row.p, row.apart) for row in plain.top] == [(1, False), (None, None), (None, None)]
    assert plain.expected is None
    assert plain.unknown == "one fold does not show the noise of training"


def test_report_of_one_trial_compares_nothing(project: Path) -> None:
    search, study = searched([[11, 10, 10]])
    lines = lines_of(search, study, summarise_study(search, study))
    assert not any(line.startswith(("  expected", "  compared")) for line in lines)


def test_draw_study_draws_importances_only_if_there_are_any(project: Path) -> None:
    rows = [[11, 10, 10]] * 9
    search, study = searched(rows)
    result = summarise_study(search, study)
    search.folder.plots.mkdir(parents=True)
    (search.folder.plots / "importances.png").write_bytes(b"of fewer trials")
    draw_study(search.folder.plots, search, study, result)
    assert {path.name for path in search.folder.plots.iterdir()} == {"history.png", "slices.png", "parallel.png"}
