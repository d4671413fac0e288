"""Prints predictions as plain lines, as CSV, or as one JSON object per line."""

from __future__ import annotations

import csv
import io
import json
import sys
from typing import TYPE_CHECKING, Protocol

import click

from harness.cli.output import echo
from harness.util.escape import cell

if TYPE_CHECKING:
    from harness.workflows.predict.prediction import Prediction

UNSURE = "unsure"


class Printer(Protocol):
    """Prints predictions one at a time."""

    def show(self, prediction: Prediction) -> None:
        """Prints one prediction."""


class Lines:
    """Plain lines: `photo.jpg  sea  98.3 %  (forest 1.7 %)`."""

    def __init__(self, top: int, least: float | None) -> None:
        self._top, self._least = top, least

    def show(self, prediction: Prediction) -> None:
        (label, value), *others = prediction.top(max(2, self._top))
        rest = ", ".join(f"{name} {100 * each:.1f} %" for name, each in others)
        if self._least is not None and not prediction.is_sure(self._least):
            rest = f"{label} {100 * value:.1f} %, {rest}"
            echo(f"{prediction.path}  {UNSURE}  ({rest})")
        else:
            echo(f"{prediction.path}  {label}  {100 * value:.1f} %  ({rest})")


class Csv:
    """A table: path, label, probability, label_2, probability_2, …"""

    def __init__(self, top: int, least: float | None) -> None:
        self._top, self._least, self._begun = top, least, False

    def show(self, prediction: Prediction) -> None:
        from harness.workflows.predict.prediction import as_row

        row = {"path": prediction.path} | as_row(prediction, max(2, self._top))
        if self._least is not None:
            row["unsure"] = "no" if prediction.is_sure(self._least) else "yes"
        if not self._begun:
            self._begun = True
            self._write(list(row))
        self._write([cell(value) if isinstance(value, str) else f"{value:.6f}" for value in row.values()])

    def _write(self, cells: list[str]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        text = line.getvalue()
        sys.stdout.flush()
        click.echo(text.encode("utf-8", "backslashreplace"), nl=False)


class Json:
    """One JSON object per line: path, label, probability, top; with --abstain also unsure."""

    def __init__(self, top: int, least: float | None) -> None:
        self._top, self._least = top, least

    def show(self, prediction: Prediction) -> None:
        top = [{"label": name, "probability": round(value, 6)} for name, value in prediction.top(max(2, self._top))]
        row: dict[str, object] = {"path": prediction.path, **top[0], "top": top}
        if self._least is not None:
            row["unsure"] = not prediction.is_sure(self._least)
        click.echo(json.dumps(row))
