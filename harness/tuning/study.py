"""A study in its storage: which trial is next, whose it is, and how it ended.

Trials count from 0, the experiment as written. A trial whose process is gone is marked FAIL; another one replaces it,
with the same index and parameters. So a study of 20 trials has 20 indices, however often it was interrupted.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import distribution_to_json
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import TrialState

from harness.errors import HarnessError, UsageError
from harness.evaluation.groups import Groups
from harness.tuning.founding import given_settings
from harness.tuning.quiet import quiet
from harness.tuning.schemas import StudyFacts
from harness.tuning.settings_difference import require_same
from harness.tuning.storage import answering, close, copied, open_storage
from harness.tuning.trial_record import TrialRecord, is_ours, trial_records
from harness.util.console import print_line
from harness.util.heartbeat import is_gone
from harness.util.processes import this_process
from harness.util.schema import schema_of, validate

POLL_SECONDS = 0.5  # while another process may be about to take a trial
UNOWNED_SECONDS = 10.0  # a process that takes a trial says so at once; if it did not, it is gone


class LostError(HarnessError):
    """The trial belongs to another process by now: this one had been cut off, and was taken for dead."""


@dataclass(frozen=True)
class Claim:
    """A trial that this process works on."""

    trial: optuna.Trial
    record: TrialRecord

    @property
    def index(self) -> int:
        return self.record.index


class Study:
    """One study. Raises RemoteError where its storage does not answer."""

    def __init__(self, address: str, name: str, directions: Sequence[str], seed: int, create: bool = True) -> None:
        """Without `create`, works on a copy in memory, empty if there is no such study. The storage is not changed."""
        self.address = address
        self.name = name
        self.groups: Groups | None = None  # (N,) of the images of all folds; set by what knows the images
        self._seed = seed
        self._is_founder = not create  # whether this process has made the study, and so gives its settings
        self._storage = open_storage(address) if create else copied(address, name)
        with quiet(), answering(address):
            self._id = self._found_or_created([StudyDirection[direction.upper()] for direction in directions])
            kept = self._storage.get_study_directions(self._id)
            self.directions = tuple(direction.name.lower() for direction in kept)
        if self.directions != tuple(directions):
            raise UsageError(
                f"the study {name!r} was begun with other objectives",
                f"it has {len(self.directions)}: {', '.join(self.directions)}; --pareto and --metric say which",
                "--study with another name, or the options that it was begun with",
            )

    def _found_or_created(self, directions: list[StudyDirection]) -> int:
        """The study's id. A study that exists is only read: a journal would keep even an attempt to create it."""
        with contextlib.suppress(KeyError):
            return self._storage.get_study_id_from_name(self.name)
        with contextlib.suppress(DuplicatedStudyError):  # another process was faster
            optuna.create_study(storage=self._storage, study_name=self.name, directions=directions)
            self._is_founder = True
        return self._storage.get_study_id_from_name(self.name)

    def close(self) -> None:
        """Leaves the database, if it is one."""
        close(self._storage)

    @property
    def as_optuna(self) -> optuna.Study:
        """The study as a new Optuna object, without cached data."""
        return self._load(0)

    @property
    def rising(self) -> bool:
        """Whether more of its metric is better."""
        return self.directions[0] == "maximize"

    def agree(self, facts: Mapping[str, Any], distributions: Mapping[str, Any]) -> str:
        """Stores the settings of the process that made the study; others must have the same, else UsageError.

        Returns the study's id. A study that is deleted and made again under the same name has a new one.
        """
        space = {name: str(distribution_to_json(distribution)) for name, distribution in distributions.items()}
        mine = json.loads(json.dumps({**facts, "space": space}))
        with answering(self.address):
            known = given_settings(self._storage, self._id, self.name, mine, self._is_founder)
            validate(schema_of(StudyFacts), known)
            self._warn_of_others()
        require_same(self.name, known, mine)
        return str(known["id"])

    def _warn_of_others(self) -> None:
        others = sum(not is_ours(trial) for trial in self._storage.get_all_trials(self._id, deepcopy=False))
        if others:
            print_line(
                f"warning: study {self.name} holds {others} trials that harness did not make; they are left out, "
                "but Optuna's sampler sees them"
            )

    def trials(self) -> list[TrialRecord]:
        """All that harness made, or may still take, in Optuna's order."""
        with answering(self.address):
            trials = self._storage.get_all_trials(self._id, deepcopy=False)
            return trial_records([trial for trial in trials if is_ours(trial)], self.groups)

    def claim(self, total: int, written: Mapping[str, Any]) -> Claim | None:
        """The next trial of `total`, now this process's; None where there is none left to take.

        `written` are the parameters of the experiment as written, for the first.
        """
        with quiet(), answering(self.address):
            while True:
                self.reap()
                trials = self.trials()
                waiting = [trial for trial in trials if trial.state == "waiting" and trial.index < total]
                if not waiting:
                    if any(trial.state == "running" and "owner" not in trial.attributes for trial in trials):
                        time.sleep(POLL_SECONDS)  # somebody is about to say that it is his, or was killed just then
                    elif _originals(trials) >= total:
                        return None
                    else:
                        self._load(0).enqueue_trial({} if trials else dict(written), user_attrs={"fresh": True})
                    continue
                mine = min(waiting, key=lambda trial: trial.number)
                if not self._take(mine):
                    continue
                if mine.index and "fresh" in mine.attributes:  # another process has begun the study at the same moment
                    self._storage.set_trial_system_attr(self._id_of(mine), "fixed_params", {})
                study = self._load(mine.index)
                study.get_trials(deepcopy=False)  # puts this trial into Optuna's cache before the database
                # what `study.ask` does, but of this very trial
                return Claim(optuna.Trial(study, self._id_of(mine)), mine)

    def _take(self, record: TrialRecord) -> bool:
        """False if another process was faster, or has replaced it already."""
        try:
            if not self._storage.set_trial_state_values(self._id_of(record), TrialState.RUNNING):
                return False
        except UpdateFinishedTrialError:
            return False
        self.note(record, "owner", this_process())
        self.note(record, "beat", time.time())
        rivals = [
            other
            for other in self.trials()
            if other.index == record.index and other.number < record.number and "died" not in other.attributes
        ]
        if rivals:  # two processes have found the same dead trial at the same moment
            self.note(record, "died", "another trial has its place")
            self._end(record, TrialState.FAIL)
        return not rivals

    def note(self, record: TrialRecord, name: str, value: Any) -> None:
        """Keeps something of a trial: plain values. Raises LostError where it has ended."""
        with answering(self.address), not_lost(record):
            self._storage.set_trial_user_attr(self._id_of(record), name, value)

    def report(self, claim: Claim, value: float, step: int) -> None:
        """The value so far, which is the trial's should it be pruned. Raises LostError."""
        with quiet(), answering(self.address), not_lost(claim.record):
            claim.trial.report(value, step)

    def complete(self, record: TrialRecord, values: Sequence[float]) -> bool:
        """Ends it. As `prune` and `fail`, returns False if another process took it for dead and has ended it."""
        return self._end(record, TrialState.COMPLETE, values)

    def prune(self, record: TrialRecord, why: str) -> bool:
        """Ends it early; its value is the last that was reported."""
        self.note(record, "pruned", why)
        return self._end(record, TrialState.PRUNED)

    def fail(self, record: TrialRecord, why: str) -> bool:
        """It has failed by itself, and would again."""
        self.note(record, "reason", why)
        return self._end(record, TrialState.FAIL)

    def release(self, record: TrialRecord, why: str) -> None:
        """It was cut off: another one is to take its place, with its parameters. Doing it twice changes nothing."""
        with quiet(), answering(self.address):
            self.note(record, "died", why)
            trials = self.trials()
            if not any(trial.attributes.get("instead_of") == record.number for trial in trials):
                now = next(trial for trial in trials if trial.number == record.number)
                self._load(0).enqueue_trial(now.optuna_trial.params, user_attrs={"instead_of": record.number})
            self._end(record, TrialState.FAIL)

    def reap(self, blame: Callable[[int], bool] = lambda _: False) -> list[TrialRecord]:
        """Finds trials whose process is gone, and lets others take their places. Returns those.

        If `blame(index)` is true, the trial itself has failed.
        """
        dead = []
        for trial in self.trials():
            if trial.state != "running":
                continue
            owner, began = trial.attributes.get("owner"), trial.optuna_trial.datetime_start
            if owner is None:
                if began is not None and _seconds_since(began) > UNOWNED_SECONDS:
                    self._storage.set_trial_state_values(self._id_of(trial), TrialState.WAITING)
            elif is_gone(owner, trial.attributes.get("beat", began.timestamp() if began else 0.0)):
                why = f"its process {owner['pid']} on {owner['host']} is gone"
                if blame(trial.index):
                    self.fail(trial, f"{why}, as were others at this trial")
                else:
                    self.release(trial, why)
                dead.append(trial)
        return dead

    def send_heartbeat(self, claim: Claim) -> None:
        """A sign of life."""
        self.note(claim.record, "beat", time.time())

    def best(self, trials: Sequence[TrialRecord]) -> TrialRecord | None:
        """The complete trial with the best value, of equal ones the first."""
        complete = [trial for trial in trials if trial.state == "complete"]
        return self.ranked(complete)[0] if complete else None

    def ranked(self, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Best first."""
        return sorted(trials, key=lambda trial: (-trial.value if self.rising else trial.value, trial.index))

    def _end(self, record: TrialRecord, state: TrialState, values: Sequence[float] | None = None) -> bool:
        with quiet(), answering(self.address), contextlib.suppress(UpdateFinishedTrialError):
            if record.number in {trial.number for trial in self.trials() if trial.optuna_trial.state.is_finished()}:
                return False
            self._load(0).tell(record.number, None if values is None else list(values), state)
            return True
        return False

    def _load(self, index: int) -> optuna.Study:
        """Optuna's study, with a sampler whose seed depends on the trial's index: a repeated trial draws the same."""
        seed = int(np.random.SeedSequence((self._seed, index)).generate_state(1)[0])
        with quiet(), answering(self.address):
            sampler = optuna.samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)
            return optuna.load_study(study_name=self.name, storage=self._storage, sampler=sampler)

    def _id_of(self, record: TrialRecord) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, record.number)


@contextlib.contextmanager
def not_lost(record: TrialRecord) -> Iterator[None]:
    """Raises LostError if another process has ended the trial."""
    try:
        yield
    except UpdateFinishedTrialError as error:
        raise LostError(
            f"trial {record.index} was taken for dead", "this process gave no sign of life for too long", "nothing"
        ) from error


def _originals(trials: Sequence[TrialRecord]) -> int:
    return sum("instead_of" not in trial.attributes for trial in trials)


def _seconds_since(moment: datetime.datetime) -> float:
    return (datetime.datetime.now(moment.tzinfo) - moment).total_seconds()
