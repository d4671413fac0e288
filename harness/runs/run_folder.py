"""`runs/<experiment>/<yyyymmdd-hhmmss>-<id>/`: writes the files of a run while it runs, and reads them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import UsageError, storage_errors
from harness.evaluation.predictions import Predictions
from harness.runs import trust
from harness.runs.folder import Folder
from harness.runs.place import new_folder, new_id, replacing
from harness.runs.predictions import CSV, FOLDER, PARQUET, read_array_file, read_csv, write_array_file, write_table
from harness.runs.record_file import read_record
from harness.runs.record_parts import FoldRecord, RefitRecord, Status
from harness.runs.records import Epoch, RunRecord, TestRecord
from harness.util.console_log import keep_output_in
from harness.util.files import write_whole
from harness.util.processes import this_process
from harness.util.schema import SchemaError, is_inside, quoted, require_inside, schema_of, validate

COMPLETE = "complete"  # the state of a tracker that has the whole run
LEFT = (  # patterns of the files that a run writes
    *("plots/*.png", "checkpoints/*.pt", f"{FOLDER}/*.npz"),
    *("events.out.tfevents.*", "fold*/*/events.out.tfevents.*", "console.log", "console-worker-*.log"),
)
RESULTS = ("accuracy", "interval_low", "interval_high", "loss", "fit_seconds")  # the numbers that compare runs


class RunFolder(Folder[RunRecord]):
    """The folder of a run: `run.json`, `metrics.jsonl`, `predictions/` and more. Writing raises StorageError."""

    FILE = "run.json"
    FILES = ("run.json", "metrics.jsonl", "refit.jsonl", "metrics.json", CSV, PARQUET, "experiment.py", "report.html")
    _predictions: dict[int, Predictions] | None = None  # by fold; None before the first read or write

    @classmethod
    def create(cls, runs: Path, record: RunRecord, path: Path | None = None) -> RunFolder:
        """Makes the folder of a run that starts now in this process.

        Args:
            runs: The folder of all runs. The new folder is in `runs/NAME`.
            record: The record before the start. Its id and its process are added.
            path: Another folder to write to, new or not. The files of an earlier run in it are removed.

        Raises:
            UsageError: A run in `path` is still running, or `path` has other files.
            StorageError: The folder cannot be written.
        """
        with contextlib.ExitStack() as stack:
            if path is None:
                own, path = new_folder(runs, record.name)
            else:
                own = new_id()
                stack.enter_context(replacing(path, record.kind))
                if record.study is None:  # the study decides which process trains a trial
                    cls._require_ended(path)
            with storage_errors(path):
                (path / "plots").mkdir(parents=True, exist_ok=True)
                for old in (*(path / name for name in cls.FILES), *(file for glob in LEFT for file in path.glob(glob))):
                    if is_inside(old.parent / "-", path):  # harness does not own files behind a link
                        old.unlink(missing_ok=True)
            folder = cls(path, dataclasses.replace(record, id=own, **this_process()))
            folder.update()
        keep_output_in(path)  # of a trial, it is in the study's folder already
        trust.remember_run(own, record.data.folder)
        return folder

    @classmethod
    def _require_ended(cls, path: Path) -> None:
        """Raises UsageError if another process is running the run in a folder."""
        try:
            before = cls.open(path)
        except UsageError:  # there is no run, or it is damaged
            return
        if before.status is Status.RUNNING and before.record.process != this_process():
            why = f"process {before.record.pid} on {before.record.host} is writing a run to it"
            raise UsageError(f"{path} is in use", why, "wait for its end, or --out with another folder")

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Opens the folder of a run. Raises UsageError if it is not a run folder, or is damaged."""
        try:
            record = read_record(RunRecord, require_inside(path / cls.FILE, path))
        except FileNotFoundError as error:
            why = "it has no run.json" if path.is_dir() else f"looked for {path.absolute()}"
            raise UsageError(f"{path} is not a run folder", why, "harness list") from error
        except (OSError, SchemaError) as error:
            raise UsageError(f"{path / cls.FILE} cannot be read", f"damaged: {error}", "harness list") from error
        return cls(path, record)

    @property
    def id(self) -> str:
        """The start time and a few random digits. It is the name of the folder, unless --out named the folder."""
        return self.record.id or self.path.resolve().name

    @property
    def typed(self) -> str:
        """What to type to name this run: its id if it is in `runs`, where commands look; otherwise its path."""
        return self.id if self.path.parts[0] == "runs" and self.path.name == self.id else str(self.path)

    @property
    def checkpoints(self) -> Path:
        """The folder of its models. Raises UsageError if this is a link that points outside."""
        return self.inside("checkpoints")

    @property
    def unfinished(self) -> Path:
        """The file with the saved state of the running fold."""
        return self.inside("checkpoints/unfinished.pt")

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.record.data.classes)

    @property
    def is_test(self) -> bool:
        """Whether this is the test of a checkpoint, which has no folds."""
        return isinstance(self.record, TestRecord)

    @property
    def was_made_here(self) -> bool:
        """Whether the run was made in this project, on the images that it names. The folder cannot fake this."""
        return trust.made_run(self.id, self.record.data.folder)

    def keep_folds(self, folds: Collection[int]) -> None:
        """Removes the predictions of all folds except `folds`."""
        for fold in {*self._read()} - {*folds}:
            self.inside(_array_file(fold)).unlink(missing_ok=True)
        self._predictions = None

    def end_fit(self, **changes: Any) -> None:
        """Records the result of the running fit, and removes its saved state."""
        self.update(**changes, progress=None)
        with storage_errors(self.unfinished):
            self.unfinished.unlink(missing_ok=True)

    def reload(self) -> None:
        """Reads `run.json` again, because another process may have changed it."""
        self.record = RunFolder.open(self.path).record
        self._predictions = None

    def record_trackers(self, states: Mapping[str, str], only: RunRecord | None = None) -> None:
        """Records the states of trackers. Keeps the changes that other processes have made to the record.

        Args:
            states: Tracker -> state. A tracker that is COMPLETE stays COMPLETE.
            only: If given, do nothing unless the run still has the process and the status of this record.
        """
        if not states:
            return
        with self.changing():
            now = self.record
            if only is None or (now.process, now.status) == (only.process, only.status):
                known = now.trackers
                incomplete = {name: state for name, state in states.items() if known.get(name) != COMPLETE}
                self.update(trackers={**known, **incomplete})

    def epochs(self) -> list[dict[str, Any]]:
        """The rows of `metrics.jsonl` without incomplete lines. Raises UsageError if a row is damaged."""
        rows, folds = [], {*self.record.splits}
        for number, line in enumerate(self._lines(), start=1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            try:
                rows.append(_checked_epoch(row, folds))
            except SchemaError as error:
                raise self._damaged(self.metrics, f"line {number}: {error}") from error
        return rows

    def write_predictions(self, predictions: Predictions) -> None:
        """Writes the predictions of one fold, and the table of all folds so far. Each file is written atomically."""
        fold = int(predictions.folds[0])
        write_array_file(self.inside(_array_file(fold)), predictions)
        self._predictions = {**self._read(), fold: predictions}
        write_table(self.path, [self._predictions[fold] for fold in sorted(self._predictions)])

    def predictions(self, fold: int | None = None) -> Predictions:
        """All predictions so far, or those of one fold; empty before it has ended. Raises UsageError if damaged."""
        parts = self._read()
        if parts and fold is not None:
            return parts.get(fold, Predictions.none(self.classes))
        if parts:
            return Predictions.join([parts[fold] for fold in sorted(parts)])
        path = self.path / CSV  # runs of version 0.1.0 have only this file
        if path.is_file() and is_inside(path, self.path):
            with self._naming(path):
                whole = self._of_its_classes(read_csv(path.read_bytes()))
            return whole if fold is None else whole.of_fold(fold)
        return Predictions.none(self.classes)

    def array_files(self) -> list[str]:
        """The array files of predictions, relative to the folder. Empty if there is a CSV table, which can be read."""
        if (self.path / CSV).is_file():
            return []
        return [str(path.relative_to(self.path)) for path in sorted(self.inside(FOLDER).glob("fold*.npz"))]

    def write_metrics(self, numbers: dict[str, Any]) -> None:
        """Writes only the numbers to `metrics.json`, atomically."""
        write_whole(self.path / "metrics.json", f"{json.dumps(numbers, indent=2)}\n".encode())

    def results(self) -> dict[str, float]:
        """RESULTS over the finished folds. The loss is the mean over images."""
        record = self.record
        if not record.folds or record.accuracy is None or record.interval is None or record.fit_seconds is None:
            return {}
        loss = sum(entry.loss * entry.n for entry in record.folds) / sum(entry.n for entry in record.folds)
        return dict(zip(RESULTS, (record.accuracy, *record.interval, loss, record.fit_seconds), strict=True))

    def best_fold(self) -> FoldRecord | None:
        """The fold with the highest accuracy, then the lowest loss, or None before the first fold has ended.

        Each fold has different validation images, so the best fold is not necessarily the best model.
        """
        return min(self.record.folds, key=lambda entry: (-entry.accuracy, entry.loss), default=None)

    def model_on_all_images(self) -> RefitRecord | None:
        """The refit if it is recorded and its file exists."""
        refit = self.record.refit
        return refit if refit is not None and self.checkpoint_of(refit).is_file() else None

    def model_to_use(self) -> FoldRecord | RefitRecord | None:
        """The model trained on all images, or else the model of the best fold. None before the first fold has ended."""
        return self.model_on_all_images() or self.best_fold()

    def checkpoint_of(self, entry: FoldRecord | RefitRecord) -> Path:
        """The file of a model, also if the run folder was moved. Raises UsageError if it is a link to the outside."""
        return self.inside(Path("checkpoints", Path(entry.checkpoint).name))

    def keep_copy(self, code: bytes) -> None:
        """Writes the code of the experiment to `experiment.py`, and records that this project may run it."""
        write_whole(self.path / "experiment.py", code)
        trust.remember_code(self.id, code)

    def _read(self) -> dict[int, Predictions]:
        """The predictions by fold: those that this process has written, or those in the folder."""
        if self._predictions is None:
            self._predictions = {}
            for path in sorted(self.inside(FOLDER).glob("fold*.npz")):
                fold = path.stem.removeprefix("fold")
                if fold.isdecimal() and len(fold) < 7 and is_inside(path, self.path):
                    with self._naming(path):
                        self._predictions[int(fold)] = self._of_its_classes(read_array_file(path, int(fold)))
        return self._predictions

    def _of_its_classes(self, predictions: Predictions) -> Predictions:
        """Returns the predictions. Raises SchemaError if they have other classes than the run."""
        if predictions.classes != self.classes:
            raise SchemaError(f"it has {len(predictions.classes)} classes, but run.json names others")
        return predictions

    def _lines(self) -> list[str]:
        if not self.metrics.is_file() or not is_inside(self.metrics, self.path):
            return []
        return self.metrics.read_text(encoding="utf-8", errors="replace").split("\n")

    @contextlib.contextmanager
    def _naming(self, path: Path) -> Iterator[None]:
        """Turns an error in the content of `path` into a UsageError that names the file."""
        try:
            yield
        except (SchemaError, OSError) as error:
            raise self._damaged(path, str(error)) from error

    def _damaged(self, path: Path, why: str) -> UsageError:
        return UsageError(f"{path} cannot be read", f"damaged: {why}", "run the experiment again")


def now() -> str:
    """Returns the current time in the format of records."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def _array_file(fold: int) -> Path:
    return Path(FOLDER, f"fold{fold}.npz")


def _checked_epoch(row: object, folds: set[str]) -> dict[str, Any]:
    """Returns a row of `metrics.jsonl`. Raises SchemaError if it is invalid, or its fold is not in `folds`."""
    epoch: dict[str, Any] = validate(schema_of(Epoch), row)
    if str(epoch["fold"]) not in folds:
        raise SchemaError(f"fold is {epoch['fold']}, but run.json has no such fold")
    for name, value in epoch.items():
        if value is not None and (type(value) not in (int, float) or abs(value) > sys.float_info.max):
            raise SchemaError(f"{name} is {quoted(value)}: it must be a number")
    return epoch
