"""The plots of a run, drawn from its folder into its folder. One that fails costs a warning, never the run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from harness.callbacks.progress import say
from harness.plots.curves import draw_curves
from harness.plots.every import draw_confusions, draw_predictions
from harness.trackers.run_folder import RunFolder


def draw_fold(folder: RunFolder, fold: int) -> None:
    """The confusion matrix of one fold's validation."""
    with _warned():
        name = f"{folder.record['name']}, fold {fold}: confusion"
        rows = [p for p in folder.predictions() if p.fold == fold]
        draw_confusions(folder.plots, name, rows, folder.classes, prefix=f"fold{fold}-")


def draw_run(folder: RunFolder) -> None:
    """Learning curves of all folds, and all pictures of the predictions so far."""
    name, rows = folder.record["name"], folder.epochs()
    if rows:
        with _warned():
            best = {found["fold"]: found["best_epoch"] for found in folder.record.get("folds", [])}
            draw_curves(folder.plots / "curves.png", name, rows, best)
    predictions = folder.predictions()
    if predictions:
        kind = "out of fold" if folder.record["experiment"].get("folds") else "hold-out"
        kind = "test" if folder.record.get("kind") == "test" else kind
        with _warned():
            root = Path(folder.record["data"]["folder"])
            draw_predictions(folder.plots, f"{name}, {kind}", predictions, folder.classes, root)


@contextlib.contextmanager
def _warned() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        say(
            f"warning: a plot could not be drawn ({type(error).__name__}: {error}); the numbers are not touched by that"
        )
