from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score

from harness.engine.trainer import Callback, State
from harness.errors import UsageError, UserCodeError
from harness.workflows.crossval import CrossValidation, cross_validate
from harness.workflows.make_plan import make_plan
from tests.toy import SMALL


def run(data: Path, runs: Path, **fields: Any) -> CrossValidation:
    return cross_validate(
        make_plan(SMALL.replace(data=str(data), **{"epochs": 3, "folds": 0} | fields), device="cpu"), runs=runs
    )


def kappa(labels: Any, probabilities: Any) -> float:
    return float(cohen_kappa_score(labels, probabilities.argmax(1)))


def test_metrics_are_in_each_epoch_and_in_the_result(scenery: Path, tmp_path: Path) -> None:
    result = run(scenery, tmp_path, metrics=["macro_f1", kappa])
    (fold,) = result.results
    found = fold.predictions
    f1 = f1_score(found.labels, found.predicted, average="macro")
    assert fold.history[-1]["valid_macro_f1"] == pytest.approx(f1)
    assert fold.history[-1]["valid_kappa"] == pytest.approx(kappa(found.labels, found.probabilities))
    numbers = result.to_dict()
    assert numbers["metrics"]["macro_f1"] == pytest.approx(f1)
    assert numbers["metrics"]["kappa"] == pytest.approx(kappa(found.labels, found.probabilities))
    assert numbers["per_class"]["sea"]["support"] == int((found.labels == 1).sum())
    assert "inner_kappa" not in fold.history[-1]


def test_monitor_can_be_any_metric(scenery: Path, tmp_path: Path) -> None:
    result = run(scenery, tmp_path, monitor="valid_roc_auc", epoch="best")
    (fold,) = result.results
    areas = [row["inner_roc_auc"] for row in fold.history]
    assert fold.epoch == int(np.argmax(areas)) + 1
    with pytest.raises(UsageError, match="it is not known whether a higher valid_cost is better"):
        run(scenery, tmp_path, monitor="valid_cost", metrics=[_named("cost")])
    with pytest.raises(UsageError, match="no metric"):
        run(scenery, tmp_path, metrics=["macro_f2"])


class Adds(Callback):
    metric_names = ("valid_gain", "inner_gain")

    def on_epoch_end(self, state: State) -> None:
        row = state.history[-1]
        row["valid_gain"], row["inner_gain"] = 1.0, [0.1, 0.9, 0.5][state.epoch - 1]


def test_monitor_can_be_a_metric_of_a_callback(scenery: Path, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"monitor": "valid_gain", "epoch": "best", "callbacks": [Adds()]}
    assert run(scenery, tmp_path, monitor_mode="max", **fields).results[0].epoch == 2
    assert run(scenery, tmp_path, monitor_mode="min", **fields).results[0].epoch == 1


def test_users_metric_that_fails_is_named(scenery: Path, tmp_path: Path) -> None:
    with pytest.raises(UserCodeError, match="metrics metric failed at") as caught:
        run(scenery, tmp_path, metrics=[_named("broken", fails=True)])
    assert "(labels (N,), probabilities (N, classes)) -> number" in caught.value.fix
    assert "ZeroDivisionError" in caught.value.why
    with pytest.raises(UserCodeError, match="returned"):
        run(scenery, tmp_path, metrics=[lambda labels, probabilities: "much"])


def _named(name: str, fails: bool = False) -> Any:
    def metric(labels: Any, probabilities: Any) -> float:
        return 1 / 0 if fails else 0.5

    metric.__name__ = name
    return metric
