"""Promotes the model of a run: tests it, compares it with the present champion on the same images, and stores it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any

from harness.engine.checkpoint import whole
from harness.errors import DataError, GateError, UsageError
from harness.models.saved import load_model
from harness.runs import provenance
from harness.runs.champion import (
    CHECKPOINT,
    FOLDER,
    OF_RUN,
    RUNS,
    Champion,
    alone,
    install,
    keep,
    next_number,
    present,
)
from harness.runs.champion_record import (
    ChampionFile,
    ChampionRecord,
    ChampionRun,
    ChampionTest,
    PromotedAt,
)
from harness.runs.find import find_run
from harness.runs.record_parts import Status
from harness.runs.run_folder import RunFolder
from harness.util.files import md5_of, require_writable
from harness.util.signals import in_one_piece, require_not_stopped
from harness.versioning.tracked import CLEAN, DIFFERS, read_tracked, state_of
from harness.workflows.experiment_copy import model_function
from harness.workflows.find_checkpoint import find_checkpoint
from harness.workflows.refit import or_without_refit, refit_run
from harness.workflows.rivals import Rival, comparison_record, evaluate_rivals
from harness.workflows.test import Evaluation, evaluate

FROM_RUN = ("name", "command", "experiment", "accuracy", "interval", "n", "git", "data", "versions", "device", "seed")


@dataclass(frozen=True)
class Promotion:
    """A new champion, its test, and its comparison with earlier champions."""

    champion: Champion
    run: RunFolder
    evaluation: Evaluation
    rivals: tuple[Rival, ...]  # the present champion first
    notes: tuple[str, ...] = ()  # what `publish` returned


Publish = Callable[[Champion, RunFolder], Sequence[str]]


def promote(
    named: str,
    data: str | None = None,
    *,
    refit: bool = True,
    force: bool = False,
    trusted: bool = False,
    runs: Path = RUNS,
    folder: Path = FOLDER,
    publish: Publish = lambda _champion, _run: (),
) -> Promotion:
    """Makes the model of a run the champion: the model trained on all images, or the best fold's.

    If no model was trained on all images and `refit` is set, it is trained now.

    First the model, the present champion and the best champion of the history are tested on the same images. Code
    from another project is run only if it is `trusted`; otherwise UntrustedError is raised. An error changes nothing.

    Promotions wait for each other. The next one starts its comparison when `publish` has returned, which records the
    new champion in MLflow and DVC. So the next one compares with a champion that DVC has stored.

    Raises:
        GateError: The run has not finished. Without `force` also: the model fails its gate, is right on fewer images
            than one of those champions, or was trained on some of the images.
        UsageError: The model was trained again during its test. Without `force` also: it is already the champion.
    """
    run = find_run(named, runs)
    _require_finished(run)
    for each in (runs, folder):
        require_writable(each)
    if refit and run.record.refit is None and not run.is_test:
        with or_without_refit("--no-refit"):
            refit_run(run, trusted=trusted)
    path = find_checkpoint(named, runs)
    checkpoint = whole(path)
    evaluation = evaluate(
        load_model(path, function=model_function(path, trusted)), path, data, allow_leak=True, runs=runs
    )
    require_not_stopped()  # at the end of a test, Ctrl-C only ends the wait for MLflow
    if not force:
        evaluation.require_passed()
    if whole(path) != checkpoint:
        raise UsageError(
            f"{path} has changed", "another process trained the model again during this test", "the same command again"
        )
    with alone(folder):
        _require_latest(folder)
        before = present(folder)
        rivals = tuple(evaluate_rivals(before, evaluation, data, runs, folder, trusted))
        why_not = _why_not(run, evaluation, rivals)
        if not force:
            _require_another(run, checkpoint, before)
            if why_not:
                raise GateError(f"{run.id} is not promoted", *why_not)
        record = dataclasses.replace(
            _record(run, checkpoint, evaluation, rivals),
            number=next_number(folder),
            replaced=None if before is None else before.number,
            forced=not evaluation.passed or bool(why_not),
        )
        names = [name for name in (*OF_RUN, *run.array_files()) if (run.path / name).is_file()]
        small = {name: run.inside(name).read_bytes() for name in names}
        require_not_stopped()
        with in_one_piece():
            keep(record, {CHECKPOINT: checkpoint, **small}, folder)
            install(record.number, folder)
        champion = Champion(record, folder)
        return Promotion(champion, run, evaluation, rivals, tuple(publish(champion, run)))


def _require_finished(run: RunFolder) -> None:
    """Raises GateError for an unfinished run: its numbers are of some folds only."""
    if run.status is not Status.FINISHED and not run.is_test:
        ended = f"{len(run.record.folds)} of {len(run.record.splits)} folds have ended"
        why = f"the run has not finished: its status is {run.status}, and {ended}"
        raise GateError(f"{run.id} is not promoted", why, "harness run EXPERIMENT, or name a run that has finished")


def _why_not(run: RunFolder, evaluation: Evaluation, rivals: Sequence[Rival]) -> tuple[str, str] | None:
    """Why it must not be the champion, whatever its accuracy, and what to type; None if it may be the champion."""
    if run.record.fast_dev_run:
        return "it is a fast dev run, of two batches", "harness run without --fast-dev-run"
    if evaluation.seen_before:
        return (
            evaluation.seen_before,
            "--data FOLDER, with images that it was never trained on; or --force, which is recorded",
        )
    better = [rival for rival in rivals if rival.is_better]
    if better:
        return f"it is {better[0]}", "train a better model; or --force, which is recorded"
    return None


def _require_another(run: RunFolder, checkpoint: bytes, before: Champion | None) -> None:
    """Raises UsageError if it is already the champion: it would replace itself, and a rollback would change nothing."""
    if before is not None and before.record.checkpoint.md5 == md5_of(checkpoint):
        raise UsageError(
            f"{run.id} is already champion {before.number}", "their checkpoints are identical", "harness champion show"
        )


def _require_latest(folder: Path) -> None:
    """Raises DataError if `models/` differs from its `.dvc` file: a newer champion may not be on this machine."""
    file = folder.with_name(f"{folder.name}.dvc")
    if not file.is_file() or find_spec("dvc") is None:
        return
    state = state_of(read_tracked(file))
    if state.word == CLEAN:
        return
    if state.word == DIFFERS and state.md5 and not state.tracked.is_cached(state.md5):
        here = present(folder)
        what = f"champion {here.number}" if here else "the present files"
        why = f"DVC has no version with {what}: its promotion was interrupted, or {file} names another version"
        fix = (
            f"harness data track {quote(str(folder))}, which stores {what}, unless git log {file} shows a newer version"
        )
        raise DataError(f"{folder} differs from {file}", why, fix)
    raise DataError(f"{folder} differs from {file}", "there may be a newer champion", state.fix)


def _of_test(evaluation: Evaluation) -> dict[str, Any]:
    """The numbers of a test that `champion.json` stores."""
    fields = {item.name for item in dataclasses.fields(ChampionTest)}
    return {name: value for name, value in evaluation.numbers().items() if name in fields}


def _record(run: RunFolder, checkpoint: bytes, evaluation: Evaluation, rivals: Sequence[Rival]) -> ChampionRecord:
    """The content of `champion.json`: its test, its comparisons and its run. Its number is set later."""
    return ChampionRecord(
        number=1,
        replaced=None,
        forced=False,
        promoted=datetime.now().astimezone().isoformat(timespec="seconds"),
        comparison=comparison_record(rivals, is_present=True),
        best_before=comparison_record(rivals, is_present=False),
        checkpoint=ChampionFile(md5_of(checkpoint), hashlib.sha256(checkpoint).hexdigest(), evaluation.model.fold),
        test=ChampionTest(**_of_test(evaluation), data=str(evaluation.images.root), run=evaluation.run_dir.name),
        run=ChampionRun(id=run.id, **{name: getattr(run.record, name) for name in FROM_RUN}),
        promoted_at=PromotedAt(provenance.git_state(), provenance.versions()),
    )
