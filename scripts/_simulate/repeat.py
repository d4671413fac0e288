"""One repeat of a row: draws a data set, cross-validates it with `harness.Trainer`, and evaluates the models."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rows import Row
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn
from world import FEATURES, HIDDEN

from harness import Callback, EarlyStopping, State, Trainer
from harness.evaluation.groups import accuracy_of

BATCH_SIZE = 50
LEARNING_RATE = 0.01
INNER = 5  # parts of the training set; one of them is the inner part


@dataclass(frozen=True)
class Estimate:
    """An accuracy, its interval, and the mean true accuracy of its models."""

    value: float
    low: float
    high: float
    truth: float


class EachEpoch(Callback):
    """Stores the predictions and the weights of each epoch."""

    def on_fit_start(self, state: State) -> None:
        self.right: list[Tensor] = []
        self.weights: list[dict[str, Tensor]] = []
        self._parts: list[Tensor] = []

    def on_epoch_start(self, state: State) -> None:
        self._parts = []

    def on_batch_end(self, state: State) -> None:
        if state.phase == "valid" and state.logits is not None:
            self._parts.append(state.logits.argmax(1) == state.batch[1])

    def on_epoch_end(self, state: State) -> None:
        self.right.append(torch.cat(self._parts))
        self.weights.append(copy.deepcopy(state.model.state_dict()))


class Batches:
    """Batches in a new random order each epoch."""

    def __init__(self, features: Tensor, labels: Tensor, generator: torch.Generator) -> None:
        self.features, self.labels, self.generator = features, labels, generator

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.labels), generator=self.generator)
        for part in order.split(BATCH_SIZE):
            yield self.features[part], self.labels[part]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, 2))


@functools.lru_cache(maxsize=1)
def hidden(row: Row) -> tuple[Tensor, Tensor]:
    """Examples that are never in a training set."""
    features, labels, _ = row.world.draw(HIDDEN, torch.Generator().manual_seed(10**9), 1)
    return features, labels


def simulate(row: Row, number: int) -> dict[str, Estimate]:
    """The headline of one data set by the old rule (the best epoch on the validation set) and by the present rule."""
    data, weights = (
        int(seed) for seed in np.random.SeedSequence(number).generate_state(2)
    )  # a different random stream
    generator = torch.Generator().manual_seed(data)
    torch.manual_seed(weights)
    features, labels, groups = row.world.draw(row.n // row.copies, generator, row.group)
    features, labels, groups = (part.repeat_interleave(row.copies, 0) for part in (features, labels, groups))
    folds = StratifiedGroupKFold(row.folds, shuffle=True, random_state=number)
    fits: dict[str, list[tuple[Any, Any, float]]] = {"old": [], "now": []}
    for train, valid in folds.split(features, labels, groups):
        for _ in range(row.seeds):
            seen, kept = _fit(row, features, labels, groups, (train, valid), generator)
            best = int(np.argmax([right.float().mean() for right in seen.right]))
            for rule, epoch in (("old", best), ("now", kept)):
                fits[rule].append((valid, seen.right[epoch].numpy(), _truth(row, seen.weights[epoch])))
    return {rule: _estimate(row, parts, groups.numpy()) for rule, parts in fits.items()}


def _fit(row: Row, features: Tensor, labels: Tensor, groups: Tensor, sides: Any, generator: torch.Generator) -> Any:
    """Returns the result of each epoch, and the position of the epoch that is evaluated."""
    train, valid = sides
    inner = None
    if row.has_inner:
        parts = StratifiedGroupKFold(INNER, shuffle=True, random_state=0)
        others, steering = next(parts.split(train, labels[train], groups[train]))
        inner, train = [(features[train[steering]], labels[train[steering]])], train[others]
    seen = EachEpoch()
    stop = [] if row.patience is None else [EarlyStopping("valid_accuracy", row.patience)]
    trainer = Trainer(callbacks=[seen, *stop], device="cpu", precision="fp32")
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    batches = Batches(features[train], labels[train], generator)
    state = trainer.fit(model, optimizer, batches, [(features[valid], labels[valid])], row.epochs, inner)
    if row.best:
        return seen, int(np.argmax([epoch["inner_accuracy"] for epoch in state.history]))
    return seen, len(seen.right) - 1


def _truth(row: Row, weights: dict[str, Tensor]) -> float:
    model = network()
    model.load_state_dict(weights)
    features, labels = hidden(row)
    with torch.inference_mode():
        return (model(features).argmax(1) == labels).float().mean().item()


def _estimate(row: Row, parts: list[tuple[Any, Any, float]], groups: Any) -> Estimate:
    """The pooled out-of-fold accuracy; its interval accounts for groups, copies and seeds, as in `harness`."""
    right = np.concatenate([part[1] for part in parts])
    members = np.concatenate([groups[part[0]] for part in parts])
    distinct = len(members) == len(np.unique(members))
    accuracy = accuracy_of(right, None if distinct else members, row.n)
    return Estimate(accuracy.value, *accuracy.interval, float(np.mean([part[2] for part in parts])))
