"""A run's event files."""

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

SIDES = ("train", "inner", "valid")
PNG = b"\x89PNG\r\n\x1a\n"
CURVES = 20  # classes with their own precision-recall curve in a fold; nobody looks at more
NO_QUANTITY = {"fold", "time", "step", "epoch"}


class TensorBoard:
    """Writes what the run folder holds: the folder itself is the run, `fold1/train`, `fold1/valid` and, if there is
    an inner part, `fold1/inner` are below it.

    One quantity has one name on both sides of a fold, so that TensorBoard draws them on one chart. Each method has its
    events on disk when it returns. Raises whatever the tool or the disk does.
    """

    def __init__(self, folder: RunFolder) -> None:
        from torch.utils.tensorboard import summary

        self._folder = folder
        self._summary: Any = summary
        self._files: dict[str, Events] = {}
        self._before = event_files(folder.path)  # of the same run, before it was cut off

    def start(self) -> None:
        """The run's page of hyperparameters, its whole configuration as text, and all that it has found already.

        Event files of before can go then: `remove_old`. A TensorBoard that has read them begins again: see `Events`.
        """
        root, record = self._events("."), self._folder.record
        title = f"{record.name}/{self._folder.id}"
        if record.study:  # rows of one name are taken for one, and their numbers averaged
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
        """Removes the event files of before, once all that they held is in the new ones. Raises StorageError."""
        for path in self._before:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(
                    f"{path} cannot be removed",
                    f"{error.strerror}; its epochs are in TensorBoard twice until then",
                    f"rm {quote(str(path))}, as its owner",
                ) from error

    def epoch(self, row: Mapping[str, Any]) -> None:
        """A row of `metrics.jsonl`; with a fold's first one, the first batch."""
        fold, step, at = f"fold{row['fold']}", row["epoch"], row["time"]
        scalars = []
        for name, value in row.items():
            side, quantity = _side(name)
            if name not in NO_QUANTITY and quantity not in ("examples", "seconds"):
                scalars.append((side, quantity, value))
        for side in SIDES:
            if row.get(f"{side}_seconds") and row.get(f"{side}_examples"):
                scalars.append((side, "images_per_second", row[f"{side}_examples"] / row[f"{side}_seconds"]))
        for side, quantity, value in scalars:
            if value is not None:
                self._events(f"{fold}/{side}").add(self._summary.scalar(quantity, value), step, at)
        if step == 1:
            self._add_png(f"{fold}/train", "first batch", self._folder.plots / f"{fold}-batch.png", step, at)

    def fold_ended(self, fold: int) -> None:
        """The confusion matrix and the precision-recall curves of a fold."""
        (step,) = (entry.epoch for entry in self._folder.record.folds if entry.fold == fold)
        side = f"fold{fold}/valid"
        for name in ("confusion", "confusion_normalised"):
            self._add_png(side, name, self._folder.plots / f"fold{fold}-{name}.png", step)
        own = self._folder.predictions(fold)
        for position, name in enumerate(own.classes[:CURVES]):
            truth, scores = own.labels == position, own.probabilities[:, position]
            curve = self._summary.pr_curve(f"precision_recall/{as_text(name)}", truth, scores)
            self._events(side).add(curve, step)

    def results(self) -> None:
        """The run's numbers so far, a step for each fold that has ended."""
        for name, value in self._folder.results().items():
            summary = self._summary.scalar(hparams.metric_tag(name), value)
            self._events(".").add(summary, len(self._folder.record.folds))

    def end(self) -> None:
        """The run's plots, and that it has ended. Closes the files."""
        for path in self._folder.pictures():
            if not path.name.startswith("fold"):
                self._add_png(".", f"run/{path.stem}", path, 0)
        record = self._folder.record
        ended = _seconds(record) + (record.run_seconds or 0.0)
        self._events(".").add(hparams.end(self._folder.status, ended))
        self.close()

    def close(self) -> None:
        """Closes the files as they are."""
        for events in self._files.values():
            events.close()

    def _events(self, name: str) -> Events:
        if name not in self._files:
            self._files[name] = Events(self._folder.inside(f"{name}/events").parent, again=bool(self._before))
        return self._files[name]

    def _add_png(self, name: str, tag: str, path: Path, step: int, at: float | None = None) -> None:
        """A picture as the very bytes of its file; none where it could not be drawn."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        if path.is_file() and is_inside(path, self._folder.path):
            content = path.read_bytes()
            if not content.startswith(PNG) or len(content) < 24:
                return  # cut short, or something else under that name
            width, height = struct.unpack(">II", content[16:24])  # where every PNG has them
            image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
            self._events(name).add(Summary(value=[Summary.Value(tag=tag, image=image)]), step, at)


def write_again(folder: RunFolder) -> None:
    """The event files of a run that has ended, written again from its plain files; the old ones go once all are there.

    Raises StorageError if they cannot be written, and then leaves the old ones as they were.
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
    """Those of one run, and none behind a link that leads out of its folder."""
    files = [file for pattern in ("", "fold*/*/") for file in path.glob(f"{pattern}events.out.tfevents.*")]
    return [file for file in files if is_inside(file, path)]


def _side(name: str) -> tuple[str, str]:
    """`valid_loss` -> ("valid", "loss"); what a callback added under another name goes with training."""
    from harness.engine.rates import is_rate  # with torch

    if is_rate(name):
        return "train", f"learning_rate{name.removeprefix('lr')}"
    side, _, quantity = name.partition("_")
    return (side, quantity) if side in SIDES else ("train", name)


def _seconds(record: RunRecord) -> float:
    """When the run began, since 1970."""
    return datetime.fromisoformat(record.started).timestamp()


def _table(experiment: Mapping[str, Any]) -> str:
    rows = (f"{markdown(name)} | {code(as_text(str(value)))}" for name, value in experiment.items())
    return "\n".join(["field | value", "--- | ---", *rows])
