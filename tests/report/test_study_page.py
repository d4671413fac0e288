"""The report of a study shows the numbers of `study.json`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.report.study_page import study_page
from harness.runs.record_parts import Status
from harness.runs.records import RunRecord, StudyRecord
from harness.runs.study_folder import StudyFolder
from harness.runs.study_record import ComparedTrial, ExpectedRecord, ShareRecord, StudyResultRecord, StudyTrial
from tests.report.laid import TAG, Tags
from tests.toy import run_record


def trial(
    number: int, accuracy: float | None, *, state: str = "complete", seconds: float = 5.0, **changes: Any
) -> StudyTrial:
    low, high = (None, None) if accuracy is None else (accuracy - 0.02, accuracy + 0.01)
    folds = 0 if accuracy is None else 3 if state == "complete" else 1
    n = None if accuracy is None else 100
    return StudyTrial(
        trial=number, state=state, number=number, value=accuracy, accuracy=accuracy, low=low, high=high, n=n,
        folds=folds, seconds=seconds, loop_seconds=seconds, host="annas-laptop", pid=1,
        why="after fold 1: its chance is 1 %" if state == "pruned" else None, changes=changes,
    )  # fmt: skip


TRIALS = [
    trial(0, 0.90),
    trial(1, 0.95, seconds=9.0, lr=0.001, batch_size=16),
    trial(2, 0.94, seconds=2.0, lr=0.01, optimizer=TAG),
    trial(3, 0.70, state="pruned", lr=0.1, optimizer="sgd"),
    trial(4, None, state="failed", lr=0.2),
]
RESULT = StudyResultRecord(
    best=TRIALS[1],
    expected=ExpectedRecord(0.945, 0.91, 0.97, 100),
    least_difference=0.031,
    trials=TRIALS,
    counts={"complete": 3, "pruned": 1, "failed": 1},
    folds_trained=10,
    top=[ComparedTrial(1, 1.0, False), ComparedTrial(2, 0.8, False), ComparedTrial(0, 0.012, True)],
    cheapest=2,
    shares=[
        ShareRecord("lr", 4, 0.6, 0.2, 0.8, None),
        ShareRecord("optimizer", 2, None, None, None, "2 trials have it"),
    ],
)


def lay_study(home: Path, result: StudyResultRecord | None = RESULT, **fields: Any) -> StudyFolder:
    values = {item.name: getattr(run_record("tiny"), item.name) for item in dataclasses.fields(RunRecord)}
    own = {item.name: values[item.name] for item in dataclasses.fields(StudyRecord) if item.name in values}
    record = StudyRecord(
        **own | {"status": Status.FINISHED, "experiment_name": "tiny", "trials": 5, "result": result} | fields
    )
    path = home / "runs/tiny/study-tiny"
    path.mkdir(parents=True)
    folder = StudyFolder(path, record)
    folder.update()
    return folder


def test_study_page_shows_the_expected_accuracy_of_the_best(tmp_path: Path) -> None:
    page = Tags(study_page(lay_study(tmp_path)))
    assert (
        "94.5 % expected if the best settings are trained again 95 % interval 91.0 to 97.0 %, n = 100 images"
        in page.text
    )
    assert "trial 1: 95.0 % (93.0 to 96.0 %)" in page.text
    assert "lr 0.001, batch_size 16" in page.text
    assert "3 complete, 1 pruned, 1 failed of 5 trials; 10 folds trained" in page.text
    assert "trial 2, with 2.0 s of training: the fastest without a significant difference" in page.text
    assert "This noise hides differences below 3.1 points." in page.text


def test_study_page_lists_the_best_trials_first(tmp_path: Path) -> None:
    source = study_page(lay_study(tmp_path))
    table = source.partition('<section id="trials"')[2].partition("</section>")[0]
    rows = [Tags(row).text for row in table.split("<tr")[2:]]
    assert [row.split(">")[1].split()[0] for row in rows] == ["1", "2", "0", "3", "4"]
    assert "the best" in rows[0]
    assert "no significant difference (p 0.8), the cheapest" in rows[1]
    assert "differs (p 0.012)" in rows[2]
    assert "pruned after fold 1: its chance is 1 %" in rows[3]
    assert "failed" in rows[4]


def test_study_page_shows_importances_and_unknown_ones(tmp_path: Path) -> None:
    page = Tags(study_page(lay_study(tmp_path)))
    assert "lr 60 % 20 to 80 %" in page.text
    assert "optimizer is not shown: 2 trials have it" in page.text


def test_study_page_escapes_values_and_hides_the_machine(tmp_path: Path) -> None:
    source = study_page(lay_study(tmp_path))
    page = Tags(source)
    assert TAG in page.text
    assert not page.all("img")
    assert "annas-laptop" not in source


def test_study_page_warns_if_the_luck_of_the_best_is_unknown(tmp_path: Path) -> None:
    result = dataclasses.replace(RESULT, expected=None, unknown="one fold does not show the noise of training")
    page = Tags(study_page(lay_study(tmp_path, result)))
    assert "95.0 % accuracy of the best trial, 1" in page.text
    assert "the best of several trials is too good by chance. By how much is not known (one fold" in page.text
    assert "Whether trials differ is not known" in page.text


def test_study_page_warns_of_an_interrupted_study(tmp_path: Path) -> None:
    assert (
        "Unfinished: the study was interrupted."
        in Tags(study_page(lay_study(tmp_path, status=Status.INTERRUPTED))).text
    )


@pytest.mark.parametrize("result", [None, dataclasses.replace(RESULT, trials=[TRIALS[4]], best=None)])
def test_study_page_needs_a_trial_with_a_finished_fold(tmp_path: Path, result: StudyResultRecord | None) -> None:
    with pytest.raises(UsageError, match="nothing to report"):
        study_page(lay_study(tmp_path, result))


def test_study_page_of_another_metric_shows_it(tmp_path: Path) -> None:
    page = Tags(study_page(lay_study(tmp_path, asked={"metric": "valid_macro_f1"})))
    assert "valid macro f1 0.9500" in page.text
    assert "0.7000" in page.text
