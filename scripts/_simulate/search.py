"""Simulates studies with known true accuracies: false differences from the best trial, and the bias of the best trial.

No model is trained: an image has a latent difficulty, and each training of a fold has random noise. *before* is
McNemar's test of each trial against the best, and the uncorrected value of the best trial.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markdown_table import command_line, print_table
from numpy.typing import NDArray
from scipy.special import ndtri
from tqdm import tqdm

from harness.evaluation.accuracy import SIGNIFICANCE
from harness.evaluation.best_of_many import (
    accuracy_without_luck,
    compare_with_best,
    noise_between,
    score_without_luck,
)
from harness.evaluation.groups import accuracy_of, paired_test
from harness.tuning.fold_table import SHOWN
from harness.tuning.pruning_formula import CHANCE, EarlierTrials

Floats = NDArray[np.float64]
ALIKE = 0.8  # correlation between two trials' latent margins on one image
STEEP = 3.0  # of the loss in the latent margin
BAD, BAD_NOISE = 0.6, 0.1  # accuracy and noise of a trial that failed to converge
DRAWS = 200  # of the bootstrap
COLUMNS = (
    *(
        "row",
        "trials, folds, n",
        "seed noise, points",
        "an equal one called different: before",
        "now",
        "worse ones found",
    ),
    *("the best too high, points: before", "other folds", "bootstrap", "expected"),
    *("its interval covers: before", "expected", "studies"),
)


@dataclass(frozen=True)
class Row:
    """A kind of study.

    Attributes:
        about: Description.
        trials: Number of trials.
        folds: Number of folds.
        images: Number of images.
        accuracy: Mean true accuracy of a trial's models.
        noise: Standard deviation of a fold's true accuracy between seeds.
        spread: Standard deviation of true accuracies between trials.
        worse: Difference in accuracy of the second half of the trials.
        bad: Share of trials that failed to converge: 60 %, with a noise of 10 points.
        noisy: Noise of every second trial; 0 if all have the same.
        group: Images in a group.
        prunes: Whether trials are pruned between folds.
        loss: Whether the study minimises the loss.
        compares: Whether the bootstrap and the choice on other folds are computed.
    """

    about: str
    trials: int = 11
    folds: int = 3
    images: int = 1000
    accuracy: float = 0.95
    noise: float = 0.0
    spread: float = 0.0
    worse: float = 0.0
    bad: float = 0.0
    noisy: float = 0.0
    group: int = 1
    prunes: bool = False
    loss: bool = False
    compares: bool = False


ROWS = {
    "same": Row("identical settings", compares=True),
    "same-0.5": Row("identical settings", noise=0.005, compares=True),
    "same-1": Row("identical settings", noise=0.01, compares=True),
    "same-3": Row("identical settings", trials=3, noise=0.005, compares=True),
    "same-30": Row("identical settings", trials=30, folds=5, noise=0.005, compares=True),
    "same-300": Row("identical settings, accuracy 85 %", trials=8, images=300, accuracy=0.85, noise=0.005),
    "same-98": Row("identical settings, accuracy 98 %", trials=8, folds=5, images=300, accuracy=0.98, noise=0.01),
    "pruned": Row("identical settings, pruned", noise=0.005, prunes=True, compares=True),
    "pruned-30": Row("identical settings, pruned", trials=30, folds=5, noise=0.01, prunes=True, compares=True),
    "noisy": Row("identical, but half of them have 2 points of noise", trials=8, noise=0.003, noisy=0.02),
    "groups": Row("identical settings, groups of 10", accuracy=0.9, noise=0.005, group=10),
    "loss": Row("identical settings, minimising the loss", accuracy=0.9, noise=0.005, loss=True),
    "loss-pruned": Row(
        "identical settings, minimising the loss, pruned", 20, 3, accuracy=0.9, noise=0.01, loss=True, prunes=True
    ),
    "spread": Row("settings with a deviation of 0.5 points", noise=0.005, spread=0.005, compares=True),
    "spread-2": Row("settings with a deviation of 2 points", noise=0.005, spread=0.02, compares=True),
    "bad": Row(
        "a deviation of 0.5 points, a quarter failed to converge", noise=0.005, spread=0.005, bad=0.25, compares=True
    ),
    "worse-1": Row("half of the trials worse by 1 point", 8, noise=0.005, worse=0.01),
    "worse-2": Row("half of the trials worse by 2 points", 8, noise=0.005, worse=0.02),
    "worse-4": Row("half of the trials worse by 4 points", 8, noise=0.005, worse=0.04),
    "worse-bad": Row("the same, a quarter failed to converge", 8, noise=0.005, worse=0.04, bad=0.25),
    "worse-4-small": Row("half of the trials worse by 4 points", 8, images=300, noise=0.005, worse=0.04),
}


@dataclass(frozen=True)
class Outcome:
    """The result of one study.

    Attributes:
        false: By rule, whether a trial as good as the best was called different.
        found: Share of the truly worse trials in the table that were called different; None if there are none.
        errors: By rule, the value of the best trial minus its true value.
        covers: By rule, whether the interval contains the true value.
    """

    false: dict[str, bool]
    found: float | None
    errors: dict[str, float]
    covers: dict[str, bool]


def simulate(row: Row, number: int) -> Outcome | None:
    """Simulates one study. Returns None if pruning left only one complete trial: nothing can be compared."""
    rng = np.random.default_rng(number)
    truth = _truth(row, rng)
    scores, fold, groups = _draw(row, truth, rng)
    done = _folds_trained(row, scores, fold, groups) if row.prunes else np.full(row.trials, row.folds)
    complete = np.flatnonzero(done == row.folds)
    images = np.bincount(fold)
    table = np.stack([scores[:, fold == k].mean(1) for k in range(row.folds)], 1)
    complete = complete[np.argsort(-scores[complete].mean(1), kind="stable")]
    top, best = complete[:SHOWN], complete[0]
    noise = noise_between(table[complete], images, scores[top], groups)
    if noise is None:
        return None
    p = compare_with_best(table[top], images, noise, row.trials, scores[top], groups)
    equal = truth[top] >= truth[best]
    worse = truth[top] == row.accuracy - row.worse
    found = float((p[worse] < SIGNIFICANCE).mean()) if row.worse and worse.any() else None
    if row.loss:
        return Outcome({"now": bool((p[equal] < SIGNIFICANCE).any())}, found, {}, {})
    right = scores.astype(bool)
    old = np.array([paired_test(right[best], right[other], groups) for other in top])
    false = {name: bool((each[equal] < SIGNIFICANCE).any()) for name, each in (("before", old), ("now", p))}
    judged = np.where(np.arange(row.folds) < done[:, None], table, np.nan)
    before = accuracy_of(right[best], groups)
    expected = accuracy_without_luck(before, score_without_luck(judged, images, noise), noise)
    values = {"before": before.value, "expected": expected.value}
    if row.compares:
        complete = np.sort(complete)  # otherwise the best of all would win ties
        values |= {"other folds": _other_folds(table[complete], images), "bootstrap": _bootstrap(scores[complete], rng)}
    covers = {
        name: each.interval[0] <= truth[best] <= each.interval[1]
        for name, each in (("before", before), ("expected", expected))
    }
    return Outcome(false, found, {name: value - truth[best] for name, value in values.items()}, covers)


def _truth(row: Row, rng: np.random.Generator) -> Floats:
    truth = np.clip(row.accuracy + row.spread * rng.standard_normal(row.trials), 0.5, 0.995)
    truth[row.trials // 2 :] -= row.worse
    truth[rng.random(row.trials) < row.bad] = BAD
    return truth


def _draw(row: Row, truth: Floats, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64], Any]:
    """Returns (T, N) scores, (N,) folds, and (N,) groups or None."""
    n = row.images
    group = np.arange(n) // row.group
    fold = (rng.permutation(group[-1] + 1) % row.folds)[group]
    common = 0.6 if row.group > 1 else 0.0
    difficulty = common**0.5 * rng.standard_normal(group[-1] + 1)[group] + (1 - common) ** 0.5 * rng.standard_normal(n)
    noise = np.where(truth == BAD, BAD_NOISE, np.where(np.arange(row.trials) % 2, row.noisy or row.noise, row.noise))
    accuracy = truth[:, None] + noise[:, None] * rng.standard_normal((row.trials, row.folds))
    accuracy = np.clip(accuracy, 1e-6, 1 - 1e-6)
    margin = ndtri(accuracy)[:, fold] - ALIKE**0.5 * difficulty
    margin -= (1 - ALIKE) ** 0.5 * rng.standard_normal((row.trials, n))
    scores = -np.logaddexp(0, -STEEP * margin) if row.loss else (margin > 0).astype(float)
    return scores, fold, group if row.group > 1 else None


def _folds_trained(row: Row, scores: Floats, fold: NDArray[np.int64], groups: Any) -> NDArray[np.int64]:
    """Folds that each trial is trained on, (T,), when the pruner compares it with earlier trials."""
    images = [np.flatnonzero(fold == k) for k in range(row.folds)]
    by_fold = None if groups is None else {k: groups[each] for k, each in enumerate(images)}
    done = np.full(row.trials, row.folds)
    best = 0
    for trial in range(1, row.trials):
        parts = [{k: scores[other, images[k]] for k in range(done[other])} for other in range(trial + 1)]
        own = parts.pop()
        earlier = EarlierTrials(parts.pop(best), parts, not row.loss, by_fold)
        for k in range(1, row.folds):
            if earlier.chance_to_win({each: own[each] for each in range(k)}) < CHANCE:
                done[trial] = k
                break
        if done[trial] == row.folds and scores[trial].mean() > scores[best].mean():
            best = trial
    return done


def _other_folds(table: Floats, images: NDArray[np.int64]) -> float:
    """The value if a trial is chosen on all folds except one, and evaluated on that one."""
    total = 0.0
    for k in range(len(images)):
        others = np.delete(np.arange(len(images)), k)
        chosen = int((table[:, others] @ images[others]).argmax())
        total += float(table[chosen, k] * images[k])
    return total / float(images.sum())


def _bootstrap(scores: Floats, rng: np.random.Generator) -> float:
    """The value if a trial is chosen on drawn images, and evaluated on the others (Tsamardinos et al. 2018)."""
    n = scores.shape[1]
    counts = rng.multinomial(n, np.full(n, 1 / n), DRAWS)
    chosen = (scores @ counts.T).argmax(0)
    return float(np.mean([scores[trial, drawn == 0].mean() for trial, drawn in zip(chosen, counts, strict=True)]))


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """By column: shares in percent, and mean errors in points."""
    found: dict[str, float] = {}
    for part in ("before", "now"):
        if part in outcomes[0].false:
            found[f"false {part}"] = 100 * float(np.mean([each.false[part] for each in outcomes]))
    if shares := [each.found for each in outcomes if each.found is not None]:
        found["found"] = 100 * float(np.mean(shares))
    for name in outcomes[0].errors:
        found[f"error {name}"] = 100 * float(np.mean([each.errors[name] for each in outcomes]))
    for name in outcomes[0].covers:
        found[f"covers {name}"] = 100 * float(np.mean([each.covers[name] for each in outcomes]))
    return found


def line(row: Row, outcomes: Sequence[Outcome]) -> str:
    """A line of the table."""
    found = summary(outcomes)

    def cell(name: str, style: str) -> str:
        return style.format(found[name]) if name in found else "–"

    cells = [
        row.about,
        f"{row.trials}, {row.folds}, {row.images}",
        f"{100 * row.noise:g}",
        *(cell(f"false {part}", "{:.1f} %") for part in ("before", "now")),
        cell("found", "{:.0f} %"),
        *(cell(f"error {name}", "{:+.2f}") for name in ("before", "other folds", "bootstrap", "expected")),
        *(cell(f"covers {name}", "{:.0f} %") for name in ("before", "expected")),
        str(len(outcomes)),
    ]
    return f"| {' | '.join(cells)} |"


def run(row: Row, repeats: int, title: str = "") -> list[Outcome]:
    """Runs the studies of a row; the number of a study is its seed."""
    numbers = tqdm(range(repeats), desc=title, disable=None if title else True)
    return [outcome for outcome in map(functools.partial(simulate, row), numbers) if outcome is not None]


def main(arguments: Sequence[str]) -> None:
    """Prints each row when it is complete."""

    def lines(name: str, row: Row, options: Any) -> list[str]:
        return [line(row, run(row, options.repeats, name))]

    print_table(command_line("search", __doc__, ROWS, 2000), arguments, ROWS, COLUMNS, lines)
