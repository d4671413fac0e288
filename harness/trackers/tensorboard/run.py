"""A run's event files."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from harness.trackers.run_folder import RunFolder
from harness.trackers.tensorboard import hparams

SIDES = ("train", "valid")
NO_QUANTITY = {"fold", "time", "step", "epoch", "lr"}


class TensorBoard:
    """Writes what the run folder holds: the folder itself is the run, `fold1/train` and `fold1/valid` are below it.

    One quantity has one name on both sides of a fold, so that TensorBoard draws them on one chart. Each method has its
    events on disk when it returns. Raises whatever the tool or the disk does.
    """

    def __init__(self, folder: RunFolder) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder
        self._new_writer = SummaryWriter
        self._writers: dict[str, Any] = {}

    def start(self) -> None:
        """The run's page of hyperparameters, and its whole configuration as text."""
        root = self._writer(".")
        record = self._folder.record
        title = f"{record['name']}/{self._folder.id}"
        for summary in hparams.start(record["experiment"], title, _seconds(record)):
            root.file_writer.add_summary(summary)
        root.add_text("experiment", _table(record["experiment"]))
        root.flush()

    def epoch(self, row: Mapping[str, Any]) -> None:
        """A row of `metrics.jsonl`; with a fold's first one, the first batch."""
        fold, step, at = f"fold{row['fold']}", row["epoch"], row["time"]
        train = self._writer(f"{fold}/train")
        if row.get("lr") is not None:
            train.add_scalar("learning_rate", row["lr"], step, at)
        for name, value in row.items():
            side, quantity = _side(name)
            if value is not None and name not in NO_QUANTITY and quantity not in ("examples", "seconds"):
                self._writer(f"{fold}/{side}").add_scalar(quantity, value, step, at)
        for side in SIDES:
            if row.get(f"{side}_seconds"):
                rate = row[f"{side}_examples"] / row[f"{side}_seconds"]
                self._writer(f"{fold}/{side}").add_scalar("images_per_second", rate, step, at)
        if step == 1:
            _add_png(train, "first batch", self._folder.plots / f"{fold}-batch.png", step, at)
        self._flush()

    def fold_ended(self, fold: int) -> None:
        """The confusion matrix and the precision-recall curves of a fold."""
        (step,) = (found["best_epoch"] for found in self._folder.record["folds"] if found["fold"] == fold)
        writer = self._writer(f"fold{fold}/valid")
        for name in ("confusion", "confusion_normalised"):
            _add_png(writer, name, self._folder.plots / f"fold{fold}-{name}.png", step)
        rows = [p for p in self._folder.predictions() if p.fold == fold]
        for place, name in enumerate(self._folder.classes):
            truth = np.array([p.label == name for p in rows])
            scores = np.array([p.probabilities[place] for p in rows])
            writer.add_pr_curve(f"precision_recall/{name}", truth, scores, step)
        self._flush()

    def results(self) -> None:
        """The run's numbers so far, a step for each fold that has ended."""
        root = self._writer(".")
        for name, value in self._folder.results().items():
            root.add_scalar(hparams.metric_tag(name), value, len(self._folder.record["folds"]))
        root.flush()

    def end(self) -> None:
        """The run's plots, and that it has ended. Closes the files."""
        root = self._writer(".")
        for path in sorted(self._folder.plots.glob("*.png")):
            if not path.name.startswith("fold"):
                _add_png(root, f"run/{path.stem}", path, 0)
        record = self._folder.record
        ended = _seconds(record) + (record.get("run_seconds") or 0.0)
        root.file_writer.add_summary(hparams.end(self._folder.status, ended))
        for writer in self._writers.values():
            writer.close()

    def _writer(self, name: str) -> Any:
        if name not in self._writers:
            self._writers[name] = self._new_writer(os.fspath(self._folder.path / name))
        return self._writers[name]

    def _flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()


def write_again(folder: RunFolder) -> None:
    """The event files of a run that has ended, made anew from its plain files."""
    for path in event_files(folder.path):
        path.unlink()
    board = TensorBoard(folder)
    board.start()
    for row in folder.epochs():
        board.epoch(row)
    for found in folder.record.get("folds", []):
        board.fold_ended(found["fold"])
    board.results()
    board.end()


def event_files(path: Path) -> list[Path]:
    """Those of one run."""
    return [file for pattern in ("", "fold*/*/") for file in path.glob(f"{pattern}events.out.tfevents.*")]


def _side(name: str) -> tuple[str, str]:
    """`valid_loss` -> ("valid", "loss"); what a callback added under another name goes with training."""
    side, _, quantity = name.partition("_")
    return (side, quantity) if side in SIDES else ("train", name)


def _seconds(record: Mapping[str, Any]) -> float:
    """When the run began, since 1970."""
    return datetime.fromisoformat(record["started"]).timestamp()


def _table(experiment: Mapping[str, Any]) -> str:
    return "\n".join(["field | value", "--- | ---", *(f"{name} | `{value}`" for name, value in experiment.items())])


def _add_png(writer: Any, tag: str, path: Path, step: int, at: float | None = None) -> None:
    """A picture as the very bytes of its file; none where it could not be drawn."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    if path.is_file():
        content = path.read_bytes()
        width, height = struct.unpack(">II", content[16:24])  # where every PNG has them
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
        writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step, at)
