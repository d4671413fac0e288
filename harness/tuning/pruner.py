"""Ends a trial early if its chance to become the best is small."""

from __future__ import annotations

from collections.abc import Sequence

from harness.engine.callback import Stateless
from harness.engine.trainer import Callback, State
from harness.evaluation.scores import Floats
from harness.training.plan import Plan
from harness.tuning.pruning_formula import CHANCE, EarlierTrials
from harness.tuning.search_plan import SearchPlan
from harness.tuning.study import Study
from harness.tuning.trial_record import ACCURACY, FoldScores, TrialRecord

PRUNED = "pruned "  # the start of a fold's stop reason if the pruner ended it


class TrialPruner:
    """Decides whether a trial can still become the best."""

    def __init__(self, search: SearchPlan, study: Study, plan: Plan) -> None:
        self.folds: list[FoldScores] = []  # the finished folds of this trial
        self._search = search
        self._plan = plan
        others = study.trials() if search.prunes else []
        self._ended = [trial for trial in others if trial.state in ("complete", "pruned")]
        self._best = study.best(self._ended)
        self._earlier = None if self._best is None else self._earlier_trials(self._best)

    def why_stop(self, stop_reason: str | None) -> str:
        """Why the trial should end after its folds so far; empty if it can still win, or has trained all folds.

        Args:
            stop_reason: The stop reason of the last fold.
        """
        if stop_reason and stop_reason.startswith(PRUNED):
            return stop_reason.removeprefix(PRUNED)
        if self._earlier is None or len(self.folds) == len(self._plan.splits):
            return ""
        chance = self._earlier.chance_to_win(_scores(self.folds))
        return f"after fold {len(self.folds)}: {self._describe(chance)}" if chance < CHANCE else ""

    def callbacks(self, fold: int) -> list[Callback]:
        """Callbacks that may end a fold early; none if an epoch takes too little time for that."""
        worth = self._earlier is not None and self._search.metric == ACCURACY and not self._plan.once
        return [_StopHopeless(self, fold)] if worth else []

    def epoch_ended(self, fold: int, state: State) -> None:
        if state.epoch == state.epochs or self._earlier is None:
            return
        curves = [
            record.curve
            for other in self._ended
            if other.changes.get("epochs", self._search.experiment.epochs) == state.epochs
            for record in other.folds
        ]
        accuracy = max(row["valid_accuracy"] for row in state.history)
        chance = self._earlier.chance_within_fold(_scores(self.folds), fold, accuracy, state.epoch, curves)
        if chance < CHANCE:
            state.stop(f"{PRUNED}in fold {fold}, after epoch {state.epoch}: {self._describe(chance, 'at most ')}")

    def _earlier_trials(self, best: TrialRecord) -> EarlierTrials:
        groups = self._plan.groups
        others = [_scores(trial.folds) for trial in self._ended if trial.number != best.number]
        of_fold = (
            {fold: groups[list(split.valid)] for fold, split in self._plan.splits.items()}
            if groups is not None
            else None
        )
        return EarlierTrials(_scores(best.folds), others, self._search.metric == ACCURACY, of_fold)

    def _describe(self, chance: float, bound: str = "") -> str:
        assert self._best is not None
        if chance == 0:
            return f"it can no longer beat trial {self._best.index}"
        number = "below 0.1" if chance < 0.001 else f"{bound}{100 * chance:.1f}"
        return f"its chance to beat trial {self._best.index} is {number} %"


def _scores(folds: Sequence[FoldScores]) -> dict[int, Floats]:
    return {record.fold: record.scores for record in folds}


class _StopHopeless(Stateless):
    def __init__(self, pruner: TrialPruner, fold: int) -> None:
        self._pruner = pruner
        self._fold = fold

    def on_epoch_end(self, state: State) -> None:
        self._pruner.epoch_ended(self._fold, state)
