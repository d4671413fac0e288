"""Draws a study's plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.tuning.result import StudyResult
from harness.tuning.search_plan import SearchPlan
from harness.tuning.study import Study
from harness.tuning.trial_record import ACCURACY, TrialRecord
from harness.util.console import only_a_picture

MOST_PARAMETERS = 8  # side by side: the most important ones


def draw_study(folder: Path, search: SearchPlan, study: Study, result: StudyResult) -> None:
    """Draws `history.png`, `slices.png`, `parallel.png`, `importances.png`; for two objectives also `front.png`."""
    ended = [trial for trial in result.trials if trial.state in ("complete", "pruned") and trial.folds]
    if not ended:
        return
    from harness.plots import study as draw  # matplotlib takes half a second, and can wait
    from harness.plots.parameter_shares import Bar, draw_shares

    shares = [share for share in result.shares if share.share is not None]
    first = [share.parameter for share in shares]
    names = sorted(search.distributions, key=lambda name: first.index(name) if name in first else len(first))
    drawn = draw.Study(
        title=f"{search.experiment.name}, study {study.name}",
        metric=search.metric,
        rising=study.rising,
        points=[_point(draw.Point, trial, search) for trial in ended],
        failed=[trial.index for trial in result.trials if trial.state == "failed"],
        axes=[_axis(draw.Axis, name, search.distributions[name]) for name in names[:MOST_PARAMETERS]],
    )
    about = f"of the differences between {len(ended)} trials (pruned ones: in their folds); 95 % intervals"
    with only_a_picture():
        draw.draw_history(folder / "history.png", drawn)
    if drawn.axes:
        with only_a_picture():
            draw.draw_slices(folder / "slices.png", drawn)
        with only_a_picture():
            draw.draw_parallel(folder / "parallel.png", drawn)
    with only_a_picture():
        (folder / "importances.png").unlink(missing_ok=True)  # drawn from fewer trials: it may show other parameters
        if shares:
            bars = [Bar(share.parameter, share.share or 0.0, share.low or 0.0, share.high or 0.0) for share in shares]
            draw_shares(folder / "importances.png", drawn.title, bars, about)
    if search.pareto:
        with only_a_picture():
            draw.draw_front(folder / "front.png", drawn, [trial.index for trial in result.front])


def _point(make: Any, trial: TrialRecord, search: SearchPlan) -> Any:
    interval = trial.accuracy.interval if search.metric == ACCURACY else None
    known = trial.optuna_trial.params
    return make(trial.index, trial.value, interval, trial.state == "complete", trial.loop_seconds, known)


def _axis(make: Any, name: str, of: Any) -> Any:
    return make(name, tuple(of.choices)) if hasattr(of, "choices") else make(name, (), of.low, of.high, of.log)
