"""A run's plots and report, made from its folder into its folder. One that fails costs a warning, never the run."""

from __future__ import annotations

from pathlib import Path

from harness.runs.run_folder import RunFolder
from harness.util.console import only_a_picture

CURVES, LAST = "curves.png", "abstention.png"  # the second is the last one that each run has


def draw_fold(folder: RunFolder, fold: int) -> None:
    """The confusion matrix of one fold's validation."""
    with only_a_picture():
        from harness.plots.predictions import draw_confusions  # matplotlib takes half a second, and can wait

        name = f"{folder.record.name}, fold {fold}: confusion"
        draw_confusions(folder.plots, name, folder.predictions(fold), prefix=f"fold{fold}-")


def are_missing(folder: RunFolder) -> bool:
    """Whether a run lacks plots of all its folds, since the disk was full when it ended, say."""
    names = {path.name for path in folder.pictures()}
    return bool(folder.epochs() and CURVES not in names) or bool(len(folder.predictions()) and LAST not in names)


def draw_run(folder: RunFolder) -> None:
    """Learning curves of all folds, all pictures of the predictions so far, and the report, which is one HTML file.

    Of a run from elsewhere no image is shown: where they lie is for its record to say, which could name any of ours.
    """
    name, rows = folder.record.name, folder.epochs()
    if rows:
        with only_a_picture():
            from harness.plots.curves import draw_curves

            judged = {entry.fold: entry.epoch for entry in folder.record.folds}
            draw_curves(folder.plots / CURVES, name, rows, judged)
    with only_a_picture():
        from harness.report.write import write_run_report  # the template library can wait, too

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
