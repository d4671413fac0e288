"""Simulates pruning in studies with known true accuracies: are the stated chances of pruned trials right?

No model is trained: an image has a latent difficulty, and each training of a fold has random noise. The remaining folds
of a pruned trial are drawn, too, so it is known whether it would have become the best. *before* is the formula of
earlier versions, which extrapolated the difference from the best trial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markdown_table import command_line, print_table
from numpy.typing import NDArray
from scipy.special import ndtri
from tqdm import tqdm

from harness.tuning.pruning_formula import CHANCE, EarlierTrials

Floats = NDArray[np.float64]
ALIKE = 0.64  # correlation between two trials' latent margins on one image
STEEP = 2.5  # of the loss in the latent margin
CONFIDENT = 8.0  # mean loss of an image on which a trial is confidently wrong
RULES = ("before", "now")
COLUMNS = (
    *("trials", "number, folds, images", "seed noise, points"),
    *("folds saved: before", "now", "of the pruned, would have won: before", "now"),
    *("stated / true: before", "now", "now, 2 to 5 %", "the best worse by, points: before", "now"),
)


@dataclass(frozen=True)
class Row:
    """A kind of study.

    Attributes:
        about: Description.
        spread: Standard deviation of true accuracies between trials, in points at the mean accuracy.
        seed: Standard deviation of a fold's true accuracy between seeds, in points.
        trials: Number of trials.
        folds: Number of folds.
        images: Number of images.
        accuracy: Mean true accuracy.
        bad: Share of trials that failed to converge: 50 to 70 %.
        learns: Whether trials after the eighth are close to the best of the first eight, as with a sampler.
        group: Images in a group.
        loss: Whether the study minimises the loss.
        wrong: Share of images on which a trial is confidently wrong.
        alike: Correlation between two trials' latent margins on one image.
        sites: Standard deviation between folds that all trials share, in points.
    """

    about: str
    spread: float = 0.0
    seed: float = 0.5
    trials: int = 20
    folds: int = 3
    images: int = 900
    accuracy: float = 0.95
    bad: float = 0.0
    learns: bool = False
    group: int = 1
    loss: bool = False
    wrong: float = 0.0
    alike: float = ALIKE
    sites: float = 0.0


ROWS = {
    "same-0": Row("identical settings", seed=0.0),
    "same": Row("identical settings"),
    "same-1": Row("identical settings", seed=1.0),
    "same-5": Row("identical settings", folds=5, images=300),
    "same-10": Row("identical settings", folds=10, images=1000),
    "same-2": Row("identical settings", folds=2, images=600),
    "same-98": Row("identical settings, accuracy 98.5 %", images=300, accuracy=0.985),
    "same-85": Row("identical settings, accuracy 85 %", folds=5, images=600, accuracy=0.85),
    "half": Row("settings that differ by 0.5 points", 0.5),
    "half-1": Row("settings that differ by 0.5 points", 0.5, seed=1.0),
    "two-0": Row("settings that differ by 2 points", 2.0, seed=0.0),
    "two-1": Row("settings that differ by 2 points", 2.0, seed=1.0),
    "two-10": Row("settings that differ by 2 points", 2.0, folds=10, images=1000),
    "five": Row("settings that differ by 5 points", 5.0),
    "five-5": Row("settings that differ by 5 points", 5.0, folds=5, images=300),
    "bad": Row("identical settings, a fifth failed", bad=0.2),
    "bad-two": Row("settings that differ by 2 points, a fifth failed", 2.0, bad=0.2),
    "learns": Row("a sampler that learns", 5.0, trials=30, accuracy=0.93, learns=True),
    "unlike": Row("0.5 points, models that agree less", 0.5, alike=0.25),
    "like": Row("0.5 points, models that agree more", 0.5, alike=0.9),
    "sites": Row("0.5 points, folds that differ by 5 points", 0.5, folds=5, sites=5.0),
    "groups": Row("identical settings, groups of 10", group=10),
    "groups-two": Row("settings that differ by 2 points, groups of 10", 2.0, group=10),
    "few": Row("5 trials, identical settings", trials=5),
    "few-two": Row("5 trials that differ by 2 points", 2.0, trials=5),
    "loss-0": Row("the loss, identical settings", seed=0.0, loss=True),
    "loss-1": Row("the loss, identical settings", seed=1.0, loss=True),
    "loss-two": Row("the loss, settings that differ by 2 points", 2.0, loss=True),
    "loss-five": Row("the loss, 5 points, a fifth failed", 5.0, bad=0.2, loss=True),
    "tail": Row("the loss with a heavy tail, identical settings", seed=0.0, loss=True, wrong=0.004),
    "tail-5": Row("the loss with a heavy tail, identical settings", seed=1.0, folds=5, loss=True, wrong=0.004),
    "tail-two": Row("the loss with a heavy tail, 2 points", 2.0, loss=True, wrong=0.004),
    "tail-few": Row("the loss with a heavy tail, 5 trials, 2 points", 2.0, trials=5, loss=True, wrong=0.004),
}


@dataclass(frozen=True)
class Outcome:
    """One study by one rule.

    Attributes:
        pruned: (P, 2), for each pruned trial: its stated chance, and whether it would have become the best.
        saved: Share of all folds that were not trained.
        lost: How much worse the best trial is than without pruning, in units of the score.
    """

    pruned: Floats
    saved: float
    lost: float


def draw(row: Row, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64] | None]:
    """Returns (T, N) scores of images, (N,) folds from 0, and (N,) groups or None."""
    n, level = row.images, float(ndtri(row.accuracy))
    group = np.arange(n) // row.group
    fold = (rng.permutation(group[-1] + 1) % row.folds)[group]
    point = 0.01 * math.sqrt(2 * math.pi) * math.exp(level**2 / 2)  # of accuracy, in latent units
    ability = level + row.spread * point * rng.standard_normal(row.trials)
    if row.learns:
        ability[8:] = min(ability[:8].max(), 2.6) + 0.3 * point * rng.standard_normal(row.trials - 8)
    failed = rng.random(row.trials) < row.bad
    ability[failed] = ndtri(rng.uniform(0.5, 0.7, failed.sum()))
    site = row.sites * point * rng.standard_normal(row.folds if row.sites else 0)
    luck = row.seed * point * rng.standard_normal((row.trials, row.folds))
    luck = luck + site if row.sites else luck
    margin = ability[:, None] + luck[:, fold] - row.alike**0.5 * _normal(rng, group, 0.7 * (row.group > 1), 1)
    margin -= (1 - row.alike) ** 0.5 * _normal(rng, group, 0.5 * (row.group > 1), row.trials)
    if not row.loss:
        return (margin > 0).astype(float), fold, group if row.group > 1 else None
    logit = STEEP * margin
    logit = np.where(rng.random(logit.shape) < row.wrong, -rng.exponential(CONFIDENT, logit.shape), logit)
    return -np.logaddexp(0, -logit), fold, group if row.group > 1 else None


def _normal(rng: np.random.Generator, group: NDArray[np.int64], shared: float, rows: int) -> Floats:
    """Standard normal numbers (rows, N); images of a group share `of_group` of their variance."""
    own = math.sqrt(1 - shared) * rng.standard_normal((rows, len(group)))
    return own + math.sqrt(shared) * rng.standard_normal((rows, group[-1] + 1))[:, group] if shared else own


def simulate(row: Row, number: int, rule: str) -> Outcome:
    """Simulates one study."""
    scores, fold, group = draw(row, np.random.default_rng(number))
    images = [np.flatnonzero(fold == k) for k in range(row.folds)]
    groups = None if group is None else {k: group[each] for k, each in enumerate(images)}
    totals = scores.sum(1)
    done: list[int] = []
    pruned = []
    best = -1

    def by_fold(trial: int, folds: int) -> dict[int, Floats]:
        return {k: scores[trial, images[k]] for k in range(folds)}

    for trial in range(row.trials):
        earlier: Any = None
        if best >= 0:
            others = [by_fold(other, done[other]) for other in range(trial) if other != best]
            earlier = EarlierTrials(by_fold(best, row.folds), others, not row.loss, groups)
        folds = row.folds
        for count in range(1, row.folds if best >= 0 else 0):
            own = by_fold(trial, count)
            chance = (
                earlier.chance_to_win(own)
                if rule == "now"
                else chance_before(scores, images, group, trial, best, count)
            )
            if chance < CHANCE:
                pruned.append((chance, totals[trial] > totals[best]))
                folds = count
                break
        done.append(folds)
        if folds == row.folds and (best < 0 or totals[trial] > totals[best]):
            best = trial
    lost = float(totals.max() - totals[best]) / row.images
    return Outcome(np.array(pruned).reshape(-1, 2), 1 - sum(done) / (row.trials * row.folds), lost)


def chance_before(scores: Floats, images: Any, group: Any, trial: int, best: int, count: int) -> float:
    """The chance by the formula of earlier versions, after `count` folds."""
    seen = np.concatenate(images[:count])
    differences = scores[trial, seen] - scores[best, seen]
    judged, left = len(seen), scores.shape[1] - len(seen)
    if group is not None:
        sums = np.bincount(np.unique(group[seen], return_inverse=True)[1], weights=differences)
        differences = sums * len(sums) / judged
    n = len(differences)
    left = round(left * n / judged)
    variance = (differences.var() * n + 1) / (n + 1) * left * (1 + left / n) + (0.005 * left) ** 2
    return 0.5 * math.erfc(-differences.sum() * (1 + left / n) / math.sqrt(2 * variance))


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Sums over studies, and means."""
    pruned = np.concatenate([each.pruned for each in outcomes])
    unsure = pruned[pruned[:, 0] >= 0.02]
    return {
        "pruned": len(pruned),
        "stated": float(pruned[:, 0].sum()),
        "won": float(pruned[:, 1].sum()),
        "stated of 2 to 5 %": float(unsure[:, 0].sum()),
        "won of 2 to 5 %": float(unsure[:, 1].sum()),
        "saved": float(np.mean([each.saved for each in outcomes])),
        "lost": float(np.mean([each.lost for each in outcomes])),
    }


def line(row: Row, found: Mapping[str, Mapping[str, float]]) -> str:
    """A line of the table from the summary of each rule."""
    by_rule = [found[rule] for rule in RULES]
    cells = [
        row.about,
        f"{row.trials}, {row.folds}, {row.images}",
        f"{row.seed:g}",
        *(f"{100 * each['saved']:.0f} %" for each in by_rule),
        *(f"{each['won']:.0f} of {each['pruned']:.0f}" for each in by_rule),
        *(_ratio(each["stated"], each["won"]) for each in by_rule),
        _ratio(found["now"]["stated of 2 to 5 %"], found["now"]["won of 2 to 5 %"]),
        *("–" if row.loss else f"{100 * each['lost']:.2f}" for each in by_rule),
    ]
    return f"| {' | '.join(cells)} |"


def _ratio(stated: float, won: float) -> str:
    """The ratio with its Monte-Carlo standard error, from a Poisson count."""
    return f"{stated / won:.2f} ± {stated / won**1.5:.2f}" if won else f"{stated:.1f} / 0"


def run(row: Row, rule: str, repeats: int, title: str = "") -> list[Outcome]:
    """Runs the studies of a row; the number of a study is its seed."""
    numbers = tqdm(range(repeats), desc=title, disable=None if title else True)
    return [simulate(row, number, rule) for number in numbers]


def main(arguments: Sequence[str]) -> None:
    """Prints each row when it is complete."""

    def lines(name: str, row: Row, options: Any) -> list[str]:
        return [line(row, {rule: summary(run(row, rule, options.repeats, name)) for rule in RULES})]

    print_table(command_line("pruning", __doc__, ROWS, 1000), arguments, ROWS, COLUMNS, lines)
