"""Image classification experiments in plain PyTorch. A public name is imported when it is first used."""

from __future__ import annotations

import importlib
import os
import time
from typing import TYPE_CHECKING, Any

from harness.version import __version__

if TYPE_CHECKING:
    from harness.api.compare import compare
    from harness.api.export import export
    from harness.api.model import Model, load_model
    from harness.api.predictions import PredictionList
    from harness.api.result import Run, Test, open_run
    from harness.api.run import run
    from harness.api.search import StudyRun, search
    from harness.api.test import test
    from harness.cli.main import run_file
    from harness.config.experiment import Experiment
    from harness.config.experiment_file import load
    from harness.engine.callbacks import (
        EarlyStopping,
        EpochLog,
        FitCheckpoint,
        GradientClipping,
        KeptPredictions,
        LearningRateSchedule,
        ModelCheckpoint,
        ProgressBar,
        TerminateOnNaN,
    )
    from harness.engine.trainer import Callback, State, Trainer
    from harness.errors import HarnessError
    from harness.training.first_batch import FirstBatch
    from harness.training.fit import FoldResult, train
    from harness.training.plan import Plan
    from harness.tuning.asked_trial import fixed_trial
    from harness.workflows.crossval import CrossValidation, cross_validate
    from harness.workflows.make_plan import make_plan
    from harness.workflows.predict.prediction import Prediction

STARTED = time.perf_counter()  # close to the start of the process; a run reports the seconds since then

# Must be set before torch is imported. By default, OpenMP threads wait for each other in a busy loop. If other programs
# use the same cores, an epoch then takes 20 to 100 times as long: the waiting thread occupies the core that the other
# thread needs. With GOMP_SPINCOUNT, GNU's threads spin for some microseconds only, because to sleep and wake takes even
# longer. `scripts/benchmark crowd` measures this.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

_HOMES = {
    "Callback": "engine.trainer",
    "CrossValidation": "workflows.crossval",
    "EarlyStopping": "engine.callbacks",
    "EpochLog": "engine.callbacks",
    "Experiment": "config.experiment",
    "FirstBatch": "training.first_batch",
    "FitCheckpoint": "engine.callbacks",
    "FoldResult": "training.fit",
    "GradientClipping": "engine.callbacks",
    "HarnessError": "errors",
    "KeptPredictions": "engine.callbacks",
    "LearningRateSchedule": "engine.callbacks",
    "Model": "api.model",
    "ModelCheckpoint": "engine.callbacks",
    "Plan": "training.plan",
    "Prediction": "workflows.predict.prediction",
    "PredictionList": "api.predictions",
    "ProgressBar": "engine.callbacks",
    "Run": "api.result",
    "State": "engine.trainer",
    "StudyRun": "api.search",
    "TerminateOnNaN": "engine.callbacks",
    "Test": "api.result",
    "Trainer": "engine.trainer",
    "compare": "api.compare",
    "cross_validate": "workflows.crossval",
    "export": "api.export",
    "fixed_trial": "tuning.asked_trial",
    "load": "config.experiment_file",
    "load_model": "api.model",
    "make_plan": "workflows.make_plan",
    "open_run": "api.result",
    "run": "api.run",
    "run_file": "cli.main",
    "search": "api.search",
    "test": "api.test",
    "train": "training.fit",
}

__all__ = [
    "Callback",
    "CrossValidation",
    "EarlyStopping",
    "EpochLog",
    "Experiment",
    "FirstBatch",
    "FitCheckpoint",
    "FoldResult",
    "GradientClipping",
    "HarnessError",
    "KeptPredictions",
    "LearningRateSchedule",
    "Model",
    "ModelCheckpoint",
    "Plan",
    "Prediction",
    "PredictionList",
    "ProgressBar",
    "Run",
    "State",
    "StudyRun",
    "TerminateOnNaN",
    "Test",
    "Trainer",
    "__version__",
    "compare",
    "cross_validate",
    "export",
    "fixed_trial",
    "load",
    "load_model",
    "make_plan",
    "open_run",
    "run",
    "run_file",
    "search",
    "test",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module(f"harness.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
