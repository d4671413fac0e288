"""The loop of one process: takes a trial, trains it and prints its result, until no trial or no time is left."""

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

MOST_FAILURES = 5  # in a row: then the settings are probably not the cause
NOT_THE_TRIAL = (StorageError, DataError, RemoteError)  # errors that every trial would have


def run_trials(search: SearchPlan, study: Study, deadline: Deadline, progress: Progress) -> None:
    """Runs trials of the study until no trial or no time is left.

    After an interruption or an error, the unfinished trial returns to the queue.

    Raises:
        Paused: Ctrl-C was pressed, and the fold has ended. A second Ctrl-C ends the process at once.
        TrainingError: Five trials in a row have failed.
        HarnessError: An error that every trial would have.
    """
    began = datetime.now().timestamp()
    written = search.space.fitting(search.distributions)
    with interrupt_noted(lambda: _print_stopping(progress)) as stops, _faster_garbage_collection():
        while True:
            _require_some_success(study, began)
            if stops():
                raise Paused
            if _is_stopped(study, began):
                print_line("search_space has stopped the search; the same command continues it")
                return
            if deadline.passed(study.trials()):
                print_line("no time for another trial; the same command continues the search")
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
        print_line(f"warning: {error.what}: {error.why}")
        return
    except (Exception, SystemExit) as error:  # a callback that calls sys.exit ends only its trial
        study.fail(claim.record, _reason(error))
        keep_error(search.folder.trial(claim.index), error)
    except BaseException as error:  # a user's own exception that ends the program
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
    """Raises TrainingError if the last five trials that ended after `since`, a Unix time in seconds, have failed."""
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
            "correct that, then the same command continues with the next trial",
        )


def _is_stopped(study: Study, since: float) -> bool:
    """Whether a search space has called `trial.study.stop()` in a trial that started since then."""
    starts = [trial.optuna_trial.datetime_start for trial in study.trials() if STOP in trial.attributes]
    return any(start is not None and start.timestamp() >= since for start in starts)


def _reason(error: BaseException) -> str:
    """The error in one line, with file and line number unless it is a HarnessError."""
    if isinstance(error, HarnessError):
        return f"{error.what}: {error.why}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace is not None else ""
    return " ".join(without_secrets(f"{type(error).__name__}: {error}{where}").split())


@contextlib.contextmanager
def _faster_garbage_collection() -> Iterator[None]:
    """In this block, garbage collection skips existing objects, mostly modules. Checking them takes 0.1 s each time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _clear_memory() -> None:
    """Frees a trial's objects in reference cycles and on the GPU: the next trial may need all memory."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _print_stopping(progress: Progress) -> None:
    if not progress.is_quiet:
        print_line("stopping after this fold (Ctrl-C again: stop now)")
