"""What a person sees who types the name of a result: at most a screen, in a terminal and in a notebook."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import harness
from harness.tuning.result import StudyResult
from tests.predicted import lay_test, predicted

CALLBACKS = {
    "EarlyStopping": (),
    "FitCheckpoint": (Path("a.pt"),),
    "GradientClipping": (1.0,),
    "ModelCheckpoint": (Path("a.pt"),),
}


def require_short(value: object) -> None:
    text = repr(value)
    assert len(text) < 1000, text[:2000]
    assert len(text.splitlines()) <= 20
    assert type(value).__name__ in text


@pytest.fixture
def made(project: Path, scenery: Path) -> dict[str, Any]:
    """An object of each public class that has results, by class."""
    states: list[harness.State] = []

    class Keeps(harness.Callback):
        def on_epoch_end(self, state: harness.State) -> None:
            states.append(state)

        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            """Nothing."""

    experiment = harness.load("experiments/tiny.py").replace(callbacks=[Keeps()])
    plan = harness.make_plan(experiment)
    result = harness.cross_validate(plan)
    run = harness.open_run(result.run_dir)
    model = run.model()
    images = sorted(scenery.rglob("*.jpg"))[:9] * 3
    predictions = model.predict(images)
    return {
        "CrossValidation": result,
        "Experiment": experiment,
        "FoldResult": result.results[0],
        "Model": model,
        "Plan": plan,
        "Prediction": predictions[0],
        "PredictionList": predictions,
        "Predictions": result.predictions,
        "Run": run,
        "State": states[-1],
        "StudyRun": harness.StudyRun(cast("Any", run), StudyResult((), (), (), None, None, "", ())),
        "Test": harness.open_run(lay_test(project / "runs", predicted("+-")).path),
        "Trainer": harness.Trainer(),
    }


def test_repr_of_each_result_fits_a_screen(made: dict[str, Any]) -> None:
    for name, value in made.items():
        assert type(value).__name__ == name
        require_short(value)
    assert "accuracy" in repr(made["CrossValidation"])
    assert "folds" in repr(made["CrossValidation"])
    assert "lr=" not in repr(made["Experiment"])  # a field that is not set
    assert "epochs=" in repr(made["Experiment"])
    assert "valid_loss" in repr(made["State"])
    assert repr(made["PredictionList"]).count("Prediction(") == 5
    made["State"].was_read.clear()
    repr(made["State"])
    assert not made["State"].was_read  # it is no use of a metric, by which a callback would steer


def test_repr_of_each_callback_fits_a_screen() -> None:
    kinds = [
        kind
        for name in harness.__all__
        if inspect.isclass(kind := getattr(harness, name)) and issubclass(kind, harness.Callback)
    ]
    assert len(kinds) > 8
    for kind in kinds:
        try:
            value = kind(*CALLBACKS.get(kind.__name__, ()))
        except TypeError:
            value = object.__new__(kind)
        require_short(value)


def test_repr_of_long_values_is_cut() -> None:
    columns = tuple(f"path={'f' * 90}{i}" for i in range(90))
    require_short(harness.Experiment(name="a", data="d" * 3000, columns=columns))
    require_short(harness.Prediction(tuple("ab" * 900 for _ in range(2)), np.array([0.4, 0.6]), "p" * 3000))
    require_short(harness.HarnessError("w" * 4000, "y" * 4000, "f" * 4000))
    require_short(harness.PredictionList([harness.Prediction(("a" * 500, "b"), np.array([0.4, 0.6]))] * 1000))
    assert repr(harness.PredictionList()) == "PredictionList(0 images)"


def test_every_public_class_is_tested_here(made: dict[str, Any]) -> None:
    classes = {name for name in harness.__all__ if inspect.isclass(getattr(harness, name))}
    callbacks = {name for name in classes if issubclass(getattr(harness, name), harness.Callback)}
    assert classes - callbacks - {*made} == {"HarnessError"}
