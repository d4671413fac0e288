"""Two sides of a comparison, with their difference and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.evaluation.accuracy import SIGNIFICANCE
from harness.evaluation.comparison import Comparison
from harness.util.text import counted
from harness.workflows.compare.sides import Side


@dataclass(frozen=True)
class Pair:
    """Two sides, compared on the shared images.

    Attributes:
        first: The first side.
        second: The second side.
        comparison: Their difference, first minus second.
        p: The p-value, corrected for all pairs.
        pairs: Number of pairs.
    """

    first: Side
    second: Side
    comparison: Comparison
    p: float
    pairs: int

    @property
    def better(self) -> Side | None:
        """The side that is significantly better; None if there is no significant difference."""
        if self.p >= SIGNIFICANCE:
            return None
        return self.first if self.comparison.difference > 0 else self.second

    @property
    def images_needed(self) -> int | None:
        """About how many images, in all, would show a difference of this size; None if it is significant or 0."""
        return None if self.better else self.comparison.images_needed(SIGNIFICANCE / self.pairs)

    @property
    def more_images(self) -> int | None:
        """`images_needed` without the shared images, rounded to two digits."""
        return None if self.better else self.comparison.more_images(SIGNIFICANCE / self.pairs)

    @property
    def unfair(self) -> str:
        """Why the verdict is not valid: the accuracy of one side is too good. Empty if no reason is known."""
        sides = self.first, self.second
        leaked = [side.label for side in sides if side.leak]
        if leaked:
            were = (
                f"{leaked[0]} was trained on its"
                if len(leaked) == 1
                else f"{' and '.join(leaked)} were trained on their"
            )
            return f"not a fair comparison, because {were} images"
        optimistic = [side.label for side in sides if side.is_optimistic]
        return f"not a fair comparison, because only {optimistic[0]} is optimistic" if len(optimistic) == 1 else ""

    def verdict(self) -> str:
        """The verdict in one sentence."""
        text = self.short_verdict
        if self.more_images is not None:
            text += f"; a difference of this size needs about {self.more_images:,} more images"
        elif self.better is None and self.comparison.better:
            count = self.comparison.better
            text += f": each is right on {counted(count, 'image')} where the other is wrong"
        elif self.better is None:
            text += ": both are right on the same images"
        return f"{text}; {self.unfair}" if self.unfair else text

    @property
    def short_verdict(self) -> str:
        """Which side is better, with the p-value."""
        if self.better is not None:
            return f"{self.better.label} is better ({p_text(self.p)})"
        if self.more_images is not None:
            return f"no significant difference ({p_text(self.p)})"
        return "no difference" if self.comparison.better else "no difference at all"


def as_dict(pair: Pair) -> dict[str, Any]:
    """A pair as plain values."""
    comparison, better = pair.comparison, pair.better
    return {
        "first": pair.first.label,
        "second": pair.second.label,
        "difference": comparison.difference,
        "interval": list(comparison.interval),
        "first_alone": comparison.better,
        "second_alone": comparison.worse,
        "p": comparison.p,
        "p_corrected": pair.p,
        "better": None if better is None else better.label,
        "images_needed": pair.images_needed,
        "more_images": pair.more_images,
        "unfair": pair.unfair,
        "verdict": pair.verdict(),
    }


def p_text(p: float) -> str:
    """A p-value with two digits, or with enough digits to show whether it is below the level."""
    if p < 1e-300:
        return "p below 1e-300"
    for digits in range(2, 12):
        text = f"{p:.{digits}g}"
        if (float(text) < SIGNIFICANCE) == (p < SIGNIFICANCE):
            break
    return f"p {text}"
