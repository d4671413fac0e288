"""`harness search` with search spaces from Optuna's manual and FAQ, and with unusual ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.tuning.study import Study
from tests.conftest import Outcome, write_experiment

Call = Callable[..., Outcome]


@pytest.fixture
def own(project: Path, scenery: Path) -> Callable[[str], None]:
    """Returns a function that writes `experiments/own.py`, which ends with the given code."""

    def write(code: str) -> None:
        path = write_experiment(project / "experiments/own.py", scenery, epochs=1)
        path.write_text(f"import optuna\nimport torch\n{path.read_text()}{code}")

    return write


def result_of(project: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((project / "runs/own/study-own/study.json").read_text())["result"]
    return result


@pytest.mark.parametrize("choices", ["[(64,), (128, 64)]", "[torch.optim.Adam, torch.optim.RMSprop]"])
@pytest.mark.parametrize("options", [("--trials", "14"), ("--dry-run",)])
def test_search_refuses_choices_before_the_first_trial(
    call: Call, project: Path, own: Callable[[str], None], choices: str, options: tuple[str, ...]
) -> None:
    own(f'def search_space(trial):\n    return {{"optimizer": trial.suggest_categorical("optimizer", {choices})}}\n')
    outcome = call("search", "own", *options)
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert "search_space (experiments/own.py:6): the choices of 'optimizer' contain" in outcome.error_lines[0]
    assert "trial.suggest_categorical('optimizer', list(options))" in outcome.error_lines[2]
    assert [path.name for path in project.iterdir()] == ["experiments"]


DUPLICATES = """
import numpy as np

def search_space(trial):
    trial.set_user_attr("mine", np.float32(trial.number))
    size = trial.suggest_categorical("batch_size", np.array([8, 16]))
    for other in trial.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)):
        if other.params == trial.params:
            raise optuna.TrialPruned(f"as trial {other.number}")
    return {"batch_size": size}
"""


def test_search_continues_after_trials_that_the_space_prunes(
    call: Call, project: Path, own: Callable[[str], None]
) -> None:
    own(DUPLICATES)
    outcome = call("search", "own", "--trials", "10", "--pruner", "none", "--json")
    assert outcome.code == 0
    output = json.loads(outcome.out)
    assert output["counts"] | {"complete": 2, "pruned": 8} == output["counts"]
    pruned = [trial for trial in output["trials"] if trial["state"] == "pruned"]
    assert {trial["why"] for trial in pruned} <= {"by search_space: as trial 0", "by search_space: as trial 1"} | {
        f"by search_space: as trial {number}" for number in range(10)
    }
    assert all((trial["folds"], trial["value"]) == (0, None) for trial in pruned)
    assert ": trial 9   " in outcome.err
    assert result_of(project)["counts"] == output["counts"]
    assert "2 complete, 8 pruned of 10 trials" in call("search", "own", "--trials", "10", "--pruner", "none").out


@pytest.mark.parametrize("options", [(), ("--pareto",)])
def test_search_ends_if_every_trial_is_pruned(
    call: Call, project: Path, own: Callable[[str], None], options: tuple[str, ...]
) -> None:
    own("""
from harness import Callback

class Prune(Callback):
    def on_epoch_end(self, state):
        raise optuna.TrialPruned("it cannot win")

experiment = experiment.replace(callbacks=[Prune()])
""")
    outcome = call("search", "own", "--trials", "6", *options)
    assert outcome.code == 0
    assert "own, study own: 6 pruned of 6 trials\n  no trial is complete\n" in outcome.out
    assert "  pruned      6 × by experiments/own.py:" in outcome.out
    assert "it cannot win" in outcome.out
    run = json.loads((project / "runs/own/study-own/trial-000/run.json").read_text())
    assert run["status"] == "pruned"
    assert run["pruned"].endswith("it cannot win")


ODD = """
import dataclasses
from harness import Callback

@dataclasses.dataclass
class Odd(Callback):
    weights: torch.Tensor

def search_space(trial):
    trial.suggest_categorical("a long name with $x_^$ " * 3, ["\\x1b[31m", "$_^$", "long " * 200, None, 0, "0"])
    trial.suggest_int("huge", 1, 10**15, log=True)
    return {"callbacks": [Odd(torch.ones(2))], "lr": trial.suggest_float("lr", 1e-3, 1e-2)}

experiment = experiment.replace(callbacks=[Odd(torch.zeros(2))])
"""


def test_search_reports_odd_values(call: Call, project: Path, own: Callable[[str], None]) -> None:
    own(ODD)
    outcome = call("search", "own", "--trials", "9", "--pruner", "none")
    assert outcome.code == 0, outcome.err
    assert "own, study own: 9 complete of 9 trials" in outcome.out
    assert "warning: a plot" not in outcome.err
    assert "\x1b" not in outcome.out
    assert "\x1b" not in outcome.err
    folder = project / "runs/own/study-own"
    assert {path.name for path in (folder / "plots").iterdir()} >= {"history.png", "slices.png", "parallel.png"}
    assert (folder / "trials.csv").is_file()
    assert len(result_of(project)["trials"]) == 9


def test_search_reports_if_a_part_of_the_result_fails(
    call: Call, project: Path, own: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise TypeError("unhashable type: 'list'")

    for name in ("harness.plots.study.draw_slices", "harness.tuning.conclude.write_trials"):
        monkeypatch.setattr(name, fail)
    monkeypatch.setattr("harness.tuning.conclude.experiment_of", fail)
    outcome = call("search", "tiny", "--trials", "2", "-s", "epochs=1")
    assert outcome.code == 0
    assert "2 complete of 2 trials" in outcome.out
    warnings = [line for line in outcome.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 3
    assert all("unhashable type" in line for line in warnings)
    assert "best.py" not in outcome.out
    plots = {path.name for path in (project / "runs/tiny/study-tiny/plots").iterdir()}
    assert plots == {"history.png", "parallel.png"}


def test_search_does_not_change_the_database_of_mlflow(call: Call, project: Path, new_database: Path) -> None:
    shutil.copy(new_database, project / "mlflow.db")
    before = (project / "mlflow.db").read_bytes()
    for options in ((), ("--dry-run",)):
        outcome = call("search", "tiny", "--storage", "sqlite:///mlflow.db", *options)
        assert (outcome.code, len(outcome.error_lines)) == (2, 3)
        assert "sqlite:///mlflow.db is the database of another program" in outcome.error_lines[0]
    assert (project / "mlflow.db").read_bytes() == before
    assert sorted(path.name for path in project.iterdir()) == ["experiments", "mlflow.db"]


def test_search_stops_if_the_space_stops_the_study(call: Call, own: Callable[[str], None]) -> None:
    """Optuna's `stop` fails outside of `study.optimize`: optuna#3154."""
    own("""
def search_space(trial):
    if trial.number in (1, 3):
        trial.study.stop()
    return {"lr": trial.suggest_float("lr", 1e-3, 1e-2)}
""")
    outcome = call("search", "own", "--trials", "20", "--pruner", "none")
    assert outcome.code == 0
    assert "own, study own: 2 complete of 20 trials" in outcome.out
    assert "search_space has stopped the search" in outcome.err
    again = call("search", "own", "--trials", "20", "--pruner", "none")  # the same command continues the study
    assert "own, study own: 4 complete of 20 trials" in again.out


LOSSES = """
def tenth(logits, targets):
    return 0.1 * torch.nn.functional.cross_entropy(logits, targets)

def search_space(trial):
    scaled = trial.suggest_categorical("scaled", [True, False])
    return {"loss": tenth if scaled else "cross_entropy", "lr": trial.suggest_float("lr", 1e-4, 1e-3, log=True)}
"""


def test_search_ranks_by_the_log_loss_if_the_loss_is_searched(
    call: Call, project: Path, own: Callable[[str], None]
) -> None:
    """If each trial were ranked by its own loss, the loss with the smallest scale would win: keras-tuner#440, #358."""
    own(LOSSES)
    outcome = call("search", "own", "--metric", "valid_loss", "--dry-run")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert "trials cannot be compared by valid_loss: a trial changes loss" in outcome.error_lines[0]
    assert "--metric valid_log_loss" in outcome.error_lines[2]
    outcome = call("search", "own", "--metric", "valid_log_loss", "--trials", "4", "-s", "image_size=16", "--json")
    values = [trial["value"] for trial in json.loads(outcome.out)["trials"]]
    changes = [trial["changes"] for trial in json.loads(outcome.out)["trials"]]
    assert {"loss" in change for change in changes} == {True, False}
    assert all(0.4 < value < 1.0 for value in values)  # a loss scaled by a tenth would be below 0.1
    trials = Study("optuna.journal", "own", ["minimize"], 0).trials()
    for trial in trials:
        assert all(fold.losses is not None and fold.scores.mean() == pytest.approx(-fold.value) for fold in trial.folds)
        assert all(
            fold.losses.mean() == pytest.approx(fold.value, rel=0.04) for fold in trial.folds if fold.losses is not None
        )
