"""Callbacks for `Trainer`, one file each. Their order in the list is the order of their calls, and nothing else."""

from harness.callbacks.best_predictions import BestPredictions
from harness.callbacks.early_stopping import EarlyStopping
from harness.callbacks.epoch_log import EpochLog
from harness.callbacks.first_batch import FirstBatch
from harness.callbacks.gradient_clipping import GradientClipping
from harness.callbacks.learning_rate import LearningRateSchedule
from harness.callbacks.model_checkpoint import ModelCheckpoint
from harness.callbacks.progress import ProgressBar
from harness.callbacks.terminate_on_nan import TerminateOnNaN

__all__ = [
    "BestPredictions",
    "EarlyStopping",
    "EpochLog",
    "FirstBatch",
    "GradientClipping",
    "LearningRateSchedule",
    "ModelCheckpoint",
    "ProgressBar",
    "TerminateOnNaN",
]
