"""`runs/<experiment>/<yyyymmdd-hhmmss>-<id>/`: the plain files of one run, written as it goes, and read back."""

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

COMPLETE = "complete"  # of a tracker that has all of a run
LEFT = (  # by a run
    *("plots/*.png", "checkpoints/*.pt", f"{FOLDER}/*.npz"),
    *("events.out.tfevents.*", "fold*/*/events.out.tfevents.*", "console*.log"),
)
RESULTS = ("accuracy", "interval_low", "interval_high", "loss", "fit_seconds")  # by which runs are compared


class RunFolder(Folder[RunRecord]):
    """One run's folder: `run.json`, `metrics.jsonl`, `predictions/`, and more. Writing raises StorageError."""

    FILE = "run.json"
    FILES = ("run.json", "metrics.jsonl", "refit.jsonl", "metrics.json", CSV, PARQUET, "experiment.py", "report.html")
    _predictions: dict[int, Predictions] | None = None  # by fold, once they were written or read

    @classmethod
    def create(cls, runs: Path, record: RunRecord, path: Path | None = None) -> RunFolder:
        """Makes the folder of a run that starts now, in this process.

        Args:
            runs: The folder of all runs; the new one is in `runs/NAME`.
            record: What is known of the run before it starts; its id and its process are added.
            path: A folder to write to instead, new or not. What an earlier run left in it is removed. UsageError if
                that run still runs, or if something else lies there.
        """
        with contextlib.ExitStack() as stack:
            if path is None:
                own, path = new_folder(runs, record.name)
            else:
                own = new_id()
                stack.enter_context(replacing(path, record.kind))
                if record.study is None:  # the study says whose a trial is
                    cls._require_ended(path)
            with storage_errors(path):
                (path / "plots").mkdir(parents=True, exist_ok=True)
                for old in (*(path / name for name in cls.FILES), *(file for glob in LEFT for file in path.glob(glob))):
                    if is_inside(old.parent / "-", path):  # what lies behind a link is not ours
                        old.unlink(missing_ok=True)
            folder = cls(path, dataclasses.replace(record, id=own, **this_process()))
            folder.update()
        keep_output_in(path)  # of a trial, it is in the study's folder already
        trust.remember_run(own, record.data.folder)
        return folder

    @classmethod
    def _require_ended(cls, path: Path) -> None:
        """Raises UsageError if the run in a folder still runs, in another process."""
        try:
            before = cls.open(path)
        except UsageError:  # there is none, or it is damaged
            return
        if before.status is Status.RUNNING and before.record.process != this_process():
            why = f"process {before.record.pid} on {before.record.host} writes a run to it"
            raise UsageError(f"{path} is in use", why, "wait for its end, or --out with another folder")

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of a run that is there. Raises UsageError if it is none."""
        try:
            record = read_record(RunRecord, require_inside(path / cls.FILE, path))
        except FileNotFoundError as error:
            why = "it has no run.json" if path.is_dir() else f"looked for {path.absolute()}"
            raise UsageError(f"{path} is no run folder", why, "harness list") from error
        except (OSError, SchemaError) as error:
            raise UsageError(f"{path / cls.FILE} cannot be read", f"damaged: {error}", "harness list") from error
        return cls(path, record)

    @property
    def id(self) -> str:
        """When the run began, and a few random digits: the folder's own name, unless it was put elsewhere."""
        return self.record.id or self.path.resolve().name

    @property
    def typed(self) -> str:
        """What to type for it: its id if it lies in `runs`, which commands look through; else its path."""
        return self.id if self.path.parts[0] == "runs" and self.path.name == self.id else str(self.path)

    @property
    def checkpoints(self) -> Path:
        """The folder of its models. Raises UsageError if that is a link that leads elsewhere."""
        return self.inside("checkpoints")

    @property
    def unfinished(self) -> Path:
        """The file with the state of the fold in work."""
        return self.inside("checkpoints/unfinished.pt")

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.record.data.classes)

    @property
    def is_test(self) -> bool:
        """Whether it holds the test of a checkpoint, and no folds."""
        return isinstance(self.record, TestRecord)

    @property
    def was_made_here(self) -> bool:
        """Whether it was made in this project, on the images that it names. Nothing in the folder can say so."""
        return trust.made_run(self.id, self.record.data.folder)

    def keep_folds(self, folds: Collection[int]) -> None:
        """Removes the predictions of all other folds."""
        for fold in {*self._read()} - {*folds}:
            self.inside(_array_file(fold)).unlink(missing_ok=True)
        self._predictions = None

    def end_fit(self, **changes: Any) -> None:
        """Changes fields of the record with the result of the fit in work, and removes its saved state."""
        self.update(**changes, progress=None)
        with storage_errors(self.unfinished):
            self.unfinished.unlink(missing_ok=True)

    def reload(self) -> None:
        """Reads `run.json` again, which another process may have changed."""
        self.record = RunFolder.open(self.path).record
        self._predictions = None

    def record_trackers(self, states: Mapping[str, str], only: RunRecord | None = None) -> None:
        """Records what trackers have, and changes nothing else of the record, which another process may have changed.

        Args:
            states: By tracker. What is COMPLETE already stays so.
            only: Do nothing if the run has gone on, or ended in another way, since this record was read.
        """
        if not states:
            return
        with self.changing():
            now = self.record
            if only is None or (now.process, now.status) == (only.process, only.status):
                known = now.trackers
                kept = {name: state for name, state in states.items() if known.get(name) != COMPLETE}
                self.update(trackers={**known, **kept})

    def epochs(self) -> list[dict[str, Any]]:
        """The rows of `metrics.jsonl`, less a last one that was cut short. Raises UsageError if one is damaged."""
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
        """Writes the predictions of one fold, and the table of all folds so far, in one step each."""
        fold = int(predictions.folds[0])
        write_array_file(self.inside(_array_file(fold)), predictions)
        self._predictions = {**self._read(), fold: predictions}
        write_table(self.path, [self._predictions[fold] for fold in sorted(self._predictions)])

    def predictions(self, fold: int | None = None) -> Predictions:
        """All predictions so far, or those of one fold; none before it has ended. Raises UsageError if damaged."""
        parts = self._read()
        if parts and fold is not None:
            return parts.get(fold, Predictions.none(self.classes))
        if parts:
            return Predictions.join([parts[fold] for fold in sorted(parts)])
        path = self.path / CSV  # all that runs of version 0.1.0 have
        if path.is_file() and is_inside(path, self.path):
            with self._naming(path):
                whole = self._of_its_classes(read_csv(path.read_bytes()))
            return whole if fold is None else whole.of_fold(fold)
        return Predictions.none(self.classes)

    def array_files(self) -> list[str]:
        """The array files of predictions, relative to the folder, if the table is no CSV file that can be read back."""
        if (self.path / CSV).is_file():
            return []
        return [str(path.relative_to(self.path)) for path in sorted(self.inside(FOLDER).glob("fold*.npz"))]

    def write_metrics(self, numbers: dict[str, Any]) -> None:
        """Writes the numbers alone to `metrics.json`, in one step."""
        write_whole(self.path / "metrics.json", f"{json.dumps(numbers, indent=2)}\n".encode())

    def results(self) -> dict[str, float]:
        """RESULTS of the folds that have ended; the loss is a mean over images."""
        record = self.record
        if not record.folds or record.accuracy is None or record.interval is None or record.fit_seconds is None:
            return {}
        loss = sum(entry.loss * entry.n for entry in record.folds) / sum(entry.n for entry in record.folds)
        return dict(zip(RESULTS, (record.accuracy, *record.interval, loss, record.fit_seconds), strict=True))

    def best_fold(self) -> FoldRecord | None:
        """The fold with the highest accuracy, of equal ones with the lowest loss; None before any has ended.

        Each fold was validated on other images, so "best" is a choice of a model and no finding.
        """
        return min(self.record.folds, key=lambda entry: (-entry.accuracy, entry.loss), default=None)

    def model_on_all_images(self) -> RefitRecord | None:
        """The refit if it is recorded and its file is there."""
        refit = self.record.refit
        return refit if refit is not None and self.checkpoint_of(refit).is_file() else None

    def model_to_use(self) -> FoldRecord | RefitRecord | None:
        """The model that was trained on all images; without one the best fold's; None before any fold has ended."""
        return self.model_on_all_images() or self.best_fold()

    def checkpoint_of(self, entry: FoldRecord | RefitRecord) -> Path:
        """The file of a model, wherever the run folder has been moved to.

        Raises UsageError if that is a link that leads elsewhere.
        """
        return self.inside(Path("checkpoints", Path(entry.checkpoint).name))

    def keep_copy(self, code: bytes) -> None:
        """Writes the experiment file's content to `experiment.py`, and remembers it as this project's own code."""
        write_whole(self.path / "experiment.py", code)
        trust.remember_code(self.id, code)

    def _read(self) -> dict[int, Predictions]:
        """By fold: those that this process wrote, or else those that the folder holds."""
        if self._predictions is None:
            self._predictions = {}
            for path in sorted(self.inside(FOLDER).glob("fold*.npz")):
                fold = path.stem.removeprefix("fold")
                if fold.isdecimal() and len(fold) < 7 and is_inside(path, self.path):
                    with self._naming(path):
                        self._predictions[int(fold)] = self._of_its_classes(read_array_file(path, int(fold)))
        return self._predictions

    def _of_its_classes(self, predictions: Predictions) -> Predictions:
        """The same. Raises SchemaError if they are of other classes than the run."""
        if predictions.classes != self.classes:
            raise SchemaError(f"it is about {len(predictions.classes)} classes, and run.json names others")
        return predictions

    def _lines(self) -> list[str]:
        if not self.metrics.is_file() or not is_inside(self.metrics, self.path):
            return []
        return self.metrics.read_text(encoding="utf-8", errors="replace").split("\n")

    @contextlib.contextmanager
    def _naming(self, path: Path) -> Iterator[None]:
        """Turns an error in what `path` holds into a UsageError that names it."""
        try:
            yield
        except (SchemaError, OSError) as error:
            raise self._damaged(path, str(error)) from error

    def _damaged(self, path: Path, why: str) -> UsageError:
        return UsageError(f"{path} cannot be read", f"damaged: {why}", "run the experiment again")


def now() -> str:
    """This moment, as records have it."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def _array_file(fold: int) -> Path:
    return Path(FOLDER, f"fold{fold}.npz")


def _checked_epoch(row: object, folds: set[str]) -> dict[str, Any]:
    """A row of `metrics.jsonl`, which is of one of `folds`. Raises SchemaError."""
    epoch: dict[str, Any] = validate(schema_of(Epoch), row)
    if str(epoch["fold"]) not in folds:
        raise SchemaError(f"fold is {epoch['fold']}, and run.json has no such fold")
    for name, value in epoch.items():
        if value is not None and (type(value) not in (int, float) or abs(value) > sys.float_info.max):
            raise SchemaError(f"{name} is {quoted(value)}: it must be a number")
    return epoch
