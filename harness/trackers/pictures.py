"""Draws a run's plots and report from its folder, into its folder. A plot that fails only gives a warning."""

from __future__ import annotations

from pathlib import Path

from harness.runs.run_folder import RunFolder
from harness.util.console import only_a_picture

CURVES, LAST = "curves.png", "abstention.png"  # LAST is the last plot that each run draws


def draw_fold(folder: RunFolder, fold: int) -> None:
    """Draws the confusion matrix of one fold's validation set."""
    with only_a_picture():
        from harness.plots.predictions import draw_confusions  # matplotlib takes half a second, and can wait

        name = f"{folder.record.name}, fold {fold}: confusion"
        draw_confusions(folder.plots, name, folder.predictions(fold), prefix=f"fold{fold}-")


def are_missing(folder: RunFolder) -> bool:
    """Whether a run lacks plots of all its folds, for example because the disk was full."""
    names = {path.name for path in folder.pictures()}
    return bool(folder.epochs() and CURVES not in names) or bool(len(folder.predictions()) and LAST not in names)


def draw_run(folder: RunFolder) -> None:
    """Draws learning curves of all folds, all plots of the predictions so far, and the report, which is one HTML file.

    A run that was made elsewhere gets no images: its record names their folder, and could name any folder here.
    """
    name, rows = folder.record.name, folder.epochs()
    if rows:
        with only_a_picture():
            from harness.plots.curves import draw_curves

            evaluated_epochs = {entry.fold: entry.epoch for entry in folder.record.folds}
            draw_curves(folder.plots / CURVES, name, rows, evaluated_epochs)
    with only_a_picture():
        from harness.report.write import write_run_report  # the template library can wait as well

        write_run_report(folder)
    with only_a_picture():
        from harness.plots.predictions import draw_predictions

        predictions = folder.predictions()
        if len(predictions):
            kind = "out of fold" if folder.record.experiment.get("folds") else "hold-out"
            kind = "test" if folder.is_test else kind
            root = Path(folder.record.data.folder) if folder.was_made_here else None
            value_range = folder.record.experiment.get("value_range")
            draw_predictions(folder.plots, f"{name}, {kind}", predictions, root, value_range)
