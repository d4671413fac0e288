"""The champions that a new model is compared with before it becomes one: the present one and the best of before."""

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
    """A champion beside the new model, judged on the same images.

    Attributes:
        number: Of the champion.
        is_present: Whether it is the present one; else it is the best of the history.
        comparison: The new model minus this one.
        leaked: Number of these images that this one was trained on.
    """

    number: int
    is_present: bool
    comparison: Comparison
    leaked: int = 0

    @property
    def is_better(self) -> bool:
        """Whether it has more of the images right than the new model."""
        return self.comparison.difference < 0

    def __str__(self) -> str:
        """What the evidence is, and what would be needed."""
        found, name = self.comparison, f"champion {self.number}"
        name += "" if self.is_present else ", the best of the history"
        name += f" (trained on {self.leaked} of these images)" if self.leaked else ""
        word = "worse than" if self.is_better else "better than" if found.difference > 0 else "equal to"
        text = f"{word} {name}: {found}"
        if found.p < SIGNIFICANCE:
            return text
        more = found.more_images()
        if more is None:
            return f"{text}; no difference"
        return f"{text}; no significant difference, about {more:,} more images would be needed to see one of this size"


def judged_rivals(
    before: Champion | None, evaluation: Evaluation, data: str | None, runs: Path, folder: Path, trusted: bool
) -> Iterator[Rival]:
    """The present champion and the best of the history, judged now on the very images of `evaluation`.

    One that knows other classes is left out.
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
            find_near_copies=False,  # it is compared image by image, and its accuracy is not shown
        )
        found = compare(evaluation.predictions, other.predictions)
        yield Rival(champion.number, champion is before, found, len(other.leaked))


def _best_of_history(before: Champion, folder: Path) -> Champion | None:
    """The champion with the highest accuracy in its test, of those whose checkpoint is kept; `before` does not count.

    Nor does one that was rolled back. Without this one, champions could become worse step by step.
    """
    kept = [
        record
        for record in history(folder)
        if record.rolled_back is None
        and record.number != before.number
        and (champion_folder(record.number, folder) / CHECKPOINT).is_file()
    ]
    best = max(kept, key=lambda record: (record.test.accuracy, record.number), default=None)
    return None if best is None else Champion(best, folder)


def comparison_record(rivals: Sequence[Rival], *, is_present: bool) -> ComparisonRecord | None:
    """How the new model compares with one of its rivals, as `champion.json` has it."""
    rival = next((rival for rival in rivals if rival.is_present == is_present), None)
    if rival is None:
        return None
    found = rival.comparison
    return ComparisonRecord(
        says=str(rival),
        champion=rival.number,
        better=found.better,
        worse=found.worse,
        p=found.p,
        difference=found.difference,
        interval=found.interval,
        n=found.n,
        needed=found.images_needed(),
    )
