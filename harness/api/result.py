"""A run, a test or a study in Python: its numbers, tables, pictures and model, read from its folder."""

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

if TYPE_CHECKING:
    import pandas


class Plots(Mapping[str, Path]):
    """Pictures by name: `run.plots["confusion"]` is a file. A notebook shows all of them."""

    def __init__(self, files: list[Path]) -> None:
        self._files = {path.stem: path for path in files}

    def __getitem__(self, name: str) -> Path:
        return self._files[name]

    def __iter__(self) -> Any:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __repr__(self) -> str:
        return f"Plots({', '.join(self._files)})"

    def _repr_html_(self) -> str:
        return "".join(
            f"<figure><img alt='{text(name)}' style='max-width:45em;width:100%' "
            f"src='data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}'></figure>"
            for name, path in self._files.items()
            if path.suffix == ".png" and path.is_file()
        )


class Run:
    """What a run found: the result of `harness.run`, and what `harness.open_run` reads.

    Attributes:
        path: The run folder.
        record: Its `run.json`, typed.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.path = folder.path
        self.record = folder.record

    @property
    def id(self) -> str:
        """Such as "20261127-171902-f1c6"; commands also take its end."""
        return self._folder.id

    @property
    def accuracy(self) -> float:
        """The accuracy; of a run, over all out-of-fold predictions. Raises UsageError if no fold has ended."""
        if self.record.accuracy is None:
            raise UsageError(f"{self.path} has no accuracy", "none of its folds has ended", "harness.run once more")
        return self.record.accuracy

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval (Wilson, 1927)."""
        low, high = self.record.interval or (0.0, 1.0)
        return low, high

    @property
    def n(self) -> int:
        """Number of images that it was judged on."""
        return int(self.record.n or 0)

    @property
    def predictions(self) -> pandas.DataFrame:
        """A row for each judged image, with path, true, label, probability, right, fold, and `p_` of each class."""
        return _frame(self._folder.predictions())

    @property
    def history(self) -> pandas.DataFrame:
        """A row for each epoch of each fold. Empty for a test."""
        import pandas

        return pandas.DataFrame(self._folder.epochs())

    @property
    def plots(self) -> Plots:
        """Its pictures, by name."""
        return Plots(sorted(self._folder.pictures()))

    def model(self, *, ensemble: bool = False, device: str = "auto") -> Model:
        """Its model on all images, or else its best fold's; see `load_model`."""
        return load_model(self.path, runs=self.path.parents[1], ensemble=ensemble, device=device)

    def report(self, out: str | Path | None = None, *, force: bool = False) -> Path:
        """Writes the report, one HTML file that can be mailed, and returns its path; see `harness report`."""
        from harness.workflows.report import report

        return report(str(self.path), self.path.parents[1], None if out is None else Path(out), force=force)

    @torch.random.fork_rng(devices=())
    def refit(self, *, device: str = "auto") -> Model:
        """Trains one model on all images of the run, the model to use, and loads it; see `harness refit`."""
        from harness.workflows.refit import refit_run

        refit_run(self._folder, device=device)
        self.record = self._folder.record
        return self.model(device=device)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}: {self._headline()})"

    def _headline(self) -> str:
        if self.record.accuracy is None:
            return f"{self.record.status}"
        low, high = (100 * bound for bound in self.interval)
        dev = "; a fast dev run, so it means nothing" if self.record.fast_dev_run else ""
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
    """What a test found: the result of `harness.test`."""

    __test__ = False  # no class of tests

    @property
    def passed(self) -> bool:
        """Whether the model met its gate."""
        assert isinstance(self.record, TestRecord)
        return self.record.gate is not None and self.record.gate.passed

    def _headline(self) -> str:
        return f"{super()._headline()}; gate {'passed' if self.passed else 'failed'}"


def open_run(named: str | Path | Run, runs: str | Path = "runs") -> Run:
    """Reads a run or a test.

    Args:
        named: Its folder, its id, or how the id ends; of a `Run`, what is in its folder now.
        runs: The folder that run folders lie in.

    Raises:
        UsageError: There is none.
    """
    from harness.runs.find import find_run

    folder = find_run(text_of(named) or "", Path(runs))
    return Test(folder) if folder.is_test else Run(folder)


def _frame(found: Predictions) -> pandas.DataFrame:
    import numpy
    import pandas

    names = numpy.array(found.classes, object)
    predicted = found.predicted
    columns: dict[str, Any] = {
        "path": list(found.paths),
        "true": names[found.labels],
        "label": names[predicted],
        "probability": found.probabilities.max(1),
        "right": found.right,
        "fold": found.folds,
    }
    of_each = {f"p_{name}": found.probabilities[:, i] for i, name in enumerate(found.classes)}
    return pandas.DataFrame(columns | of_each)
