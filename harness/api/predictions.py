"""`PredictionList`: the predictions for several images, as a list or a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.report.cards import table
from harness.util.text import short_repr
from harness.workflows.predict.prediction import Prediction, as_row

if TYPE_CHECKING:
    import pandas

NOTEBOOK_ROWS = 20
TEXT_ROWS = 5


class PredictionList(list["Prediction | None"]):
    """A list with one `Prediction` for each image; None for an image that could not be read.

    Example:
        >>> import harness
        >>> model = harness.load_model(harness.run("quickstart"))
        >>> predictions = model.predict(["photo.jpg", "photo.jpg"])
        >>> list(predictions.to_frame().columns)
        ['path', 'label', 'probability', 'p_forest', 'p_sea']
    """

    def to_frame(self, top: int | None = None) -> pandas.DataFrame:
        """Converts the predictions to a table with one row per image.

        Args:
            top: Number of most probable classes to include. None: all classes.

        Returns:
            Columns `path`, `label` and `probability`. With `top`, then `label_2`, `probability_2`, …; without it, then
            `p_NAME` with the probability of each class.
        """
        import pandas

        rows: list[dict[str, Any]] = []
        for prediction in self:
            if prediction is None:
                rows.append({"path": None})
            elif top is None:
                probabilities = {f"p_{name}": value for name, value in prediction.probabilities.items()}
                rows.append({"path": prediction.path, **as_row(prediction, 1), **probabilities})
            else:
                rows.append({"path": prediction.path, **as_row(prediction, top)})
        return pandas.DataFrame(rows)

    def __repr__(self) -> str:
        rows = [f"\n  {each!r}" for each in self[:TEXT_ROWS]]
        rows += ["\n  …"] if len(self) > TEXT_ROWS else []
        return short_repr(self, f"{len(self)} images:{','.join(rows)}" if self else "0 images")

    def _repr_html_(self) -> str:
        rows = [
            {"image": "", "class": "cannot be read", "probability": "", "second": ""}
            if prediction is None
            else {
                "image": prediction.path or "",
                "class": prediction.label,
                "probability": f"{100 * prediction.probability:.1f} %",
                "second": ", ".join(f"{name} {100 * value:.1f} %" for name, value in prediction.top(2)[1:]),
            }
            for prediction in self[:NOTEBOOK_ROWS]
        ]
        more = f", the first {NOTEBOOK_ROWS} are shown" if len(self) > NOTEBOOK_ROWS else ""
        return table(rows, f"{len(self)} images{more}")
