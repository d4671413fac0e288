"""Ends a trial early if its chance to become the best is small."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.engine.trainer import Callback, State
from harness.training.plan import Plan
from harness.tuning.pruning_formula import CHANCE, chance_to_win, chance_within_fold
from harness.tuning.search_plan import SearchPlan
from harness.tuning.study import Study
from harness.tuning.trial_record import ACCURACY, FoldScores, TrialRecord

PRUNED = "pruned "  # how the stop reason of a fold begins that the pruner ended


class TrialPruner:
    """Compares one trial with the best that is complete."""

    def __init__(self, search: SearchPlan, study: Study, plan: Plan) -> None:
        self.folds: list[FoldScores] = []  # of this trial
        self._search = search
        self._plan = plan
        self._sizes = {fold: len(split.valid) for fold, split in plan.splits.items()}
        self._others = study.trials() if search.prunes else []
        self._best = study.best(self._others)

    def why_stop(self, stop_reason: str | None) -> str:
        """Why the trial is to end after the folds so far; nothing where it can still win, or has ended anyway.

        `stop_reason` is that of the last fold.
        """
        if stop_reason and stop_reason.startswith(PRUNED):
            return stop_reason.removeprefix(PRUNED)
        left = sum(self._sizes.values()) - sum(fold.n for fold in self.folds)
        if self._best is None or left == 0:
            return ""
        differences = self._differences(self._best)
        judged = sum(fold.n for fold in self.folds)
        chance = chance_to_win(differences, round(left * len(differences) / judged))
        count = len(self.folds)
        return f"after fold {count}: {self._describe(chance, self._best)}" if chance < CHANCE else ""

    def callbacks(self, fold: int) -> list[Callback]:
        """Callbacks that may end a fold early, where an epoch takes long enough for that to matter."""
        by_image = self._search.metric == ACCURACY and self._plan.groups is None
        worth = self._best is not None and by_image and not self._plan.once
        return [_StopHopeless(self, fold)] if worth else []

    def epoch_ended(self, fold: int, state: State) -> None:
        if state.epoch == state.epochs or self._best is None:
            return
        best = next(other for other in self._best.folds if other.fold == fold)
        curves = [
            record.curve
            for other in self._others
            if other.changes.get("epochs", self._search.experiment.epochs) == state.epochs
            for record in other.folds
        ]
        accuracy = max(row["valid_accuracy"] for row in state.history)
        left = sum(self._sizes.values()) - sum(record.n for record in self.folds) - best.n
        chance = chance_within_fold(self._differences(self._best), accuracy, state.epoch, best.scores, left, curves)
        if chance < CHANCE:
            state.stop(f"{PRUNED}in fold {fold}, after epoch {state.epoch}: {self._describe(chance, self._best)}")

    def _differences(self, best: TrialRecord) -> Any:
        """(n,) scores of this trial less those of the best, over the images of the folds so far.

        If images are in groups, (groups,): their sums, in units of the mean group, because groups are independent.
        """
        theirs = {record.fold: record for record in best.folds}
        differences = np.concatenate([np.zeros(0), *(own.scores - theirs[own.fold].scores for own in self.folds)])
        if self._plan.groups is None or not len(differences):
            return differences
        images = [i for own in self.folds for i in self._plan.splits[own.fold].valid]
        sums = np.bincount(np.unique(self._plan.groups[images], return_inverse=True)[1], weights=differences)
        return sums * len(sums) / len(differences)

    @staticmethod
    def _describe(chance: float, best: TrialRecord) -> str:
        return f"its chance to beat trial {best.index} is {'below 0.1' if chance < 0.001 else f'{100 * chance:.1f}'} %"


class _StopHopeless(Callback):
    def __init__(self, pruner: TrialPruner, fold: int) -> None:
        self._pruner = pruner
        self._fold = fold

    def on_epoch_end(self, state: State) -> None:
        self._pruner.epoch_ended(self._fold, state)
