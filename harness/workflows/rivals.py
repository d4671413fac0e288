"""Compares a new model with two champions before it is promoted: the present one, and the best of the history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.evaluation.accuracy import SIGNIFICANCE
from harness.evaluation.comparison import Comparison, compare
from harness.evaluation.gate import Gate
from harness.models.saved import load_model
from harness.runs.champion import CHECKPOINT, Champion, champion_folder, history
from harness.runs.champion_record import ComparisonRecord
from harness.workflows.experiment_copy import model_function
from harness.workflows.test import Evaluation, evaluate


@dataclass(frozen=True)
class Rival:
    """A champion compared with the new model, on the same images.

    Attributes:
        number: Of the champion.
        is_present: True for the present champion, False for the best of the history.
        comparison: The new model minus this champion.
        leaked: Number of these images that this champion was trained on.
    """

    number: int
    is_present: bool
    comparison: Comparison
    leaked: int = 0

    @property
    def is_better(self) -> bool:
        """Whether it is right on more images than the new model."""
        return self.comparison.difference < 0

    def __str__(self) -> str:
        """The difference with its evidence, and how many more images would make it significant."""
        compared, name = self.comparison, f"champion {self.number}"
        name += "" if self.is_present else ", the best of the history"
        name += f" (trained on {self.leaked} of these images)" if self.leaked else ""
        word = "worse than" if self.is_better else "better than" if compared.difference > 0 else "equal to"
        text = f"{word} {name}: {compared}"
        if compared.p < SIGNIFICANCE:
            return text
        more = compared.more_images()
        if more is None:
            return f"{text}; no difference"
        return f"{text}; no significant difference: a difference of this size needs about {more:,} more images"


def evaluate_rivals(
    before: Champion | None, evaluation: Evaluation, data: str | None, runs: Path, folder: Path, trusted: bool
) -> Iterator[Rival]:
    """Evaluates the present champion and the best of the history on the images of `evaluation`.

    A champion with other classes is left out.
    """
    best = None if before is None else _best_of_history(before, folder)
    for champion in (before, best):
        if champion is None:
            continue
        checkpoint = before.checkpoint if champion is before else champion.run / CHECKPOINT
        model = load_model(checkpoint, function=model_function(checkpoint, trusted))
        if {*model.classes} != {*evaluation.model.classes}:
            continue
        other = evaluate(
            model,
            checkpoint,
            data or evaluation.images.root,
            gate=Gate(0.0),
            allow_missing=True,
            allow_leak=True,
            runs=runs,
            pictures=False,
            find_near_copies=False,  # only its predictions are used, and its accuracy is not printed
        )
        compared = compare(evaluation.predictions, other.predictions)
        yield Rival(champion.number, champion is before, compared, len(other.leaked))


def _best_of_history(before: Champion, folder: Path) -> Champion | None:
    """The champion with the highest test accuracy, among those with a checkpoint. Excludes `before` and rollbacks.

    Without it, each champion could be slightly worse than the last, and no comparison would show the sum.
    """
    candidates = [
        record
        for record in history(folder)
        if record.rolled_back is None
        and record.number != before.number
        and (champion_folder(record.number, folder) / CHECKPOINT).is_file()
    ]
    best = max(candidates, key=lambda record: (record.test.accuracy, record.number), default=None)
    return None if best is None else Champion(best, folder)


def comparison_record(rivals: Sequence[Rival], *, is_present: bool) -> ComparisonRecord | None:
    """The comparison of the new model with one of its rivals, as `champion.json` stores it."""
    rival = next((rival for rival in rivals if rival.is_present == is_present), None)
    if rival is None:
        return None
    compared = rival.comparison
    return ComparisonRecord(
        says=str(rival),
        champion=rival.number,
        better=compared.better,
        worse=compared.worse,
        p=compared.p,
        difference=compared.difference,
        interval=compared.interval,
        n=compared.n,
        needed=compared.images_needed(),
    )
