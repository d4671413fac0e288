"""The rows of the simulation: each is a world, a data set drawn from it, and a way to train and evaluate."""

from __future__ import annotations

from dataclasses import dataclass

from world import World

HARD, EASY = World(2.7), World(4.6)  # true accuracies of about 90 and 98.5 %


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        about: Description.
        world: Where the examples come from.
        n: Number of examples, including copies.
        epochs: Epochs per fold.
        group: Examples in a group.
        copies: Number of copies of each example.
        patience: Epochs without improvement on the inner part before a fold stops.
        steered_by: "inner", or "judged": the validation fold itself, which `harness` refuses.
        best: Whether the best epoch on the inner part is used instead of the last.
        seeds: Models per fold, each with another seed.
        folds: Number of folds.
    """

    about: str
    world: World
    n: int
    epochs: int
    group: int = 1
    copies: int = 1
    patience: int | None = None
    steered_by: str = "inner"
    best: bool = False
    seeds: int = 1
    folds: int = 3

    @property
    def has_inner(self) -> bool:
        return (self.patience is not None and self.steered_by == "inner") or self.best


ROWS = {
    "easy": Row("98.5 %, 8 epochs", EASY, 948, 8),
    "hard": Row("90 %, 20 epochs", HARD, 300, 20),
    "patience": Row("90 %, early stopping on an inner part", HARD, 300, 20, patience=3),
    "patience-judged": Row(
        "90 %, early stopping on the validation fold", HARD, 300, 20, patience=3, steered_by="judged"
    ),
    "best": Row("90 %, the best epoch of an inner part", HARD, 300, 20, best=True),
    "groups": Row("groups of 5 that resemble each other", World(2.7, shared=0.6), 300, 20, group=5),
    "copies": Row("every example twice", HARD, 300, 20, copies=2),
    "seeds": Row("90 %, three seeds of each fold", HARD, 300, 20, seeds=3),
    "coin": Row("random labels", World(0.0, noise=1.0), 200, 15),
    # in `coin`, one class is more frequent by chance, in training and validation examples, but not in hidden ones
    "coin-equal": Row("random labels, 100 of each class", World(0.0, noise=1.0, equal=True), 200, 15),
    "coin-copies": Row("random labels, every example twice", World(0.0, noise=1.0), 400, 15, copies=2),
}
