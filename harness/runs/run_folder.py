"""`runs/<experiment>/<yyyymmdd-hhmmss>-<id>/`: the plain files of one run, written as it goes, and read back."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import UsageError, storing
from harness.evaluation.predictions import Predictions
from harness.runs import trust
from harness.runs.folder import Folder
from harness.runs.forms import Epoch, Run
from harness.runs.predictions import CSV, FOLDER, PARQUET, read_array_file, read_csv, write_array_file, write_table
from harness.util.checked import FormError, checked, form, is_inside, quoted, read_json, require_inside
from harness.util.files import lock_of, write_whole
from harness.util.processes import has_ended, this_process

UNFINISHED = "running"
COMPLETE = "complete"  # of a tracker that has all of a run
FILES = ("run.json", "metrics.jsonl", "metrics.json", CSV, PARQUET, "experiment.py")  # beside the folders
LEFT = (
    "plots/*.png",
    "checkpoints/*.pt",
    f"{FOLDER}/*.npz",
    "events.out.tfevents.*",
    "fold*/*/events.out.tfevents.*",
)  # by a run
AGAIN = ".again"  # in a folder that was named by --out, and may be written again: by what
RESULTS = ("accuracy", "interval_low", "interval_high", "loss", "fit_seconds")  # by which runs are compared


class RunFolder(Folder):
    """One run's folder: `run.json`, `metrics.jsonl`, `predictions.csv`, and more. Writing raises StorageError."""

    FILES = FILES
    _predictions: dict[int, Predictions] | None = None  # by fold, once they were written or read

    @classmethod
    def create(cls, runs: Path, name: str, record: dict[str, Any], path: Path | None = None) -> RunFolder:
        """A new folder under `runs/name`, with a `run.json` that says that it is running, where and since when.

        With `path`, that folder instead, new or not, less what an earlier run left in it.
        """
        now = datetime.now().astimezone()
        own = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        named = path is not None
        path = path or runs / name / own
        kind = str(record.get("kind", "run"))
        if named:
            _require_replaceable(path, kind)
        else:
            require_own_place(path, runs)
        with storing(path):
            (path / "plots").mkdir(parents=True, exist_ok=True)
            for old in (*(path / name for name in FILES), *(file for glob in LEFT for file in path.glob(glob))):
                if is_inside(old.parent / "-", path):  # what lies behind a link is not ours
                    old.unlink(missing_ok=True)
            if named:
                (path / AGAIN).write_text(f"{kind}\n", encoding="utf-8")
        started = {"started": now.isoformat(timespec="milliseconds"), **this_process()}
        folder = cls(path, {"name": name, "id": own, "status": UNFINISHED, **started, **record})
        folder.update()
        trust.remember_run(own, folder.data)
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of a run that is there. Raises UsageError where it is none."""
        try:
            record = read_json(form(Run), require_inside(path / "run.json", path))
            _require_whole(record)
        except FileNotFoundError as error:
            why = "it has no run.json" if path.is_dir() else f"looked for {path.absolute()}"
            raise UsageError(f"{path} is no run folder", why, "harness list shows the latest runs") from error
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{path / 'run.json'} cannot be read", f"damaged: {error}", "harness list shows the latest runs"
            ) from error
        return cls(path, record)

    @property
    def id(self) -> str:
        """When the run began, and a few random digits: the folder's own name, unless it was put elsewhere."""
        return str(self.record.get("id") or self.path.resolve().name)

    @property
    def checkpoints(self) -> Path:
        """Where its models lie. Raises UsageError where that is a link that leads elsewhere."""
        return self.inside("checkpoints")

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def status(self) -> str:
        """running, finished, failed, interrupted; or "died" where it says running, but its process here is gone."""
        said: str = self.record["status"]
        return "died" if said == UNFINISHED and has_ended(self.record) else said

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.record["data"]["classes"])

    @property
    def data(self) -> str | None:
        """The folder of its images, where they lay."""
        return (self.record.get("data") or {}).get("folder")

    @property
    def was_made_here(self) -> bool:
        """Whether it was made in this project, on the images that it names. Nothing in the folder can say so."""
        return trust.made_run(self.id, self.data)

    def update(self, **changes: Any) -> None:
        """Changes the record, and writes `run.json` in one step."""
        record = self.record | changes
        text = json.dumps(record, indent=2, default=str)
        self.record = record
        write_whole(self.path / "run.json", f"{text}\n".encode())

    def begin_again(self) -> None:
        """Goes on, in this process, with a run that was cut off: what its unfinished fold left is dropped."""
        done = {found["fold"] for found in self.record.get("folds", [])}
        rows = [row for row in self.epochs() if row["fold"] in done]
        write_whole(self.metrics, "".join(f"{json.dumps(row)}\n" for row in rows).encode())
        for fold in {*self._read()} - done:
            self.inside(_array_file(fold)).unlink(missing_ok=True)
        self._predictions = None
        self.update(status=UNFINISHED, error=None, trackers={}, **this_process())

    def reload(self) -> None:
        """Reads `run.json` again, which another process may have changed."""
        self.record = RunFolder.open(self.path).record
        self._predictions = None

    def epochs(self) -> list[dict[str, Any]]:
        """The rows of `metrics.jsonl`, less a last one that was cut short. Raises UsageError where one is damaged."""
        rows, folds = [], {*map(str, self.record.get("splits", {}))}
        for number, line in enumerate(self._lines(), start=1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            try:
                rows.append(_checked_epoch(row, folds))
            except FormError as error:
                raise self._damaged(self.metrics, f"line {number}: {error}") from error
        return rows

    def _lines(self) -> list[str]:
        if not self.metrics.is_file() or not is_inside(self.metrics, self.path):
            return []
        return self.metrics.read_text(encoding="utf-8", errors="replace").split("\n")

    def _damaged(self, path: Path, why: str) -> UsageError:
        return UsageError(f"{path} cannot be read", f"damaged: {why}", "run the experiment again")

    def write_predictions(self, predictions: Predictions) -> None:
        """Writes the predictions of one fold, and the table of all folds so far, in one step each."""
        fold = int(predictions.folds[0])
        write_array_file(self.inside(_array_file(fold)), predictions)
        self._predictions = {**self._read(), fold: predictions}
        write_table(self.path, [self._predictions[fold] for fold in sorted(self._predictions)])

    def predictions(self) -> Predictions:
        """All predictions so far; none before the first fold has ended. Raises UsageError if they are damaged."""
        parts = self._read()
        if parts:
            return Predictions.join([parts[fold] for fold in sorted(parts)])
        path = self.path / CSV  # all that runs of version 0.1.0 have
        if path.is_file() and is_inside(path, self.path):
            with self._naming(path):
                return self._of_its_classes(read_csv(path.read_bytes()))
        return Predictions.none(self.classes)

    def array_files(self) -> list[str]:
        """The array files of predictions, relative to the folder, if the table is no CSV file that can be read back."""
        if (self.path / CSV).is_file():
            return []
        return [str(path.relative_to(self.path)) for path in sorted(self.inside(FOLDER).glob("fold*.npz"))]

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

    def _of_its_classes(self, found: Predictions) -> Predictions:
        """The same. Raises FormError if they are of other classes than the run."""
        if found.classes != self.classes:
            raise FormError(
                f"it is about {len(found.classes)} classes, and run.json about {len(self.classes)} or others"
            )
        return found

    @contextlib.contextmanager
    def _naming(self, path: Path) -> Iterator[None]:
        """Turns an error in what `path` holds into a UsageError that names it."""
        try:
            yield
        except (FormError, OSError) as error:
            raise self._damaged(path, str(error)) from error

    def write_metrics(self, numbers: dict[str, Any]) -> None:
        """Writes the numbers by themselves to `metrics.json`, in one step."""
        write_whole(self.path / "metrics.json", f"{json.dumps(numbers, indent=2)}\n".encode())

    def results(self) -> dict[str, float]:
        """RESULTS of the folds that have ended; the loss is that of the best epochs, a mean over images."""
        folds = self.record.get("folds", [])
        if not folds:
            return {}
        loss = sum(fold["loss"] * fold["n"] for fold in folds) / sum(fold["n"] for fold in folds)
        numbers = (self.record["accuracy"], *self.record["interval"], loss, self.record["fit_seconds"])
        return dict(zip(RESULTS, numbers, strict=True))

    def best_fold(self) -> dict[str, Any] | None:
        """The entry of the fold with the highest accuracy, of equal ones with the lowest loss; None before any ended.

        Each fold was judged on other images, so "best" is a choice of a model and no finding.
        """
        folds = self.record.get("folds", [])
        return min(folds, key=lambda fold: (-fold["accuracy"], fold["loss"]), default=None)

    def checkpoint_of(self, found: dict[str, Any]) -> Path:
        """Where the best model of a fold's entry lies, wherever the run folder has been moved to.

        Raises UsageError where that is a link that leads elsewhere.
        """
        return self.inside(Path("checkpoints", Path(found["checkpoint"]).name))

    @contextlib.contextmanager
    def sending(self) -> Iterator[bool]:
        """Within, nobody else sends this run to MLflow; False where somebody does. It ends with the process."""
        with lock_of(self.path / ".sending") as alone:
            yield alone

    def keep_copy(self, experiment_file: Path) -> None:
        """Copies the experiment's file to `experiment.py`, which from now on counts as this project's own."""
        code = experiment_file.read_bytes()
        write_whole(self.path / "experiment.py", code)
        trust.remember_code(self.id, code)


def _array_file(fold: int) -> Path:
    return Path(FOLDER, f"fold{fold}.npz")


def _require_whole(record: dict[str, Any]) -> None:
    """Raises FormError where a part of it lacks another one that belongs to it."""
    folds, splits = record.get("folds", []), record.get("splits", {})
    for name in ("accuracy", "interval", "fit_seconds", "splits") if folds else ():
        if name not in record:
            raise FormError(f"{name} is missing")
    if len({found["fold"] for found in folds}) < len(folds):
        raise FormError("folds has one of them twice")
    if "accuracy" in record and not {"n", "interval"} <= record.keys():
        raise FormError("n or interval is missing")
    for found in folds:
        if str(found["fold"]) not in splits:
            raise FormError(f"folds has fold {found['fold']}, and splits has none")
    if record.get("kind") == "test" and "checkpoint" not in record:
        raise FormError("checkpoint is missing")


def _checked_epoch(row: object, folds: set[str]) -> dict[str, Any]:
    """A row of `metrics.jsonl`, which is of one of `folds`. Raises FormError."""
    found: dict[str, Any] = checked(form(Epoch), row)
    if str(found["fold"]) not in folds:
        raise FormError(f"fold is {found['fold']}, and run.json has no such fold")
    for name, value in found.items():
        if value is not None and (type(value) not in (int, float) or abs(value) > sys.float_info.max):
            raise FormError(f"{name} is {quoted(value)}: it must be a number")
    return found


def require_own_place(path: Path, runs: Path) -> None:
    """Raises UsageError where a link below `runs` leads out of it: what lies there was not made by a run."""
    if not is_inside(path, runs):
        raise UsageError(
            f"{path.parent} is not used", f"it is a link that leads out of {runs}", "--runs with another folder"
        )


def _require_replaceable(path: Path, kind: str) -> None:
    """Raises UsageError where `path` holds anything but what this kind of run was told to put there before."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    said = (path / AGAIN).read_text(encoding="utf-8", errors="replace").strip() if (path / AGAIN).is_file() else ""
    if said != kind:
        why = f"it is where a {said} goes" if said else "it holds something else, which would be lost"
        raise UsageError(f"{path} is no place for a {kind}", why, "--out with a new folder")


def latest_runs(
    runs: Path, unreadable: Callable[[Path, UsageError], None] = lambda _path, _why: None
) -> list[RunFolder]:
    """Each run under `runs`, newest first; `unreadable` is called for a folder whose `run.json` cannot be read."""
    found = []
    for path in runs.glob("*/*/run.json"):
        try:
            folder = RunFolder.open(path.parent)
        except UsageError as error:
            unreadable(path.parent, error)
            continue
        found.append((datetime.fromisoformat(folder.record["started"]).timestamp(), folder))
    return [folder for _, folder in sorted(found, key=lambda run: run[0], reverse=True)]


def find_run(named: str, runs: Path) -> RunFolder:
    """The run that `named` means: a folder, or the id of one under `runs`, or how one id there ends.

    Raises UsageError for none.
    """
    if not Path(named).is_dir():
        found = [folder for folder in latest_runs(runs) if folder.id.endswith(named)]
        if len(found) == 1:
            return found[0]
        if not (Path(named) / "run.json").exists():
            why = f"{len(found)} runs in {runs} end so" if found else f"no run in {runs} ends so, and no file is there"
            raise UsageError(f"{named} is no run folder", why, "harness list shows the latest runs")
    return RunFolder.open(Path(named))
