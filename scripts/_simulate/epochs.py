"""Simulates pruning within a fold, after an epoch, with small real fits whose settings differ.

Every fit is completed, so it is known whether a pruned trial would have become the best. Learning rates, widths,
weight decay and batch sizes are random; the schedule is constant or a cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from markdown_table import command_line, print_table
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from tqdm import tqdm
from world import FEATURES, World

from harness import Callback, LearningRateSchedule, State, Trainer
from harness.tuning.pruning_formula import CHANCE, EarlierTrials

Floats = NDArray[np.float64]
COLUMNS = (
    *("fits", "trials, folds, images", "epochs", "pruned within a fold", "chance at most, mean", "would have won"),
    *("pruned after a fold", "chance, mean", "would have won", "folds saved", "epochs saved", "the winner is kept"),
)


@dataclass(frozen=True)
class Row:
    """A kind of study.

    Attributes:
        about: Description.
        distance: Distance between the classes, see `World`.
        schedule: Learning-rate schedule.
        rates: Range of the learning rate, as powers of ten.
        epochs: Epochs of each fit.
        trials: Number of trials.
        folds: Number of folds.
        images: Number of examples.
    """

    about: str
    distance: float
    schedule: Literal["constant", "cosine"]
    rates: tuple[float, float] = (-4.0, 0.0)
    epochs: int = 10
    trials: int = 12
    folds: int = 3
    images: int = 450


ROWS = {
    "hard": Row("90 %, rates from 0.0001 to 1, cosine", 2.7, "cosine"),
    "easy": Row("98 %, rates from 0.0001 to 1, cosine", 4.2, "cosine"),
    "constant": Row("98 %, rates from 0.0001 to 1, constant", 4.2, "constant"),
    "slow": Row("98 %, rates from 0.0001 to 0.01, cosine", 4.2, "cosine", (-4.0, -2.0)),
}


class Curve(Callback):
    """Records which examples are correct after the last epoch, and the accuracy of each epoch."""

    def on_fit_start(self, state: State) -> None:
        self.accuracies: list[float] = []

    def on_epoch_start(self, state: State) -> None:
        self._parts: list[Tensor] = []

    def on_batch_end(self, state: State) -> None:
        if state.phase == "valid" and state.logits is not None:
            self._parts.append(state.logits.argmax(1) == state.batch[1])

    def on_epoch_end(self, state: State) -> None:
        self.right = torch.cat(self._parts).double().numpy()
        self.accuracies.append(float(self.right.mean()))


def fit(row: Row, sides: Any, settings: Any) -> tuple[Floats, list[float]]:
    """Returns which validation examples are correct at the end, and the accuracy of each epoch."""
    (features, labels), valid = sides
    rate, width, decay, size = settings
    model = nn.Sequential(nn.Linear(FEATURES, width), nn.ReLU(), nn.Linear(width, 2))
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=decay)
    order = torch.randperm(len(labels))
    batches = [(features[part], labels[part]) for part in order.split(size)]
    curve = Curve()
    schedule = [LearningRateSchedule(CosineAnnealingLR, "batch")] if row.schedule == "cosine" else []
    trainer = Trainer(callbacks=[curve, *schedule], device="cpu", precision="fp32")
    trainer.fit(model, optimizer, batches, [valid], row.epochs)
    return curve.right, curve.accuracies


@dataclass
class Outcome:
    """One study: for each pruned trial, the stated chance and whether it would have won."""

    within: list[tuple[float, bool]]
    after: list[tuple[float, bool]]
    folds_saved: float
    epochs_saved: float
    kept: bool


def simulate(row: Row, number: int) -> Outcome:
    """Simulates one study: first all fits, then the decisions of the pruner on them."""
    data, weights = (int(seed) for seed in np.random.SeedSequence(number).generate_state(2))
    torch.manual_seed(weights)
    rng = np.random.default_rng(number)
    features, labels, _ = World(row.distance).draw(row.images, torch.Generator().manual_seed(data))
    fold = rng.permutation(row.images) % row.folds
    parts = [(torch.from_numpy(fold != k), torch.from_numpy(fold == k)) for k in range(row.folds)]
    sides = [((features[a], labels[a]), (features[b], labels[b])) for a, b in parts]
    fits = []
    for _ in range(row.trials):
        rate, decay = 10 ** rng.uniform(*row.rates), 10 ** rng.uniform(-4, -0.5)
        settings = float(rate), int(rng.choice([8, 16, 32, 64])), float(decay), int(rng.choice([16, 32, 64]))
        fits.append([fit(row, side, settings) for side in sides])
    return judge(row, fits)


def judge(row: Row, fits: Sequence[Sequence[tuple[Floats, list[float]]]]) -> Outcome:
    """Applies pruning to a study whose fits are all known."""
    totals = [sum(float(right.sum()) for right, _ in trial) for trial in fits]
    within, after, done = [], [], []
    epochs, best = 0, -1
    for trial, folds in enumerate(fits):
        earlier = None
        if best >= 0:
            others = [_scores(fits[other], done[other]) for other in range(trial) if other != best]
            earlier = EarlierTrials(_scores(fits[best], row.folds), others, True)
        curves = [curve for other in range(trial) for _, curve in fits[other][: done[other]]]
        done.append(row.folds)
        for k in range(row.folds):
            ended = _epoch_that_ends(earlier, _scores(folds, k), k, folds[k][1], curves)
            if ended is not None:
                epochs += ended[0]
                within.append((ended[1], totals[trial] > totals[best]))
                done[trial] = k
                break
            epochs += row.epochs
            chance = 1.0 if earlier is None else earlier.chance_to_win(_scores(folds, k + 1))
            if chance < CHANCE and k + 1 < row.folds:
                after.append((chance, totals[trial] > totals[best]))
                done[trial] = k + 1
                break
        if done[trial] == row.folds and (best < 0 or totals[trial] > totals[best]):
            best = trial
    fits_in_all = row.trials * row.folds
    saved, epochs_saved = 1 - sum(done) / fits_in_all, 1 - epochs / (fits_in_all * row.epochs)
    return Outcome(within, after, saved, epochs_saved, totals[best] == max(totals))


def _epoch_that_ends(
    earlier: EarlierTrials | None, own: dict[int, Floats], k: int, curve: Sequence[float], curves: list[list[float]]
) -> tuple[int, float] | None:
    """Returns the epoch after which the fold is pruned, and the stated chance; None if it is not pruned."""
    if earlier is None:
        return None
    for epoch in range(1, len(curve)):
        chance = earlier.chance_within_fold(own, k, max(curve[:epoch]), epoch, curves)
        if chance < CHANCE:
            return epoch, chance
    return None


def _scores(folds: Sequence[tuple[Floats, list[float]]], count: int) -> dict[int, Floats]:
    return {k: folds[k][0] for k in range(count)}


def line(row: Row, outcomes: Sequence[Outcome]) -> str:
    """A line of the table."""
    cells = [row.about, f"{row.trials}, {row.folds}, {row.images}", str(row.epochs)]
    for name in ("within", "after"):
        pruned = [each for outcome in outcomes for each in getattr(outcome, name)]
        shares = [f"{100 * float(np.mean(column)):.2f} %" for column in zip(*pruned, strict=True)]
        cells += [str(len(pruned)), *(shares or ("–", "–"))]
    for name in ("folds_saved", "epochs_saved", "kept"):
        cells.append(f"{100 * float(np.mean([getattr(outcome, name) for outcome in outcomes])):.0f} %")
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str]) -> None:
    """Prints each row when it is complete."""
    torch.set_num_threads(1)

    def lines(name: str, row: Row, options: Any) -> list[str]:
        return [line(row, [simulate(row, number) for number in tqdm(range(options.repeats), desc=name, disable=None)])]

    print_table(command_line("epochs", __doc__, ROWS, 200), arguments, ROWS, COLUMNS, lines)
