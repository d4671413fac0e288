"""Plain-PyTorch experiments for classifying images in folders. Public names are resolved when they are first used."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

from harness.version import __version__

if TYPE_CHECKING:
    from harness.callbacks import (
        BestPredictions,
        EarlyStopping,
        EpochLog,
        FirstBatch,
        GradientClipping,
        LearningRateSchedule,
        ModelCheckpoint,
        ProgressBar,
        TerminateOnNaN,
    )
    from harness.cli.main import run_file
    from harness.crossval import CrossValidation, cross_validate
    from harness.engine import Callback, State, Trainer
    from harness.errors import HarnessError
    from harness.experiment import Experiment
    from harness.experiment_file import load
    from harness.plan import Plan, make_plan
    from harness.run import Result, train

STARTED = time.perf_counter()  # as near as can be to the start of the process, for the seconds that a run reports

_HOMES = {
    "BestPredictions": "callbacks",
    "Callback": "engine",
    "CrossValidation": "crossval",
    "EarlyStopping": "callbacks",
    "EpochLog": "callbacks",
    "Experiment": "experiment",
    "FirstBatch": "callbacks",
    "GradientClipping": "callbacks",
    "HarnessError": "errors",
    "LearningRateSchedule": "callbacks",
    "ModelCheckpoint": "callbacks",
    "Plan": "plan",
    "ProgressBar": "callbacks",
    "Result": "run",
    "State": "engine",
    "TerminateOnNaN": "callbacks",
    "Trainer": "engine",
    "cross_validate": "crossval",
    "load": "experiment_file",
    "make_plan": "plan",
    "run_file": "cli.main",
    "train": "run",
}

__all__ = [
    "BestPredictions",
    "Callback",
    "CrossValidation",
    "EarlyStopping",
    "EpochLog",
    "Experiment",
    "FirstBatch",
    "GradientClipping",
    "HarnessError",
    "LearningRateSchedule",
    "ModelCheckpoint",
    "Plan",
    "ProgressBar",
    "Result",
    "State",
    "TerminateOnNaN",
    "Trainer",
    "__version__",
    "cross_validate",
    "load",
    "make_plan",
    "run_file",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module(f"harness.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
