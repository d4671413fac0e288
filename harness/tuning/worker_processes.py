"""Starts several processes on one machine. Each works on the study as a single process does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from harness.errors import HarnessError
from harness.tuning.progress import Progress
from harness.tuning.study import Study
from harness.tuning.trial import Paused
from harness.util.console import print_line
from harness.util.console_log import WORKER
from harness.util.processes import kill_tree
from harness.util.signals import at_once, interrupt_noted

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 3.0  # until workers that must stop at once are killed, because this process must end as well
MOST_DEATHS = 3  # of processes at one trial, before the trial counts as the cause
NO_TRIAL = -1  # the index of a worker without a trial
STOPPED = (129, 130, 143)  # exit codes of a worker that a signal has stopped


@dataclass
class WorkerProcess:
    """One process. Its standard input is a pipe from this process, so that it notices when this one has ended."""

    process: subprocess.Popen[bytes]

    @property
    def code(self) -> int | None:
        return self.process.poll()

    def send(self, number: int) -> None:
        with contextlib.suppress(OSError):
            self.process.send_signal(number)


def supervise(study: Study, command: Sequence[str], count: int, storage: str, progress: Progress) -> None:
    """Runs `count` processes of `command` until no trial is left.

    A worker that is killed is replaced. After three deaths at one trial, the trial counts as failed. A second Ctrl-C
    ends all workers at once.

    Raises:
        Paused: Ctrl-C was pressed, and each worker has ended its fold.
        HarnessError: A worker has ended with an error.
    """
    deaths: Counter[int] = Counter()
    workers = [_start(command, number, count, storage) for number in range(count)]
    try:
        with at_once(kill=lambda: _kill(workers)), interrupt_noted(lambda: _pass_on(workers)) as stops:
            while any(worker.code is None for worker in workers):
                time.sleep(POLL_SECONDS)
                trials = study.trials()
                progress.show(trials, study.best(trials))
                for number, worker in enumerate(workers):
                    if worker.code is not None and worker.code < 0 and not stops():
                        _record_death(study, worker, deaths)
                        workers[number] = _start(command, number, count, storage)
            if stops():
                raise Paused
    finally:
        _stop(workers)
        study.reap()
    if any(worker.code in STOPPED for worker in workers):
        raise HarnessError(
            "a worker was stopped", "another program sent it a signal", "the same command continues the search"
        )
    for worker in workers:
        if worker.code != 0:
            raise HarnessError(
                "a worker has ended with an error",
                f"its exit code is {worker.code}; its error is above",
                "correct that, then the same command continues the search",
            )


def end_with_parent() -> None:
    """For a worker: ends this process, as SIGTERM does, when the process that started it has ended."""

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def threads_per_worker(count: int) -> int:
    """Threads per worker: the cores, shared equally."""
    return max(1, (os.cpu_count() or 1) // count)


def _start(command: Sequence[str], number: int, count: int, storage: str) -> WorkerProcess:
    """Starts a worker, with a separate GPU if there are several, and an equal part of the cores."""
    environment = {**os.environ, "HARNESS_STORAGE": storage}  # not an argument: the list of processes shows those
    environment[WORKER] = str(number + 1)
    gpus = torch.cuda.device_count()
    if gpus > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(i) for i in range(gpus)]
        environment["CUDA_VISIBLE_DEVICES"] = names[number % gpus]
    threads = threads_per_worker(count)
    environment.setdefault("OMP_NUM_THREADS", str(threads))
    environment.setdefault("MKL_NUM_THREADS", str(threads))
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        env=environment,
        start_new_session=os.name == "posix",  # Ctrl-C is passed on from here
    )
    return WorkerProcess(process)


def _record_death(study: Study, worker: WorkerProcess, deaths: Counter[int]) -> None:
    """Records that a worker was killed, for example by the system because the memory was full."""
    dead = study.reap(blame=lambda index: deaths[index] + 1 >= MOST_DEATHS)
    for index in [trial.index for trial in dead] or [NO_TRIAL]:
        deaths[index] += 1
    if deaths[NO_TRIAL] >= MOST_DEATHS:
        raise HarnessError(
            f"{MOST_DEATHS} workers were killed before they had a trial",
            f"the last one by signal {-(worker.code or 0)}; the system kills processes if its memory is full",
            "fewer --workers",
        )
    which = ", ".join(f"trial {trial.index}" for trial in dead) or "no trial"
    print_line(f"warning: a worker was killed by signal {-(worker.code or 0)} at {which}; another one replaces it")


def _stop(workers: Sequence[WorkerProcess]) -> None:
    """Ends the workers that are still running."""
    for worker in workers:
        if worker.code is None:
            worker.send(signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for worker in workers:
        try:
            worker.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            kill_tree(worker.process.pid)
            worker.process.wait()
        if worker.process.stdin is not None:
            worker.process.stdin.close()


def _kill(workers: Sequence[WorkerProcess]) -> None:
    """Kills the workers that are still running, with their loader processes, and does not wait."""
    for worker in workers:
        if worker.code is None:
            kill_tree(worker.process.pid)


def _pass_on(workers: Sequence[WorkerProcess]) -> None:
    """Sends Ctrl-C to all workers, because the terminal does not send it to them."""
    for worker in workers:
        worker.send(signal.SIGINT)
    print_line("stopping after the running folds (Ctrl-C again: stop now)")
