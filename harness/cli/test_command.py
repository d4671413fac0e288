"""`harness test`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import main as cli
from harness.cli.bare_weights import bare_weights_options, class_names
from harness.cli.output import echo_fitting, echo_json
from harness.errors import UsageError, storage_errors
from harness.util.escape import markdown
from harness.util.text import counts_text, size_text

if TYPE_CHECKING:
    from harness.workflows.test import Evaluation


@click.command("test", short_help=cli.VERBS["test"])
@click.argument("model")
@click.option("--data", help="Test images, a folder per class. By default the experiment's test_data.")
@click.option("--min-accuracy", type=cli.SHARE, help="The gate. By default the experiment's, or 0.7.")
@click.option(
    "--metric", type=click.Choice(["accuracy", "balanced_accuracy"]), default="accuracy", help="The metric of the gate."
)
@click.option("--min-recall", multiple=True, help="The least recall of a class, as in sea=0.9. May be repeated.")
@click.option("--confident", is_flag=True, help="Pass only if the lower end of each 95 % interval passes.")
@bare_weights_options
@click.option("--ensemble", is_flag=True, help="Also test the mean of all folds' models, and measure its time.")
@click.option("--allow-missing", is_flag=True, help="Continue if a class has no images.")
@click.option("--skip-corrupt", is_flag=True, help="Leave out images that cannot be decoded.")
@click.option("--allow-leak", is_flag=True, help="Continue if the model was trained on some of the images.")
@cli.trust_option
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto: the fastest.")
@click.option("--tracker", type=click.Choice(["mlflow", "none"]), help="By default, as in the experiment.")
@click.option("--runs", default="runs", show_default=True, help="Folder that run folders lie in.")
@click.option("--out", help="Write to this folder, in the place of an earlier test (for DVC).")
@click.option("--summary", type=click.Path(path_type=Path), help="Append the result in Markdown to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")
def command(
    model: str,
    data: str | None,
    min_accuracy: float | None,
    metric: str,
    min_recall: tuple[str, ...],
    confident: bool,
    classes: str | None,
    architecture: str | None,
    image_size: int | None,
    weights_key: str | None,
    ensemble: bool,
    allow_missing: bool,
    skip_corrupt: bool,
    allow_leak: bool,
    trust: bool,
    device: str,
    tracker: str | None,
    runs: str,
    out: str | None,
    summary: Path | None,
    as_json: bool,
) -> None:
    """Test MODEL on images that it was never trained on.

    MODEL is a run, a checkpoint or champion. The model of a run is the one on all images, or the best fold's.

    The exit code is 3 if the model does not reach the gate.
    """
    recalls = _recalls(min_recall)
    names = class_names(classes)
    from harness.evaluation.gate import Gate
    from harness.workflows.ensemble import fold_models
    from harness.workflows.find_model import find_model
    from harness.workflows.test import evaluate

    found = find_model(
        model,
        Path(runs),
        trust=trust,
        classes=names,
        architecture=architecture,
        image_size=image_size,
        weights_key=weights_key,
    )
    path = found.path
    evaluation = evaluate(
        found.saved,
        path,
        data,
        gate=Gate(min_accuracy, metric, recalls, confident),
        ensemble=fold_models(model, Path(runs), trust) if ensemble else (),
        allow_missing=allow_missing,
        skip_corrupt=skip_corrupt,
        allow_leak=allow_leak,
        device=device,
        trackers=None if tracker is None else [] if tracker == "none" else [tracker],
        runs=Path(runs),
        out=None if out is None else Path(out),
    )
    if summary is not None:
        with storage_errors(summary, "--summary with another file"), summary.open("a", encoding="utf-8") as file:
            file.write("\n".join(_markdown(evaluation, path)) + "\n")
    if as_json:
        echo_json({"run_dir": str(evaluation.run_dir), "checkpoint": str(path), **evaluation.to_dict()})
    else:
        echo_fitting(*_report(evaluation, path))
    evaluation.require_passed()


def _recalls(typed: tuple[str, ...]) -> dict[str, float]:
    """`sea=0.9` as {"sea": 0.9}. Raises UsageError for anything else."""
    recalls = {}
    for text in typed:
        name, _, floor = text.rpartition("=")
        try:
            recalls[name] = float(floor)
        except ValueError:
            recalls[name] = math.nan
        if not name or not 0 <= recalls[name] <= 1:
            why = "it takes a class and a number from 0 to 1"
            raise UsageError(f"--min-recall {text} is not a floor", why, "--min-recall sea=0.9")
    return recalls


def _report(evaluation: Evaluation, path: Path) -> list[str]:
    from harness.cli.scores_text import (
        abstention_text,
        calibration_text,
        class_table,
        confusion_table,
        metric_text,
        named_rows,
    )
    from harness.runs.record_parts import leak_text

    numbers, saved = evaluation.to_dict(), evaluation.model
    accuracy = evaluation.accuracy
    wrong = accuracy.n - accuracy.right
    trained = " (trained on all images of its run)" if saved.is_refit else ""
    named = saved.architecture.rpartition(":")[2]
    rows = [
        ("model", f"{path}{trained}: {named} at {size_text(saved.transform.image_size)}"),
        ("data", f"{evaluation.images.root}: {accuracy.n} images ({counts_text(evaluation.images.counts())})"),
        *(("warning", note) for note in evaluation.notes),
        ("accuracy", f"{accuracy}{leak_text(len(evaluation.leaked), accuracy.n)}"),
        *([("near copies", near)] if (near := evaluation.near_copies_text) else []),
        ("tested", str(evaluation.looks or "not counted: .harness/tests.jsonl cannot be written")),
        ("wrong", f"{100 * numbers['misclassification_rate']:.1f} % misclassified, {wrong} of {accuracy.n}"),
        *([("ensemble", str(evaluation.ensemble))] if evaluation.ensemble else []),
        ("metrics", metric_text(evaluation.scores)),
        *named_rows("calibration", calibration_text(evaluation.scores)),
        *named_rows("confidence", abstention_text(evaluation.scores.abstention)),
    ]
    return [
        *(f"{name:<11}  {text}" for name, text in rows),
        "",
        *([*table, ""] if (table := class_table(evaluation.per_class)) else []),
        *([*table, ""] if (table := confusion_table(evaluation.model.classes, evaluation.confusion)) else []),
        f"{'written to':<11}  {evaluation.run_dir}: metrics.json, predictions.csv, plots/",
        *(f"{'gate' if i == 0 else '':<11}  {text}" for i, text in enumerate(_gate(evaluation))),
    ]


def _markdown(evaluation: Evaluation, path: Path) -> list[str]:
    """The result for a page: the gate, the accuracy, the confusion matrix, and each class."""
    from harness.cli.scores_text import share_text
    from harness.runs.record_parts import leak_text

    names, accuracy = [markdown(name) for name in evaluation.model.classes], evaluation.accuracy
    outcome = "Passed" if evaluation.passed else "Failed"
    return [
        f"## {outcome}: {markdown(path.name)} on {markdown(str(evaluation.images.root))}",
        "",
        f"Accuracy **{100 * accuracy.value:.1f} %**, {accuracy.right} of {accuracy.n} images "
        f"(95 % interval {100 * accuracy.interval[0]:.1f} to {100 * accuracy.interval[1]:.1f} %), "
        f"log loss {evaluation.scores.after.log_loss:.4f}{leak_text(len(evaluation.leaked), accuracy.n)}.",
        *(f"- gate: {markdown(text)}" for text in _gate(evaluation)),
        *([f"- near copies: {near}"] if (near := evaluation.near_copies_text) else []),
        *([f"- {evaluation.looks}"] if evaluation.looks else []),
        *(f"- {markdown(note)}" for note in evaluation.notes),
        "",
        f"| true \\ called | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
        *(
            f"| {name} | {' | '.join(map(str, row))} |"
            for name, row in zip(names, evaluation.confusion.tolist(), strict=True)
        ),
        "",
        "| class | precision | recall | F1 | images |",
        "|---|---|---|---|---|",
        *(
            f"| {markdown(score.name)} | "
            f"{' | '.join(map(share_text, (score.precision, score.recall, score.f1)))} | {score.support} |"
            for score in evaluation.per_class
        ),
        "",
    ]


def _gate(evaluation: Evaluation) -> list[str]:
    """A line for each floor, and how many right predictions would put the first one's interval above it."""
    lines = [f"{'PASS' if floor.passed else 'FAIL'}: {floor}" for floor in evaluation.floors]
    first = evaluation.floors[0]
    if first.passed and not first.is_sure and evaluation.gate.metric == "accuracy":
        lines.append(f"for the whole interval to pass, {_needed(evaluation, first.least)}")
    return lines


def _needed(evaluation: Evaluation, least: float) -> str:
    """How many right predictions, on as many images, put the whole interval above the gate."""
    from harness.evaluation.accuracy import wilson_interval

    n = evaluation.accuracy.n
    worth = (evaluation.accuracy.effective or n) / n  # of an image, where groups count
    enough = next((right for right in range(n + 1) if wilson_interval(right * worth, n * worth)[0] >= least), None)
    return "more images are needed" if enough is None else f"{enough} of {n} predictions must be right"
