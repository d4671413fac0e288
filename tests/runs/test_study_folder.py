from __future__ import annotations

import shutil
from pathlib import Path

from harness.runs.records import StudyRecord
from harness.runs.study_folder import StudyFolder
from tests.predicted import lay_trial, predicted


def test_trials_reads_only_changed_records_again(tmp_path: Path) -> None:
    trials = [lay_trial(tmp_path, "wide", number, predicted("+-")) for number in range(3)]
    values = {"name": "wide", "status": "finished", "started": trials[0].record.started}
    study = StudyFolder(trials[0].path.parent, StudyRecord(**values, experiment_name="tiny"))
    first = study.trials()
    assert [trial.path for trial in first] == [trial.path for trial in trials]
    trials[1].update(error="changed")
    shutil.rmtree(trials[2].path)
    second = study.trials()
    assert second[0] is first[0]
    assert [trial.record.error for trial in second] == [None, "changed"]
    (trials[0].path / "run.json").write_text("{")
    assert [trial.path for trial in study.trials()] == [trials[1].path]
