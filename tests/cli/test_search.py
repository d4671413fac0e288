"""`harness search` on the command line."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.engine import checkpoint
from harness.runs.run_folder import RunFolder
from harness.tuning.study import Study
from tests.conftest import Outcome, Tracked, wait, write_experiment

Call = Callable[..., Outcome]

SMALL = "--trials", "4", "-s", "epochs=1"


def trials(project: Path, name: str = "tiny", study: str = "") -> list[dict[str, Any]]:
    record = json.loads((project / f"runs/{name}/study-{study or name}/study.json").read_text())
    return list(record["result"]["trials"])


def with_code(project: Path, scenery: Path, code: str, **fields: object) -> None:
    """Writes `experiments/own.py`, which ends with `code`."""
    path = write_experiment(project / "experiments/own.py", scenery, **fields)
    path.write_text(path.read_text() + code)


def test_search_prints_a_table_and_next_commands_and_writes_files(studied: Tracked) -> None:
    output = json.loads((studied.project / "said.json").read_text())
    assert output["counts"]["complete"] + output["counts"]["pruned"] == 6
    assert output["trials"][0]["changes"] == {}  # as written
    assert {"freeze", "lr", "batch_size"} >= set(output["trials"][1]["changes"])
    folder = studied.project / output["folder"]
    with (folder / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == [str(i) for i in range(6)]
    assert all(row["host"] and row["pid"] for row in rows)
    names = {path.name for path in (folder / "plots").iterdir()}
    assert names == {
        "history.png",
        "slices.png",
        "parallel.png",
    }  # six trials are too few to estimate the importance of parameters
    top = output["top"]
    values = [output["trials"][row["trial"]]["value"] for row in top]
    assert values == sorted(values, reverse=True)
    assert top[0]["p"] == 1
    assert not top[0]["apart"]
    assert output["expected"]["value"] <= output["best"]["accuracy"]
    assert {share["why"] for share in output["shares"]} == {"6 trials have it; 8 are needed"}


def test_search_keeps_weights_of_the_best_trials_only(studied: Tracked) -> None:
    output = json.loads((studied.project / "said.json").read_text())
    folders = {path.parent.name for path in (studied.project / output["folder"]).glob("trial-*/checkpoints")}
    assert folders == {f"trial-{row['trial']:03d}" for row in output["top"][:2]}
    names = sorted(path.name for path in studied.run.checkpoints.iterdir())
    assert names == ["fold1.pt", "fold2.pt", "fold3.pt"]


def test_search_best_file_reproduces_the_best_trial(studied: Tracked, call: Call, monkeypatch: Any) -> None:
    monkeypatch.chdir(studied.project)
    best = json.loads((studied.project / "said.json").read_text())["best"]
    outcome = call("run", "runs/tiny/study-tiny/best.py", "-s", "trackers=", "--runs", "again", "--fold", "1", "--json")
    again = json.loads(outcome.out)
    assert again["folds"][0]["accuracy"] == studied.run.record.folds[0].accuracy
    assert studied.run.record.accuracy == best["accuracy"]
    first = checkpoint.load(studied.run.checkpoints / "fold1.pt")["model"]
    second = checkpoint.load(Path(again["folds"][0]["checkpoint"]))["model"]
    assert all((first[name] == second[name]).all() for name in first)


def test_search_sends_study_trials_and_folds_to_mlflow(studied: Tracked) -> None:
    client, output = studied.client(), json.loads((studied.project / "said.json").read_text())
    (experiment,) = (candidate for candidate in client.search_experiments() if candidate.name == "tiny")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    (study,) = (run for run in runs if run.data.tags.get("harness.role") == "study")
    below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == study.info.run_id]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sorted(int(run.data.tags["harness.trial"]) for run in below) == [*range(6)]
    for run in below:
        own = output["trials"][int(run.data.tags["harness.trial"])]
        assert run.data.metrics["accuracy"] == own["accuracy"]
        assert float(run.data.params["lr"]) == own["changes"].get("lr", 0.01)
        assert run.data.tags["harness.status"] == {"complete": "finished"}.get(own["state"], own["state"])
        folds = [other for other in runs if other.data.tags.get("mlflow.parentRunId") == run.info.run_id]
        assert len(folds) == own["folds"]
        assert all({"accuracy", "valid_loss"} <= set(fold.data.metrics) for fold in folds)
    assert study.data.metrics["best_accuracy"] == output["best"]["accuracy"]
    expected = {
        f"expected_{name}".removesuffix("_value"): output["expected"][name] for name in ("value", "low", "high")
    }
    assert {name: study.data.metrics[name] for name in expected} == expected
    p_values = {run.data.tags["harness.trial"]: run.data.metrics.get("p_against_best") for run in below}
    assert {trial: p for trial, p in p_values.items() if p is not None} == {
        str(row["trial"]): row["p"] for row in output["top"]
    }
    assert {"best.py", "study.json", "trials.csv", "plots"} <= {
        f.path for f in client.list_artifacts(study.info.run_id)
    }
    with_model = [run.data.tags["harness.trial"] for run in below if "harness.model" in run.data.tags]
    assert with_model == [str(output["best"]["trial"])]


def test_search_writes_each_trial_to_tensorboard_once(studied: Tracked) -> None:
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    output = json.loads((studied.project / "said.json").read_text())
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(studied.project / "runs"))
    multiplexer.Reload()
    names = set(multiplexer.Runs())
    expected = set()
    for trial in output["trials"]:
        root = f"tiny/study-tiny/trial-{trial['trial']:03d}"
        expected |= {root} | {
            f"{root}/fold{n + 1}/{side}" for n in range(trial["folds"]) for side in ("train", "valid")
        }
        events = multiplexer.GetAccumulator(root)
        assert len(events.PluginTagToContent("hparams")) == 3  # the columns, the start and the end, in one run
        assert events.Scalars("out_of_fold/accuracy")[-1].value == pytest.approx(trial["accuracy"])
    assert names == expected


def test_search_of_a_complete_study_trains_nothing(call: Call, project: Path) -> None:
    first = call("search", "tiny", *SMALL)
    assert first.code == 0
    assert "search tiny: study tiny, 4 trials, ranked by valid accuracy" in first.err
    assert "  4 of 4: trial 3 " in first.err
    assert "a trial with nothing frozen takes about" in first.err
    before = trials(project)
    again = call("search", "tiny", *SMALL)
    assert again.code == 0
    assert "4 trials (4 done)" in again.err
    assert ": trial " not in again.err
    assert trials(project) == before
    longer = call("search", "tiny", "--trials", "5", "-s", "epochs=1")
    assert "  5 of 5: trial 4 " in longer.err
    assert trials(project)[:4] == before
    assert call("list").out.count("study tiny") == 1
    other = call("search", "tiny", "--trials", "5", "-s", "epochs=2")
    assert other.code == 2
    assert "experiment: epochs 1, now 2" in other.error_lines[0]


def test_search_dry_run_writes_nothing(call: Call, project: Path) -> None:
    outcome = call("search", "tiny", "--dry-run")
    assert outcome.code == 0
    assert "space      lr: 1e-05 to 0.1 (log)" in outcome.err
    assert sorted(path.name for path in project.iterdir()) == ["experiments"]


def test_search_finishes_the_fold_after_ctrl_c_and_continues_later(call: Call, project: Path, scenery: Path) -> None:
    code = """
import os, signal
from itertools import pairwise
from pathlib import Path
from harness import Callback

class Press(Callback):
    def on_epoch_end(self, state):
        if not Path("pressed").exists() and Path("second").exists():
            Path("pressed").touch()
            os.kill(os.getpid(), signal.SIGINT)
        Path("second").touch()

experiment = experiment.replace(callbacks=[Press()])
"""
    with_code(project, scenery, code, epochs=1, folds=3)
    outcome = call("search", "own", "--trials", "2", "--pruner", "none")
    assert outcome.code == 130
    assert "stopping after this fold" in outcome.err
    assert outcome.error_lines[0] == "error: interrupted by Ctrl-C, after a fold"
    assert outcome.error_lines[2].endswith("harness search own --trials 2 --pruner none")
    study = Study("optuna.journal", "own", ["maximize"], 0)
    assert [(trial.index, trial.state) for trial in study.trials()] == [(0, "died"), (0, "waiting")]
    assert len(study.trials()[0].folds) == 2
    assert json.loads((project / "runs/own/study-own/study.json").read_text())["status"] == "interrupted"
    done = call("search", "own", "--trials", "2", "--pruner", "none")
    assert done.code == 0
    assert [trial["folds"] for trial in trials(project, "own")] == [3, 3]
    lines = (project / "runs/own/study-own/trial-000/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["fold"] for line in lines] == [1, 2, 3]  # the two finished folds were not trained again


def test_search_records_a_failed_trial_and_continues(call: Call, project: Path, scenery: Path) -> None:
    code = """
def search_space(trial):
    kind = trial.suggest_categorical("kind", ["nan", "raises", "memory", "fine"])
    return {"lr": {"nan": 1e30, "raises": 0.03, "memory": 0.04, "fine": 0.01}[kind]}

from harness import Callback

class Fail(Callback):
    def on_epoch_end(self, state):
        lr = state.optimizer.defaults["lr"]
        if lr == 0.03:
            raise ValueError("not with me")
        if lr == 0.04:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

experiment = experiment.replace(callbacks=[Fail()])
"""
    with_code(project, scenery, code, epochs=1)
    outcome = call("search", "own", "--trials", "9", "--pruner", "none")
    assert outcome.code == 0
    records = trials(project, "own")
    reasons = {trial["changes"]["lr"]: trial["why"] for trial in records if trial["state"] == "failed"}
    assert "loss is" in reasons[1e30]
    assert reasons[0.03].startswith("callback Fail.on_epoch_end failed at experiments/own.py:")
    assert reasons[0.03].endswith("ValueError: not with me")
    assert "fold 1 ran out of memory on cpu" in reasons[0.04]
    failed = next(trial["trial"] for trial in records if trial["why"] == reasons[0.03])
    assert "not with me" in (project / f"runs/own/study-own/trial-{failed:03d}/error.txt").read_text()
    assert f": trial {failed:<3}  failed: callback Fail.on_epoch_end failed at experiments/own.py:" in outcome.err
    assert "failed" in outcome.out


def test_search_stops_after_five_failures_in_a_row(call: Call, project: Path, scenery: Path) -> None:
    code = """
from harness import Callback

class Fail(Callback):
    def on_epoch_end(self, state):
        raise ValueError("never with me")

experiment = experiment.replace(callbacks=[Fail()])
"""
    with_code(project, scenery, code, epochs=1)
    outcome = call("search", "own", "--trials", "9")
    assert outcome.code == 1
    assert outcome.error_lines[0] == "error: 5 trials in a row have failed"
    assert "never with me" in outcome.error_lines[1]
    assert [trial["state"] for trial in trials(project, "own")] == ["failed"] * 5


def test_search_trains_a_damaged_fold_again(call: Call, project: Path, scenery: Path) -> None:
    """The study was interrupted after the second fold, and the weights of the first fold were removed since then."""
    code = """
from pathlib import Path
from harness import Callback

class Stop(Callback):
    def on_fit_start(self, state):
        folds = len(list(Path("runs/own/study-own/trial-000/checkpoints").glob("*.pt")))
        if folds == 2 and not Path("stopped").exists():
            Path("stopped").touch()
            raise KeyboardInterrupt

experiment = experiment.replace(callbacks=[Stop()])
"""
    with_code(project, scenery, code, epochs=1, folds=3)
    assert call("search", "own", "--trials", "2", "--pruner", "none").code == 130
    folder = project / "runs/own/study-own/trial-000"
    (folder / "checkpoints/fold1.pt").unlink()
    mtime = (folder / "checkpoints/fold2.pt").stat().st_mtime_ns
    assert call("search", "own", "--trials", "2", "--pruner", "none").code == 0
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert sorted(row["fold"] for row in rows) == [1, 2, 3]
    assert (folder / "checkpoints/fold2.pt").stat().st_mtime_ns == mtime
    assert len(list((folder / "checkpoints").iterdir())) == 3
    assert trials(project, "own")[0]["n"] == 33


def test_search_never_changes_another_study_of_the_same_name(call: Call, project: Path) -> None:
    assert call("search", "tiny", *SMALL).code == 0
    before = {path: path.read_bytes() for path in (project / "runs").rglob("*") if path.is_file()}
    outcome = call("search", "tiny", *SMALL, "--storage", "other.journal")
    assert outcome.code == 2
    assert "belongs to another study of this name" in outcome.error_lines[0]
    assert {path: path.read_bytes() for path in (project / "runs").rglob("*") if path.is_file()} == before


def test_search_pareto_reports_the_front(call: Call, project: Path) -> None:
    outcome = call("search", "tiny", *SMALL, "--pareto", "--json")
    output = json.loads(outcome.out)
    assert output["counts"]["complete"] == 4
    front = [output["trials"][index] for index in output["front"]]
    assert front[0]["value"] == max(trial["value"] for trial in output["trials"])
    for better, faster in pairwise(front):
        assert better["value"] > faster["value"]
        assert better["loop_seconds"] > faster["loop_seconds"]
    assert (project / "runs/tiny/study-tiny/plots/front.png").is_file()


def test_search_by_loss_ranks_the_smallest_first(call: Call, project: Path) -> None:
    output = json.loads(call("search", "tiny", *SMALL, "--metric", "valid_loss", "--json").out)
    complete = [trial for trial in output["trials"] if trial["state"] == "complete"]
    assert output["best"]["value"] == min(trial["value"] for trial in complete)
    assert output["best"]["value"] > 0


def test_search_time_starts_no_trial_that_would_end_late(call: Call, project: Path) -> None:
    outcome = call("search", "tiny", "--trials", "50", "-s", "epochs=1", "--time", "1s", "--json")
    assert outcome.code == 0
    assert 1 <= len(json.loads(outcome.out)["trials"]) < 50
    assert "no time for another trial" in outcome.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")
@pytest.mark.slow
def test_search_workers_share_a_study_and_stop_at_ctrl_c(project: Path, scenery: Path) -> None:
    write_experiment(project / "experiments/tiny.py", scenery, folds=3, epochs=2)
    command = [
        sys.executable,
        "-m",
        "harness",
        "search",
        "tiny",
        "--trials",
        "200",
        "--workers",
        "2",
        "--pruner",
        "none",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            journal = project / "optuna.journal"

            def pids() -> set[int]:
                if not journal.exists():
                    return set()
                done = [trial for trial in Study(str(journal), "tiny", ["maximize"], 0).trials() if trial.folds]
                return {trial.attributes["owner"]["pid"] for trial in done}

            wait(lambda: len(pids()) == 2, 60)
            os.kill(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "stopping after the running folds" in err
    assert "try: harness search tiny" in err
    states = [trial.state for trial in Study(str(journal), "tiny", ["maximize"], 0).trials()]
    assert "running" not in states
    assert states.count("died") == states.count("waiting") <= 2
    for pid in pids():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    places = [
        trial.index for trial in Study(str(journal), "tiny", ["maximize"], 0).trials() if trial.state == "complete"
    ]
    assert sorted(places) == sorted(set(places))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")
def test_search_workers_end_if_their_parent_is_killed(project: Path, scenery: Path) -> None:
    command = [sys.executable, "-m", "harness", "search", "tiny", "--trials", "500", "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        journal = project / "optuna.journal"

        def owners() -> set[int]:
            records = Study(str(journal), "tiny", ["maximize"], 0).trials() if journal.exists() else []
            return {trial.attributes["owner"]["pid"] for trial in records if "owner" in trial.attributes}

        wait(lambda: len(owners()) == 2, 60)
        process.kill()
    for pid in owners():
        wait(lambda pid=pid: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), 30)

    def states() -> set[str]:
        return {trial.state for trial in Study(str(journal), "tiny", ["maximize"], 0).trials()}

    wait(lambda: "running" not in states(), 30)  # each worker releases its trial


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_search_keeps_copies_in_one_fold_and_counts_groups(call: Call, project: Path, scenery: Path) -> None:
    shutil.copytree(scenery, project / "twice")
    for path in [*(project / "twice").rglob("*.jpg")]:
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    options = ("-s", "data=twice", "-s", "epochs=1", "--trials", "2", "--pruner", "none")
    outcome = call("search", "tiny", *options)
    assert outcome.code == 0
    assert "66 images (forest 30, sea 36) in 33 groups" in outcome.err
    assert re.search(r"best +trial \d: [\d.]+ % \(95 % interval [\d.]+ to [\d.]+ %, n = 66 in 33 groups\)", outcome.out)
    result = json.loads(call("search", "tiny", *options, "--json").out)
    run = RunFolder.open(project / "runs/tiny/study-tiny" / f"trial-{result['best']['trial']:03d}")
    assert (run.record.n, run.record.groups, run.record.data.groups) == (66, 33, 33)
    accuracy = run.predictions().accuracy
    assert (accuracy.groups, list(accuracy.interval)) == (33, [result["best"]["low"], result["best"]["high"]])
    other = call("search", "tiny", *options, "-s", "groups=(\\d+)\\.jpg")
    assert (other.code, "was started with other settings" in other.err) == (2, True)
