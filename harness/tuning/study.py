"""A study in its storage: which trial is next, which process has it, and how it ended.

Trial 0 is the experiment as written. If the process of a trial has died, the trial is marked FAIL, and another trial
replaces it with the same index and parameters. So a study of 20 trials has 20 indices, even if it was interrupted.
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

POLL_SECONDS = 0.5  # between two checks while another process may be taking a trial
UNOWNED_SECONDS = 10.0  # a process that takes a trial records that at once; after this time it has died


class LostError(HarnessError):
    """Another process has the trial now, because this process was suspended and considered dead."""


@dataclass(frozen=True)
class Claim:
    """A trial that this process works on."""

    trial: optuna.Trial
    record: TrialRecord

    @property
    def index(self) -> int:
        return self.record.index


class Study:
    """One study. Raises RemoteError if its storage does not answer.

    Args:
        address: The address of its storage.
        name: Its name.
        directions: "maximize" or "minimize" for each objective.
        seed: The seed of its sampler.
        create: Whether to make the study if there is none. If not, works on a copy in memory, which is empty if there
            is no such study. Then the storage is not changed.
    """

    def __init__(self, address: str, name: str, directions: Sequence[str], seed: int, create: bool = True) -> None:
        self.address = address
        self.name = name
        self.groups: Groups | None = None  # (N,) group of each validation image, over all folds; set by the caller
        self._seed = seed
        self._is_founder = not create  # whether this process has made the study, and so sets its settings
        self._storage = open_storage(address) if create else copied(address, name)
        with quiet(), answering(address):
            self._id = self._found_or_created([StudyDirection[direction.upper()] for direction in directions])
            stored = self._storage.get_study_directions(self._id)
            self.directions = tuple(direction.name.lower() for direction in stored)
        if self.directions != tuple(directions):
            raise UsageError(
                f"the study {name!r} was started with other objectives",
                f"it has {len(self.directions)}: {', '.join(self.directions)}; --pareto and --metric set them",
                "--study with another name, or the options that it was started with",
            )

    def _found_or_created(self, directions: list[StudyDirection]) -> int:
        """The study's id. Creates the study only if it does not exist: a journal records even a failed attempt."""
        with contextlib.suppress(KeyError):
            return self._storage.get_study_id_from_name(self.name)
        with contextlib.suppress(DuplicatedStudyError):  # another process was faster
            optuna.create_study(storage=self._storage, study_name=self.name, directions=directions)
            self._is_founder = True
        return self._storage.get_study_id_from_name(self.name)

    def close(self) -> None:
        """Closes the connections of a database."""
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
        """Stores the settings if this process has made the study; otherwise checks that they are the same.

        Returns:
            The study's id. A study that was deleted and made again with the same name has a new id.

        Raises:
            UsageError: The study was started with other settings.
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
                f"warning: study {self.name} has {others} trials that harness did not make; they are ignored, "
                "but Optuna's sampler uses them"
            )

    def trials(self) -> list[TrialRecord]:
        """All trials that harness made or may still train, in Optuna's order."""
        with answering(self.address):
            trials = self._storage.get_all_trials(self._id, deepcopy=False)
            return trial_records([trial for trial in trials if is_ours(trial)], self.groups)

    def claim(self, total: int, written: Mapping[str, Any]) -> Claim | None:
        """Takes the next of `total` trials for this process; returns None if none is left.

        Args:
            total: Number of trials.
            written: The parameters of the experiment as written, for trial 0.
        """
        with quiet(), answering(self.address):
            while True:
                self.reap()
                trials = self.trials()
                waiting = [trial for trial in trials if trial.state == "waiting" and trial.index < total]
                if not waiting:
                    if any(trial.state == "running" and "owner" not in trial.attributes for trial in trials):
                        time.sleep(POLL_SECONDS)  # another process is recording that it has it, or was killed just then
                    elif _originals(trials) >= total:
                        return None
                    else:
                        self._load(0).enqueue_trial({} if trials else dict(written), user_attrs={"fresh": True})
                    continue
                mine = min(waiting, key=lambda trial: trial.number)
                if not self._take(mine):
                    continue
                if mine.index and "fresh" in mine.attributes:  # another process started the study at the same time
                    self._storage.set_trial_system_attr(self._id_of(mine), "fixed_params", {})
                study = self._load(mine.index)
                study.get_trials(deepcopy=False)  # puts this trial into Optuna's cache before the database
                # does what `study.ask` does, but for this trial
                return Claim(optuna.Trial(study, self._id_of(mine)), mine)

    def _take(self, record: TrialRecord) -> bool:
        """Takes a trial. Returns False if another process was faster, or has replaced the trial."""
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
        if rivals:  # two processes replaced the same dead trial at the same time
            self.note(record, "died", "another trial has its place")
            self._end(record, TrialState.FAIL)
        return not rivals

    def note(self, record: TrialRecord, name: str, value: Any) -> None:
        """Stores an attribute of a trial, a JSON value. Raises LostError if the trial has ended."""
        with answering(self.address), not_lost(record):
            self._storage.set_trial_user_attr(self._id_of(record), name, value)

    def report(self, claim: Claim, value: float, step: int) -> None:
        """Stores the value so far, which becomes the trial's value if it is pruned. Raises LostError."""
        with quiet(), answering(self.address), not_lost(claim.record):
            claim.trial.report(value, step)

    def complete(self, record: TrialRecord, values: Sequence[float]) -> bool:
        """Ends a trial as complete. Like `prune` and `fail`, returns False if another process has ended it already."""
        return self._end(record, TrialState.COMPLETE, values)

    def prune(self, record: TrialRecord, why: str) -> bool:
        """Ends a trial early; its value is the last one that was reported."""
        self.note(record, "pruned", why)
        return self._end(record, TrialState.PRUNED)

    def fail(self, record: TrialRecord, why: str) -> bool:
        """Ends a trial as failed, because its own settings or code failed. It is not tried again."""
        self.note(record, "reason", why)
        return self._end(record, TrialState.FAIL)

    def release(self, record: TrialRecord, why: str) -> None:
        """Ends an interrupted trial, and adds another one with its parameters. A second call changes nothing."""
        with quiet(), answering(self.address):
            self.note(record, "died", why)
            trials = self.trials()
            if not any(trial.attributes.get("instead_of") == record.number for trial in trials):
                now = next(trial for trial in trials if trial.number == record.number)
                self._load(0).enqueue_trial(now.optuna_trial.params, user_attrs={"instead_of": record.number})
            self._end(record, TrialState.FAIL)

    def reap(self, blame: Callable[[int], bool] = lambda _: False) -> list[TrialRecord]:
        """Replaces the trials whose process has died, and returns those.

        Args:
            blame: If `blame(index)` is True, the trial is not replaced, but marked as failed.
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
                why = f"its process {owner['pid']} on {owner['host']} has died"
                if blame(trial.index):
                    self.fail(trial, f"{why}, as other processes did at this trial")
                else:
                    self.release(trial, why)
                dead.append(trial)
        return dead

    def send_heartbeat(self, claim: Claim) -> None:
        """Records the time, so that other processes know that this one is alive."""
        self.note(claim.record, "beat", time.time())

    def best(self, trials: Sequence[TrialRecord]) -> TrialRecord | None:
        """The complete trial with the best value; the first one if several are equal."""
        complete = [trial for trial in trials if trial.state == "complete"]
        return self.ranked(complete)[0] if complete else None

    def ranked(self, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
        """The trials, best first."""
        return sorted(trials, key=lambda trial: (-trial.value if self.rising else trial.value, trial.index))

    def _end(self, record: TrialRecord, state: TrialState, values: Sequence[float] | None = None) -> bool:
        with quiet(), answering(self.address), contextlib.suppress(UpdateFinishedTrialError):
            if record.number in {trial.number for trial in self.trials() if trial.optuna_trial.state.is_finished()}:
                return False
            self._load(0).tell(record.number, None if values is None else list(values), state)
            return True
        return False

    def _load(self, index: int) -> optuna.Study:
        """Optuna's study. The sampler's seed depends on the trial's index: a repeated trial draws the same values."""
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
            f"another process has trial {record.index} now",
            "this process sent no heartbeat for too long, so it was considered dead",
            "nothing",
        ) from error


def _originals(trials: Sequence[TrialRecord]) -> int:
    return sum("instead_of" not in trial.attributes for trial in trials)


def _seconds_since(moment: datetime.datetime) -> float:
    return (datetime.datetime.now(moment.tzinfo) - moment).total_seconds()
