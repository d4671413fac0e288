"""Measures the time that tracking adds to an epoch over tensors in memory.

The speed of a machine varies more than this time. So one fit alternates, a few epochs each: with both trackers, and
without, when the process that sends to MLflow is stopped and nothing is written for TensorBoard.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path

import torch

from harness.config.experiment import Experiment
from harness.engine.callbacks import EpochLog
from harness.engine.trainer import Callback, State, Trainer
from harness.models.build import build
from harness.runs.record_parts import DataRecord, SplitSizes, Status
from harness.runs.records import RunRecord
from harness.runs.run_folder import RunFolder, now
from harness.trackers.follower import Follower
from harness.trackers.mlflow.store import require_usable
from harness.trackers.tracking import Tracking

IMAGES, SIZE, BATCH = 949, 64, 32
START = 10  # epochs during which the other process still imports MLflow and torch; counted separately
BLOCK, BLOCKS = 3, 30


class InTurn(Callback):
    """Enables the trackers in every second block of epochs, from the first. `seconds` has the seconds of each block."""

    def __init__(self, tracking: Tracking, log: EpochLog, follower: int) -> None:
        self._tracking, self._log, self._follower = tracking, log, follower
        self._on, self._began = True, 0.0
        self.starting: list[float] = []
        self.seconds: list[list[float]] = []

    def on_epoch_start(self, state: State) -> None:
        position = state.epoch - 1 - START
        if position >= 0 and position % BLOCK == 0:
            self._on = position // BLOCK % 2 == 0
            os.kill(self._follower, signal.SIGCONT if self._on else signal.SIGSTOP)
            self.seconds.append([])
        self._began = time.perf_counter()

    def on_epoch_end(self, state: State) -> None:
        if self._on:
            self._tracking.epoch_ended(self._log.row)
        (self.seconds[-1] if self.seconds else self.starting).append(time.perf_counter() - self._began)

    def on_fit_end(self, state: State) -> None:
        os.kill(self._follower, signal.SIGCONT)


def main() -> None:
    os.chdir(tempfile.mkdtemp())
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path('mlflow.db').resolve()}"
    require_usable(os.environ["MLFLOW_TRACKING_URI"])
    torch.manual_seed(0)
    images, labels = torch.randn(IMAGES, 3, SIZE, SIZE), torch.arange(IMAGES) % 2
    batches = list(zip(images.split(BATCH), labels.split(BATCH), strict=True))
    train, valid = batches[: 2 * len(batches) // 3], batches[2 * len(batches) // 3 :]
    experiment = Experiment(name="benchmark", data="memory", model="small_cnn", weights=None)
    record = RunRecord(
        name="benchmark",
        status=Status.RUNNING,
        started=now(),
        experiment=experiment.to_dict(),
        data=DataRecord("memory", IMAGES, {"a": 475, "b": 474}, "0" * 32),
        splits={"1": SplitSizes(2 * IMAGES // 3, IMAGES // 3)},
    )
    run = RunFolder.create(Path(), record)
    follower, log = Follower(), EpochLog(run.metrics)
    tracking = Tracking(run, ("tensorboard", "mlflow"), follower)
    turns = InTurn(tracking, log, follower.pid)
    model = build("small_cnn", 2, (3, SIZE, SIZE))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    Trainer(callbacks=[log, turns], device="cpu").fit(model, optimizer, train, valid, START + BLOCK * BLOCKS)
    run.update(status=Status.FINISHED)
    tracking.close()
    pairs = [
        (statistics.mean(a), statistics.mean(b)) for a, b in zip(turns.seconds[::2], turns.seconds[1::2], strict=True)
    ]
    figures = {
        "seconds an epoch, both": statistics.median(both for both, _ in pairs),
        "seconds an epoch, none": statistics.median(none for _, none in pairs),
        "both over none": statistics.median(both / none for both, none in pairs),
        "seconds per epoch while MLflow is imported": statistics.median(turns.starting[:3]),
    }
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}, indent=2))


if __name__ == "__main__":
    main()
