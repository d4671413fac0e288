"""Writes a run's event files."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Any

from harness.errors import StorageError, storage_errors
from harness.runs.records import RunRecord
from harness.runs.run_folder import RunFolder
from harness.trackers.tensorboard import hparams
from harness.trackers.tensorboard.events import Events
from harness.util.escape import code, markdown
from harness.util.files import as_text
from harness.util.schema import is_inside

SPLITS = ("train", "inner", "valid")
PNG = b"\x89PNG\r\n\x1a\n"  # the first bytes of each PNG file
CURVES = 20  # precision-recall curves in a fold, one for each class; more are not readable
NO_QUANTITY = {"fold", "time", "step", "epoch"}


class TensorBoard:
    """Writes what the run folder holds.

    The run folder itself is a run in TensorBoard. Below it are `fold1/train`, `fold1/valid` and, if there is an inner
    part, `fold1/inner`. A quantity has the same name in each split of a fold, so that TensorBoard draws them in one
    chart. Each method has its events on disk when it returns. Raises any error of TensorBoard or the disk.
    """

    def __init__(self, folder: RunFolder) -> None:
        from torch.utils.tensorboard import summary

        self._folder = folder
        self._summary: Any = summary
        self._files: dict[str, Events] = {}
        self._before = event_files(folder.path)  # of the same run, from before it was interrupted

    def start(self) -> None:
        """Writes the run's hyperparameters, its whole configuration as text, and all its results so far.

        After that, earlier event files can be removed (`remove_old`). A TensorBoard that has read those reads the run
        again: see `Events`.
        """
        root, record = self._events("."), self._folder.record
        title = f"{record.name}/{self._folder.id}"
        if record.study:  # TensorBoard averages the results of rows with the same name
            title = f"trial {record.study.trial:03d} of {record.name}/{record.study.name}"
        for summary in hparams.start(record.experiment, title, _seconds(record)):
            root.add(summary)
        root.add(self._summary.text("experiment", _table(record.experiment)))
        if record.caveat:
            root.add(self._summary.text("caution", markdown(record.caveat.removeprefix("; "))))
        for row in self._folder.epochs():
            self.epoch(row)
        for entry in record.folds:
            self.fold_ended(entry.fold)
        self.results()

    def remove_old(self) -> None:
        """Removes the earlier event files, after their content was written again. Raises StorageError."""
        for path in self._before:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(
                    f"{path} cannot be removed",
                    f"{error.strerror}; TensorBoard shows its epochs twice until it is removed",
                    f"rm {quote(str(path))}, as its owner",
                ) from error

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Writes a row of `metrics.jsonl`; with a fold's first row, also the image of its first batch."""
        fold, step, at = f"fold{row['fold']}", row["epoch"], row["time"]
        scalars = []
        for name, value in row.items():
            split, quantity = _split(name)
            if name not in NO_QUANTITY and quantity not in ("examples", "seconds"):
                scalars.append((split, quantity, value))
        for split in SPLITS:
            if row.get(f"{split}_seconds") and row.get(f"{split}_examples"):
                scalars.append((split, "images_per_second", row[f"{split}_examples"] / row[f"{split}_seconds"]))
        for split, quantity, value in scalars:
            if value is not None:
                self._events(f"{fold}/{split}").add(self._summary.scalar(quantity, value), step, at)
        if step == 1:
            self._add_png(f"{fold}/train", "first batch", self._folder.plots / f"{fold}-batch.png", step, at)

    def fold_ended(self, fold: int) -> None:
        """Writes the confusion matrix and the precision-recall curves of a fold."""
        (step,) = (entry.epoch for entry in self._folder.record.folds if entry.fold == fold)
        split = f"fold{fold}/valid"
        for name in ("confusion", "confusion_normalised"):
            self._add_png(split, name, self._folder.plots / f"fold{fold}-{name}.png", step)
        own = self._folder.predictions(fold)
        for position, name in enumerate(own.classes[:CURVES]):
            truth, scores = own.labels == position, own.probabilities[:, position]
            curve = self._summary.pr_curve(f"precision_recall/{as_text(name)}", truth, scores)
            self._events(split).add(curve, step)

    def results(self) -> None:
        """Writes the run's results so far; the step is the number of folds that have ended."""
        for name, value in self._folder.results().items():
            summary = self._summary.scalar(hparams.metric_tag(name), value)
            self._events(".").add(summary, len(self._folder.record.folds))

    def end(self) -> None:
        """Writes the run's plots and its final status, then closes the files."""
        for path in self._folder.pictures():
            if not path.name.startswith("fold"):
                self._add_png(".", f"run/{path.stem}", path, 0)
        record = self._folder.record
        ended = _seconds(record) + (record.run_seconds or 0.0)
        self._events(".").add(hparams.end(self._folder.status, ended))
        self.close()

    def close(self) -> None:
        """Closes the files without writing more."""
        for events in self._files.values():
            events.close()

    def _events(self, name: str) -> Events:
        if name not in self._files:
            self._files[name] = Events(self._folder.inside(f"{name}/events").parent, again=bool(self._before))
        return self._files[name]

    def _add_png(self, name: str, tag: str, path: Path, step: int, at: float | None = None) -> None:
        """Writes a plot's PNG file unchanged; does nothing if the plot could not be drawn."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        if path.is_file() and is_inside(path, self._folder.path):
            content = path.read_bytes()
            if not content.startswith(PNG) or len(content) < 24:
                return  # incomplete, or not a PNG file
            width, height = struct.unpack(">II", content[16:24])  # at the same place in each PNG
            image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
            self._events(name).add(Summary(value=[Summary.Value(tag=tag, image=image)]), step, at)


def write_again(folder: RunFolder) -> None:
    """Writes the event files of an ended run again from its other files, then removes the old ones.

    Raises StorageError if they cannot be written; the old ones stay then.
    """
    board = TensorBoard(folder)
    before = {*event_files(folder.path)}
    with storage_errors(folder.path / "events.out.tfevents.*"):
        try:
            board.start()
            board.end()
        except BaseException:
            board.close()
            for path in {*event_files(folder.path)} - before:
                with contextlib.suppress(OSError):
                    path.unlink()
            raise
    board.remove_old()


def event_files(path: Path) -> list[Path]:
    """The event files of one run, without those behind a link that points outside its folder."""
    files = [file for pattern in ("", "fold*/*/") for file in path.glob(f"{pattern}events.out.tfevents.*")]
    return [file for file in files if is_inside(file, path)]


def _split(name: str) -> tuple[str, str]:
    """`valid_loss` -> ("valid", "loss"); a callback's metric with another name belongs to "train"."""
    from harness.engine.rates import is_rate  # imports torch

    if is_rate(name):
        return "train", f"learning_rate{name.removeprefix('lr')}"
    split, _, quantity = name.partition("_")
    return (split, quantity) if split in SPLITS else ("train", name)


def _seconds(record: RunRecord) -> float:
    """When the run began, in seconds since 1970."""
    return datetime.fromisoformat(record.started).timestamp()


def _table(experiment: Mapping[str, Any]) -> str:
    rows = (f"{markdown(name)} | {code(as_text(str(value)))}" for name, value in experiment.items())
    return "\n".join(["field | value", "--- | ---", *rows])
