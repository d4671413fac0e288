"""What a run prints at its end: its result, where its files are, and what to type next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.output import echo_fitting, echo_json

if TYPE_CHECKING:
    from harness.runs.record_parts import ResumeRecord
    from harness.runs.run_folder import RunFolder
    from harness.workflows.crossval import CrossValidation


def print_result(result: CrossValidation, seconds: float, typed: str | None, fast_dev_run: bool, as_json: bool) -> None:
    """Prints the result of a run on stdout.

    Args:
        result: Of the run.
        seconds: Duration of the command.
        typed: The experiment as typed; None for a run that is resumed by its id.
        fast_dev_run: Whether the run only tried everything once, so that its numbers mean nothing.
        as_json: Whether to print one JSON object.
    """
    from harness.runs.run_folder import RunFolder
    from harness.trackers.follower import wait_for_rest
    from harness.trackers.mlflow.model_address import model_address

    if as_json:  # a program reads it once
        wait_for_rest()
    folder = RunFolder.open(result.run_dir)
    if as_json:
        status = {"run_dir": str(result.run_dir), "status": "finished", "fast_dev_run": fast_dev_run}
        status |= {"trackers": folder.record.trackers, "mlflow_model": model_address(folder) or None}
        echo_json({**status, **result.to_dict(), "seconds": round(seconds, 3)})
        return
    echo_fitting(*_summary(result, folder, seconds, typed, fast_dev_run))


def judged_at(crossval: CrossValidation) -> str:
    """Which epoch of each fold is evaluated, for people."""
    from harness.workflows.new_record import judged_text

    epochs = ", ".join(str(result.epoch) for result in crossval.results)
    return f"{judged_text(crossval.experiment)} ({epochs})"


def resume_texts(resumes: Sequence[ResumeRecord], device: str | None) -> list[str]:
    """For each time that a run was resumed: from where, and what that means for its numbers."""
    texts = []
    for record in resumes:
        where = "after all folds"
        if record.progress is not None:
            part = f"fold {record.progress.fold}" if record.progress.fold else "the refit"
            where = f"{part}, after epoch {record.progress.epoch}"
        if record.forced:
            meaning = f"FORCED, so the folds do not belong to one run: {'; '.join(record.differs)}"
        elif record.differs or device != "cpu":
            why = "; ".join(record.differs) or "sums on a GPU differ in their last bits"
            meaning = f"equal to an uninterrupted run within noise ({why})"
        else:
            meaning = "bit-identical to an uninterrupted run"
        texts.append(f"{where}, {meaning}")
    counts = Counter(texts)
    return [text if count == 1 else f"{count} times {text}" for text, count in counts.items()]


def _summary(
    crossval: CrossValidation, folder: RunFolder, seconds: float, typed: str | None, fast_dev_run: bool
) -> list[str]:
    """The last block of a run: its result, where its files are, and what to type next."""
    from harness.cli.scores_text import (
        abstention_text,
        calibration_text,
        class_table,
        metric_text,
        named_rows,
        noise_text,
    )
    from harness.runs.record_parts import leak_text
    from harness.runs.run_folder import COMPLETE
    from harness.trackers import follower
    from harness.trackers.mlflow.model_address import model_line
    from harness.trackers.mlflow.state import SENDING

    trackers, has_refit = folder.record.trackers, folder.record.refit is not None
    experiment, numbers = crossval.experiment, crossval.to_dict()
    caveat = leak_text(crossval.leaked, crossval.accuracy.n)
    headline = f"{'out-of-fold' if experiment.folds else 'hold-out'} accuracy {crossval.accuracy}{caveat}"
    if fast_dev_run:
        headline = "everything works (the numbers of a fast dev run mean nothing)"
    folds = ", ".join(f"{100 * result.accuracy.value:.1f}" for result in crossval.results) + " %"
    if len(crossval.results) > 1:
        folds += f": mean {100 * numbers['mean']:.2f} %, standard deviation {100 * numbers['deviation']:.2f}"
    baseline = f"{100 * crossval.baseline:.1f} % by always predicting the most frequent class"
    if crossval.accuracy.interval[0] <= crossval.baseline:
        baseline += "; this run is not significantly better"
    best, value = crossval.best_on_curves, crossval.accuracy.value
    optimistic = f"; the best epochs reach {100 * best:.1f} %, too high: they are chosen on the validation sets"
    named = folder.typed
    which = "its refitted model" if has_refit else "its best fold"
    after = {} if has_refit or fast_dev_run else {f"harness refit {named}": "trains one model on all images"}
    after |= {"harness ui": "shows all runs in the browser"} if trackers else {}
    if experiment.tests_other_data:
        after[f"harness test {named} --data FOLDER"] = f"tests {which} on new images"
    elif experiment.test_data and Path(experiment.test_data).is_dir():
        after[f"harness test {named}"] = f"tests {which} on {experiment.test_data}"
    if not fast_dev_run:
        after[f"harness predict {named} PHOTO..."] = "predicts the class of photographs"
    if experiment.origin("data") != "command line" and typed is not None:
        after[f"harness run {typed} -s data=FOLDER"] = "trains on your own images"
    widest = max(map(len, after), default=0)
    noise, scores, model = crossval.noise, crossval.scores, model_line(folder)
    follower.addressed |= {folder.id} if model else set()
    rows = [
        ("baseline", baseline),
        *([("near copies", near)] if (near := folder.record.near_copies_text) else []),
        *([("repeats", noise_text(noise))] if noise is not None else []),
        ("folds" if experiment.folds else "accuracy", folds),
        ("evaluated", f"at {judged_at(crossval)}{optimistic if best > value + 5e-4 else ''}"),
        ("metrics", metric_text(scores)),
        *named_rows("calibration", calibration_text(scores)),
        *named_rows("confidence", abstention_text(scores.abstention)),
        *(
            ("stopped", f"fold {result.fold}: {result.stop_reason}")
            for result in crossval.results
            if result.stop_reason
        ),
        *(("resumed", text) for text in resume_texts(folder.record.resumes, folder.record.device)),
        ("time", f"{seconds:.0f} s (training {crossval.fit_seconds:.0f} s)"),
        ("run folder", str(crossval.run_dir)),
        ("checkpoints", str(crossval.results[0].checkpoint.parent)),
        ("plots", str(crossval.run_dir / "plots")),
        *named_rows("mlflow", [part.strip("() ") for part in model.split("  (") if part]),
        *([("report", str(report))] if (report := crossval.run_dir / "report.html").is_file() else []),
        *(
            ("not sent to", f"{name}: harness sync {crossval.run_dir}")
            for name, has in trackers.items()
            if has not in (COMPLETE, SENDING)
        ),
        *(("" if i else "next", f"{command:<{widest}}  {what}") for i, (command, what) in enumerate(after.items())),
    ]
    table = [f"  {line}" for line in class_table(scores.per_class)]
    between = ["", *table, ""] if table else [""]
    lines = [f"  {name:<11}  {text}" for name, text in rows]
    return ["", f"{experiment.name}: {headline}", *lines[:1], *([] if fast_dev_run else between), *lines[1:]]
