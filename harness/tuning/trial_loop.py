"""The loop of one process: take a trial, train it, say how it went, until there is none left or a reason to stop."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import torch

from harness.errors import DataError, HarnessError, RemoteError, StorageError, Terminated, TrainingError
from harness.tuning.asked_trial import STOP
from harness.tuning.progress import DONE, Deadline, Progress, line
from harness.tuning.search_plan import SearchPlan
from harness.tuning.study import Claim, LostError, Study
from harness.tuning.trial import Paused, keep_error, run_trial
from harness.util.addresses import without_secrets
from harness.util.console import print_line
from harness.util.heartbeat import heartbeat
from harness.util.signals import interrupt_noted

MOST_FAILURES = 5  # in a row: what they have in common is not their settings
NOT_THE_TRIAL = (StorageError, DataError, RemoteError)  # what fails for every trial


def run_trials(search: SearchPlan, study: Study, deadline: Deadline, progress: Progress) -> None:
    """Works on the study until there is no trial left to take, or no time.

    The first Ctrl-C ends it after the fold and raises Paused; the second ends it at once. Raises TrainingError after
    five failures in a row, and errors that every trial would meet; the unfinished trial then goes back to the queue.
    """
    began = datetime.now().timestamp()
    written = search.space.fitting(search.distributions)
    with interrupt_noted(lambda: _say_when(progress)) as stops, _modules_set_aside():
        while True:
            _require_some_success(study, began)
            if stops():
                raise Paused
            if _is_stopped(study, began):
                print_line("search_space has stopped the search; the same command goes on")
                return
            if deadline.passed(study.trials()):
                print_line("no time for another trial; the same command goes on")
                return
            claim = study.claim(search.total, written)
            if claim is None:
                return
            _run_claimed(search, study, claim, progress, stops)


def _run_claimed(search: SearchPlan, study: Study, claim: Claim, progress: Progress, stops: Callable[[], bool]) -> None:
    def redraw() -> None:
        trials = study.trials()
        progress.show(trials, study.best(trials))

    def shows(fold: int) -> list[Any]:
        return [progress.callback(claim.index, fold, redraw)]

    try:
        with heartbeat(lambda: study.send_heartbeat(claim)):
            run_trial(search, study, claim, stops, shows)
    except (KeyboardInterrupt, Terminated) as error:
        study.release(claim.record, "interrupted after a fold" if isinstance(error, Paused) else "interrupted")
        raise
    except NOT_THE_TRIAL as error:
        with contextlib.suppress(HarnessError):  # the storage may be what has failed
            study.release(claim.record, error.what)
        raise
    except LostError as error:
        print_line(f"warning: {error.what}, and another process has it now")
        return
    except (Exception, SystemExit) as error:  # a callback that ends the program ends its trial alone
        study.fail(claim.record, _reason(error))
        keep_error(search.folder.trial(claim.index), error)
    except BaseException as error:  # of a kind that somebody has made to end programs
        study.release(claim.record, f"ended by {type(error).__name__}")
        raise
    _clear_memory()
    trials = study.trials()
    best = study.best(trials)
    mine = next(trial for trial in trials if trial.number == claim.record.number)
    done = sum(trial.state in DONE for trial in trials)
    print_line(line(mine, done, search.total, search.metric, best is not None and best.number == mine.number))
    progress.tell_kind(mine.kind, trials)
    progress.show(trials, best)
    complete = [trial for trial in trials if trial.state == "complete"]
    keep = {trial.index for trial in study.ranked(complete)[: search.keep]}
    search.folder.remove_weights({trial.index for trial in trials if trial.state in DONE} - keep)


def _require_some_success(study: Study, since: float) -> None:
    """Raises TrainingError where the last five trials that ended since then have all failed."""
    ended = [
        trial
        for trial in study.trials()
        if trial.state in DONE
        and trial.optuna_trial.datetime_complete is not None
        and trial.optuna_trial.datetime_complete.timestamp() >= since
    ]
    last = sorted(ended, key=lambda trial: trial.optuna_trial.datetime_complete or 0)[-MOST_FAILURES:]
    if len(last) == MOST_FAILURES and all(trial.state == "failed" for trial in last):
        raise TrainingError(
            f"{MOST_FAILURES} trials in a row have failed",
            str(last[-1].attributes.get("reason")),
            "mend that; then the same command goes on with the next trial",
        )


def _is_stopped(study: Study, since: float) -> bool:
    """Whether the search space of a trial that began since then has called `trial.study.stop()`."""
    starts = [trial.optuna_trial.datetime_start for trial in study.trials() if STOP in trial.attributes]
    return any(start is not None and start.timestamp() >= since for start in starts)


def _reason(error: BaseException) -> str:
    """The error in one line, with file and line unless it is a HarnessError."""
    if isinstance(error, HarnessError):
        return f"{error.what}: {error.why}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace is not None else ""
    return " ".join(without_secrets(f"{type(error).__name__}: {error}{where}").split())


@contextlib.contextmanager
def _modules_set_aside() -> Iterator[None]:
    """Within, a collection of garbage does not look through what is there already, modules above all: that takes 0.1 s,
    a tenth of a frozen trial.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _clear_memory() -> None:
    """What a trial leaves in circles of references, and on the GPU: the next one may need all of it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _say_when(progress: Progress) -> None:
    if not progress.is_quiet:
        print_line("stopping after this fold (Ctrl-C again: now)")
