"""Predictions of several images: a list that is also a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.report.cards import table
from harness.workflows.predict.prediction import Prediction, as_row

if TYPE_CHECKING:
    import pandas

SHOWN = 20  # rows in a notebook


class PredictionList(list["Prediction | None"]):
    """A list of `Prediction`, with None for an image that could not be read."""

    def to_frame(self, top: int | None = None) -> pandas.DataFrame:
        """A row for each image: path, label, probability, and the probability of each class by its name.

        Args:
            top: The number of most probable classes to give in place of all: label, probability, label_2, …
        """
        import pandas

        rows: list[dict[str, Any]] = []
        for each in self:
            if each is None:
                rows.append({"path": None})
            elif top is None:
                of_all = {f"p_{name}": value for name, value in each.probabilities.items()}
                rows.append({"path": each.path, **as_row(each, 1), **of_all})
            else:
                rows.append({"path": each.path, **as_row(each, top)})
        return pandas.DataFrame(rows)

    def _repr_html_(self) -> str:
        rows = [
            {"image": "", "class": "cannot be read", "probability": "", "second": ""}
            if each is None
            else {
                "image": each.path or "",
                "class": each.label,
                "probability": f"{100 * each.probability:.1f} %",
                "second": ", ".join(f"{name} {100 * value:.1f} %" for name, value in each.top(2)[1:]),
            }
            for each in self[:SHOWN]
        ]
        more = f", the first {SHOWN} shown" if len(self) > SHOWN else ""
        return table(rows, f"{len(self)} images{more}")
