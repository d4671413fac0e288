from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.report.answers import Answers, answers_in
from tests.predicted import lay_run, lay_test, predicted


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_answers_in_a_run_joins_all_folds() -> None:
    parts = predicted("+-+", fold=1, groups=[1, 1, 2]), predicted("-+", fold=2, first=3, groups=[3, 4])
    found = answers_in(lay_run(Path("runs"), *parts))
    assert found is not None
    assert found.paths == parts[0].paths + parts[1].paths
    assert found.folds.tolist() == [1, 1, 1, 2, 2]
    assert found.right.tolist() == [True, False, True, False, True]
    assert found.confidence == pytest.approx([0.9] * 5)
    assert found.of_true == pytest.approx([0.9, 0.1, 0.9, 0.1, 0.9])
    assert found.groups is not None
    assert found.groups.tolist() == [1, 1, 2, 3, 4]


def test_answers_in_leaves_out_folds_that_are_not_in_the_record() -> None:
    folder = lay_run(Path("runs"), predicted("+++"), predicted("--", fold=2, first=3))
    folder.update(folds=folder.record.folds[:1])  # killed after writing the predictions of the second fold
    found = answers_in(folder)
    assert found is not None
    assert found.right.all()


def test_answers_in_a_test_and_in_a_run_without_predictions() -> None:
    found = answers_in(lay_test(Path("runs"), predicted("++-")))
    assert found is not None
    assert len(found) == 3
    assert answers_in(lay_run(Path("runs"))) is None


def test_answers_number_the_cells_of_the_confusion_matrix() -> None:
    answers = Answers.of(predicted("+-+-"))  # the true classes alternate between forest and sea
    assert answers.cells.tolist() == [0, 2, 0, 2]
    assert answers.images == 4
    twice = Answers.join([answers, answers])
    assert (len(twice), twice.images) == (8, 4)
    assert np.array_equal(twice.said, [*answers.said, *answers.said])
