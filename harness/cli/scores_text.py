"""The numbers of a run or a test, for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.cli.output import FIXED_SPACE, WIDTH
from harness.evaluation.abstention import Abstention
from harness.evaluation.scorecard import Reliability, Scorecard
from harness.evaluation.scores import ClassScore
from harness.runs.scores_record import NoiseRecord
from harness.util.files import short

FEW_CLASSES = 10  # whose table is printed; of more, run.json has it
LONGEST_NAME = 60  # characters of a class in its table
LONGEST_TRUE = 30  # and left of a confusion matrix that is too wide
PREDICTED = "  predicted "


def metric_text(scores: Scorecard) -> str:
    """The metrics in one line."""
    named = {name: value for name, value in scores.metrics.items() if name not in ("accuracy", "calibration_error")}
    texts = (f"{name.replace('_', ' ')} {_number(value)}" for name, value in named.items())
    return ", ".join(text.replace(" ", FIXED_SPACE) for text in texts)


def calibration_text(scores: Scorecard) -> list[str]:
    """The calibration error without the temperature, and a line with it."""
    before = f"error {_error(scores.before)}, log loss {scores.before.log_loss:.4f}"
    if scores.temperature == 1:
        return [f"{before}; no temperature"]
    after = f"error {_error(scores.after)}, log loss {scores.after.log_loss:.4f}"
    return [before, f"{after}, with temperature {scores.temperature:.2f}"]


def abstention_text(rows: Sequence[Abstention]) -> list[str]:
    """A line for each threshold that changes the share of predictions: with less confidence, the model abstains."""
    lines, before = [], -1
    for row in rows:
        if row.answered == before:
            continue
        before = row.answered
        accuracy = row.accuracy
        if accuracy is None:
            lines.append(f">= {row.threshold:<4g}  no predictions")
            continue
        low, high = (100 * bound for bound in accuracy.interval)
        lines.append(
            f">= {row.threshold:<4g}  {100 * row.share:5.1f} % of images, "
            f"accuracy {100 * accuracy.value:5.1f} % ({low:.1f} to {high:.1f} %)"
        )
    return lines


def named_rows(name: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    """The rows of a table for several texts: the first one has the name."""
    return [(name if i == 0 else "", text) for i, text in enumerate(texts)]


def noise_text(noise: NoiseRecord) -> str:
    """How much the accuracy varies with the seed."""
    text = ", ".join(f"{100 * value:.1f}" for value in noise.repeats) + " %"
    if noise.deviation is not None:
        text += f": standard deviation {100 * noise.deviation:.2f} points, from the seed alone"
    if noise.of_a_model is not None and noise.interval is not None:
        low, high = (100 * bound for bound in noise.interval)
        text += f"; for one model {100 * noise.of_a_model:.2f} ({low:.2f} to {high:.2f})"
    return text


def class_table(per_class: Sequence[ClassScore]) -> list[str]:
    """Precision, recall, F1 and support; nothing for many classes."""
    if len(per_class) > FEW_CLASSES:
        return []
    names = [short(score.name, LONGEST_NAME) for score in per_class]
    width = max(5, *map(len, names))
    lines = [f"{'class':<{width}}  precision  recall     F1  support"]
    for name, score in zip(names, per_class, strict=True):
        values = zip((score.precision, score.recall, score.f1), (9, 6, 5), strict=True)
        shares = [f"{share_text(value):>{size}}" for value, size in values]
        lines.append(f"{name:<{width}}  {'  '.join(shares)}  {score.support:>7}")
    return lines


def confusion_table(names: Sequence[str], counts: np.ndarray) -> list[str]:
    """A row for each true class, with long names cut so that it fits; nothing for many classes.

    Args:
        names: The classes (C).
        counts: The images of each true class (row) by predicted class (column) (C, C).
    """
    if len(names) > FEW_CLASSES:
        return []
    longest = max(9, *map(len, names))
    if longest + len(PREDICTED) + len(names) * (longest + 2) - 2 <= WIDTH:
        first = width = longest
    else:
        first = min(LONGEST_TRUE, longest)
        width = (WIDTH - first - len(PREDICTED) + 2) // len(names) - 2
        width = max(width, len(str(counts.max())))
    lines = [f"{'true':<{first}}{PREDICTED}" + "  ".join(f"{short(name, width):>{width}}" for name in names)]
    for name, row in zip(names, counts.tolist(), strict=True):
        lines.append(f"{short(name, first):<{first}}{' ' * len(PREDICTED)}" + "  ".join(f"{n:>{width}}" for n in row))
    return lines


def share_text(value: float | None) -> str:
    """A share; "-" if it is undefined."""
    return "-" if value is None else f"{value:.3f}"


def _error(found: Reliability) -> str:
    low, high = (100 * bound for bound in found.interval)
    return f"{100 * found.error:.1f} % ({low:.1f} to {high:.1f} %)"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
