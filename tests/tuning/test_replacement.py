"""Which process has a trial, and how a trial is replaced after its process has died."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from harness.errors import UsageError
from harness.tuning.study import Claim, LostError, Study
from harness.tuning.trial_record import FoldScores
from harness.util.heartbeat import STALE_SECONDS, is_gone
from harness.util.processes import this_process

UNIFORM = optuna.distributions.FloatDistribution(0, 1)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return new(tmp_path)


def new(folder: Path, directions: Sequence[str] = ("maximize",)) -> Study:
    return Study(str(folder / "optuna.journal"), "x", directions, seed=3)


def claimed(study: Study, total: int = 4) -> Claim:
    claim = study.claim(total, {"a": 0.25})
    assert claim is not None
    claim.trial.suggest_float("a", 0, 1)
    return claim


def completed(study: Study, claim: Claim, value: float) -> None:
    right = np.arange(20) < 20 * value
    scores = FoldScores(1, value, right, None, (value,), 1.0, 1.0, "fold1.pt")
    study.note(claim.record, "fold1", scores.to_plain())
    assert study.complete(claim.record, [value])


def states(study: Study) -> list[tuple[int, str]]:
    return [(trial.index, trial.state) for trial in study.trials()]


def an_ended_process() -> dict[str, Any]:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return {**this_process(), "pid": process.pid}


def test_claim_gives_each_trial_once_and_first_the_experiment_as_written(study: Study) -> None:
    for index in range(4):
        claim = claimed(study)
        assert claim.index == index
        assert claim.trial.params["a"] == 0.25 if index == 0 else claim.trial.params["a"] != 0.25
        completed(study, claim, 0.5 + index / 10)
    assert study.claim(4, {}) is None
    best = study.best(study.trials())
    assert best is not None
    assert best.index == 3
    assert claimed(study, total=5).index == 4  # a longer study continues


def test_reap_repeats_the_trial_of_a_dead_process_with_its_parameters(study: Study) -> None:
    completed(study, claimed(study), 0.5)
    dead = claimed(study)
    study.note(dead.record, "owner", an_ended_process())
    again = claimed(study)
    assert states(study) == [(0, "complete"), (1, "died"), (1, "running")]
    assert again.trial.params == dead.trial.params
    assert "has died" in study.trials()[1].attributes["died"]
    assert not study.complete(dead.record, [0.9])  # if the process continues, its trial is already replaced
    with pytest.raises(LostError):
        study.note(dead.record, "fold1", {})
    completed(study, again, 0.75)
    assert claimed(study).index == 2


def test_reap_leaves_the_trial_of_a_living_process(study: Study, tmp_path: Path) -> None:
    first = claimed(study)
    other = claimed(new(tmp_path))
    assert (first.index, other.index) == (0, 1)
    assert study.reap() == []


def test_reap_replaces_a_trial_of_another_machine_without_a_heartbeat(study: Study) -> None:
    far = claimed(study)
    study.note(far.record, "owner", {"host": "elsewhere", "pid": 1, "since": ""})
    assert study.reap() == []
    study.note(far.record, "beat", time.time() - STALE_SECONDS - 1)
    assert [trial.index for trial in study.reap()] == [0]
    assert is_gone({"host": "elsewhere", "pid": 1, "since": ""}, time.time()) is False


def test_reap_frees_a_trial_without_an_owner(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    completed(study, claimed(study), 0.5)
    study.as_optuna.ask()  # like a process that was killed before it recorded that it has this trial
    assert study.reap() == []
    assert states(study)[1] == (1, "running")
    monkeypatch.setattr("harness.tuning.study.UNOWNED_SECONDS", 0.0)
    claim = claimed(study)
    assert claim.record.number == 1
    assert states(study) == [(0, "complete"), (1, "running")]


def test_claim_keeps_one_of_two_replacements_of_a_trial(study: Study) -> None:
    dead = claimed(study)
    study.note(dead.record, "owner", an_ended_process())
    for _ in range(2):
        study.as_optuna.enqueue_trial({"a": 0.25}, user_attrs={"instead_of": dead.record.number})
    study.note(dead.record, "died", "both have seen it")
    first = claimed(study)
    second = claimed(study)
    assert (first.index, second.index) == (0, 1)
    assert states(study) == [(0, "died"), (0, "running"), (0, "died"), (1, "running")]


def test_release_completes_an_interrupted_release(study: Study) -> None:
    dead = claimed(study)
    study.note(dead.record, "owner", an_ended_process())
    study.note(dead.record, "died", "killed right after recording this")
    assert claimed(study).index == 0
    assert states(study) == [(0, "died"), (0, "running")]


def test_claim_draws_the_same_values_after_interruptions(tmp_path: Path) -> None:
    sampled = []
    for name, cut in (("whole", False), ("cut", True)):
        (tmp_path / name).mkdir()
        values = []
        for index in range(14):  # more than ten, because the first ten are random
            study = new(tmp_path / name)
            claim = claimed(study, 14)
            if cut and index % 2:
                study.release(claim.record, "interrupted")
                claim = claimed(study, 14)
            values.append(claim.trial.params["a"])
            completed(study, claim, 1 - abs(0.7 - values[-1]))
        sampled.append(values)
    assert sampled[0] == sampled[1]
    assert len(set(sampled[0])) == 14


def test_agree_refuses_another_experiment(study: Study, tmp_path: Path) -> None:
    space = {"a": UNIFORM, "b": optuna.distributions.CategoricalDistribution((1, 2))}
    facts = {"experiment": {"lr": 0.1, "epochs": 3}, "data": "abc"}
    own = study.agree(facts, space)
    assert new(tmp_path).agree(facts, space) == own
    other = {**space, "b": optuna.distributions.CategoricalDistribution((1, 3))}
    for changed, distributions, words in (
        ({**facts, "data": "def"}, space, "data: 'abc', now 'def'"),
        ({**facts, "experiment": {"lr": 0.2, "epochs": 3}}, space, "experiment: lr 0.1, now 0.2"),
        (facts, other, "space: b [1, 2], now [1, 3]"),
    ):
        with pytest.raises(UsageError) as caught:
            study.agree(changed, distributions)
        assert words in caught.value.what
    with pytest.raises(UsageError, match="other objectives"):
        new(tmp_path, ("maximize", "minimize"))


def test_claim_gives_the_experiment_as_written_to_only_one_process(study: Study, tmp_path: Path) -> None:
    for _ in range(3):  # each process saw an empty study
        study.as_optuna.enqueue_trial({"a": 0.25}, user_attrs={"fresh": True})
    claims = [claimed(new(tmp_path), 5) for _ in range(4)]
    values = [claim.trial.params["a"] for claim in claims]
    assert [claim.index for claim in claims] == [0, 1, 2, 3]
    assert values[0] == 0.25
    assert len(set(values)) == 4


def test_claim_waits_for_a_trial_that_a_process_has_just_taken(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.tuning.study.UNOWNED_SECONDS", 1.0)
    completed(study, claimed(study, 1), 0.5)
    study.as_optuna.ask()
    assert claimed(study, 2).index == 1
