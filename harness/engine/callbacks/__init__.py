"""Callbacks for `Trainer`, one per file. They are called in the order of the list."""

from harness.engine.callbacks.early_stopping import EarlyStopping
from harness.engine.callbacks.epoch_log import EpochLog
from harness.engine.callbacks.fit_checkpoint import FitCheckpoint
from harness.engine.callbacks.gradient_clipping import GradientClipping
from harness.engine.callbacks.kept_predictions import KeptPredictions
from harness.engine.callbacks.learning_rate import LearningRateSchedule
from harness.engine.callbacks.model_checkpoint import ModelCheckpoint
from harness.engine.callbacks.progress import ProgressBar
from harness.engine.callbacks.terminate_on_nan import TerminateOnNaN

__all__ = [
    "EarlyStopping",
    "EpochLog",
    "FitCheckpoint",
    "GradientClipping",
    "KeptPredictions",
    "LearningRateSchedule",
    "ModelCheckpoint",
    "ProgressBar",
    "TerminateOnNaN",
]
