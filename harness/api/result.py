"""`Run` and `Test`: a run folder in Python, with its numbers, tables, plots and model."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.api.model import Model, load_model, text_of
from harness.errors import UsageError
from harness.evaluation.predictions import Predictions
from harness.report.cards import table, text
from harness.runs.records import TestRecord
from harness.runs.run_folder import RunFolder
from harness.util.text import short_repr

if TYPE_CHECKING:
    import pandas


class Plots(Mapping[str, Path]):
    """The plots of a run by name: `run.plots["confusion"]` is a file. A notebook shows all plots."""

    def __init__(self, files: list[Path]) -> None:
        self._files = {path.stem: path for path in files}

    def __getitem__(self, name: str) -> Path:
        return self._files[name]

    def __iter__(self) -> Any:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __repr__(self) -> str:
        return short_repr(self, ", ".join(self._files))

    def _repr_html_(self) -> str:
        return "".join(
            f"<figure><img alt='{text(name)}' style='max-width:45em;width:100%' "
            f"src='data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}'></figure>"
            for name, path in self._files.items()
            if path.suffix == ".png" and path.is_file()
        )


class Run:
    """The results of a run, read from its folder. Returned by `harness.run` and `harness.open_run`.

    Attributes:
        path: The run folder.
        record: The content of `run.json`, as a typed record.

    Example:
        >>> import harness
        >>> run = harness.run("quickstart")
        >>> 0 <= run.accuracy <= 1
        True
        >>> len(run.predictions) == run.n
        True
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.path = folder.path
        self.record = folder.record

    @property
    def id(self) -> str:
        """The id, such as "20261127-171902-f1c6". Commands also take its last characters."""
        return self._folder.id

    @property
    def accuracy(self) -> float:
        """The accuracy from 0 to 1; for a run, of its out-of-fold predictions. Raises UsageError if no fold is done."""
        if self.record.accuracy is None:
            raise UsageError(f"{self.path} has no accuracy", "none of its folds is complete", "harness.run again")
        return self.record.accuracy

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the accuracy (Wilson, 1927), each bound from 0 to 1."""
        low, high = self.record.interval or (0.0, 1.0)
        return low, high

    @property
    def n(self) -> int:
        """Number of images that were evaluated."""
        return int(self.record.n or 0)

    @property
    def predictions(self) -> pandas.DataFrame:
        """A table with a row per evaluated image; columns path, true, label, probability, right, fold, `p_CLASS`."""
        return _frame(self._folder.predictions())

    @property
    def history(self) -> pandas.DataFrame:
        """A table with one row per epoch of each fold. Empty for a test."""
        import pandas

        return pandas.DataFrame(self._folder.epochs())

    @property
    def plots(self) -> Plots:
        """The plots, by name."""
        return Plots(sorted(self._folder.pictures()))

    def model(self, *, ensemble: bool = False, device: str = "auto") -> Model:
        """Loads the model that was trained on all images, or the best fold's model if there is none."""
        return load_model(self.path, runs=self.path.parent.parent, ensemble=ensemble, device=device)

    def report(self, out: str | Path | None = None, *, force: bool = False) -> Path:
        """Writes the report, one HTML file without links to other files, and returns its path."""
        from harness.workflows.report import report

        return report(str(self.path), self.path.parent.parent, None if out is None else Path(out), force=force)

    @torch.random.fork_rng(devices=())
    def refit(self, *, device: str = "auto") -> Model:
        """Trains one model on all images of the run and loads it, as `harness refit` does."""
        from harness.workflows.refit import refit_run

        refit_run(self._folder, device=device)
        self.record = self._folder.record
        return self.model(device=device)

    def __repr__(self) -> str:
        return short_repr(self, f"{str(self.path)!r}: {self._headline()}")

    def _headline(self) -> str:
        if self.record.accuracy is None:
            return f"{self.record.status}"
        low, high = (100 * bound for bound in self.interval)
        dev = "; a fast dev run, so the accuracy means nothing" if self.record.fast_dev_run else ""
        return (
            f"accuracy {100 * self.accuracy:.1f} % (95 % interval {low:.1f} to {high:.1f} %, n = {self.n})"
            f"{self.record.caveat}{dev}; {self.record.status}"
        )

    def _repr_html_(self) -> str:
        rows: list[dict[str, object]] = [
            {"fold": entry.fold, "epoch": entry.epoch, "accuracy": f"{100 * entry.accuracy:.1f} %", "n": entry.n}
            for entry in getattr(self.record, "folds", [])
        ]
        notes = "".join(f"<li>{text(note)}</li>" for note in self.record.notes)
        return f"<p><b>{text(self.path)}</b>: {text(self._headline())}</p><ul>{notes}</ul>{table(rows)}"


class Test(Run):
    """The results of a test, read from its folder. Returned by `harness.test`.

    Example:
        >>> import harness
        >>> run = harness.run("quickstart")
        >>> test = harness.test(run, "photos", min_accuracy=0.0, allow_leak=True)
        >>> test.passed
        True
    """

    __test__ = False  # pytest does not collect this class

    @property
    def passed(self) -> bool:
        """Whether the model has passed its gate."""
        assert isinstance(self.record, TestRecord)
        return self.record.gate is not None and self.record.gate.passed

    def _headline(self) -> str:
        return f"{super()._headline()}; gate {'passed' if self.passed else 'failed'}"


def open_run(named: str | Path | Run, runs: str | Path = "runs") -> Run:
    """Reads a run or a test from its folder.

    Args:
        named: Its folder, its id, or the last characters of its id. For a `Run`, its folder is read again.
        runs: The folder that contains the run folders.

    Returns:
        A `Run`, or a `Test` if the folder is of a test.

    Raises:
        UsageError: There is no such run.

    Example:
        >>> import harness
        >>> run = harness.run("quickstart")
        >>> harness.open_run(run.id).accuracy == run.accuracy
        True
    """
    from harness.runs.find import find_run

    folder = find_run(text_of(named) or "", Path(runs))
    return Test(folder) if folder.is_test else Run(folder)


def _frame(predictions: Predictions) -> pandas.DataFrame:
    import numpy
    import pandas

    names = numpy.array(predictions.classes, object)
    columns: dict[str, Any] = {
        "path": list(predictions.paths),
        "true": names[predictions.labels],
        "label": names[predictions.predicted],
        "probability": predictions.probabilities.max(1),
        "right": predictions.right,
        "fold": predictions.folds,
    }
    probabilities = {f"p_{name}": predictions.probabilities[:, i] for i, name in enumerate(predictions.classes)}
    return pandas.DataFrame(columns | probabilities)
