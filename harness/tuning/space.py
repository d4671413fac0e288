"""The search space: the experiment file's own function of a trial, and what may come out of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import optuna

from harness.config.experiment import Experiment
from harness.config.fields import json_value
from harness.errors import ExperimentError, HarnessError, UserCodeError
from harness.training.steering import inner_fraction
from harness.tuning.asked_trial import AskedTrial, WrittenTrial, contains
from harness.tuning.choices import plain
from harness.tuning.metric_meaning import require_same_meaning
from harness.tuning.quiet import quiet
from harness.util.user_code import calling, returned, title

FIXED = (  # a trial may not change them
    *("name", "data", "valid_data", "class_folder", "columns", "groups", "folds", "seed", "monitor", "trackers"),
    *("repeats", "split_seed", "metrics", "monitor_mode"),
)
DRAWS = 64  # before the first trial, to find what a space does wrong
STRUCTURE = (
    *("model", "weights", "freeze", "augment", "views", "optimizer", "scheduler", "loss", "image_size", "cache"),
    *(
        "normalise",
        "weights_key",
        "resize",
        "center_crop",
        "interpolation",
        "antialias",
        "channels",
        "background",
        "value_range",
    ),
    *("precision", "compile", "workers"),
)

NO_FAULT = (  # of the space, though its call raises them
    optuna.TrialPruned,
    optuna.exceptions.StorageInternalError,
    optuna.exceptions.UpdateFinishedTrialError,
)
SpaceFunction = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True)
class Space:
    """What to search, around an experiment. What was typed on the command line is held at that value."""

    experiment: Experiment
    function: SpaceFunction
    metric: str = ""  # that trials are compared by; empty if none are

    @property
    def held(self) -> dict[str, Any]:
        """Field -> value, for those from the command line."""
        values = vars(self.experiment)
        return {name: value for name, value in values.items() if self.experiment.origin(name) == "command line"}

    def changes(self, trial: Any) -> dict[str, Any]:
        """What a trial changes of the experiment.

        Raises:
            ExperimentError: The space failed, returned what is no such change, or changes what the metric means.
            optuna.TrialPruned: The space prunes the trial.
            optuna.exceptions.StorageInternalError: The storage does not answer.
            optuna.exceptions.UpdateFinishedTrialError: Another process has ended the trial.
        """
        changes = self._called(AskedTrial(trial, self.held, self.title))
        if not isinstance(changes, Mapping) or not all(isinstance(name, str) for name in changes):
            raise returned("search_space", self.function, changes, "a dict of fields and their values")
        changes = {name: plain(value.value if isinstance(value, Enum) else value) for name, value in changes.items()}
        for name in FIXED:
            if name in changes:
                raise self._refused(
                    f"it changes {name}, so that trials could not be compared",
                    f"leave {name} out; the experiment says it",
                )
        changed = {name: value for name, value in changes.items() if name not in self.held}
        try:
            require_same_meaning(self.experiment.replace(**changed), self.experiment, self.metric)
        except HarnessError as error:
            error.what = f"{self.title}: {error.what}"
            raise
        return changed

    def _called(self, trial: AskedTrial) -> Any:
        """What the space returns. Raises what is no fault of the space unchanged."""
        try:
            with calling("search_space", self.function):
                return self.function(trial)
        except UserCodeError as error:
            if isinstance(error.__cause__, NO_FAULT):
                raise error.__cause__ from None
            raise

    def written(self, trial: Any, distributions: Mapping[str, Any]) -> None:
        """Calls the space for trial 0, so that Optuna records the experiment's own values as its parameters."""
        asked = WrittenTrial(trial, self.held, vars(self.experiment), self.fitting(distributions))
        with contextlib.suppress(Exception), quiet():  # what the space makes of values that it does not have
            self.function(asked)

    def fitting(self, distributions: Mapping[str, Any]) -> dict[str, Any]:
        """The experiment's own values of the parameters that are named as fields, as far as the space has them."""
        values = {name: value for name, value in vars(self.experiment).items() if name in distributions}
        return {name: value for name, value in values.items() if contains(distributions[name], value)}

    def draw(self) -> tuple[dict[str, Any], list[Experiment]]:
        """(the parameters' distributions by name, an experiment of each structure), found by random draws.

        Raises ExperimentError for whatever a draw shows to be wrong.
        """
        distributions: dict[str, Any] = {}
        experiments: dict[Any, Experiment] = {}
        pruned = 0
        with quiet():
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
            for _ in range(DRAWS):
                trial = study.ask()
                try:
                    experiment = self.experiment.replace(**self.changes(trial))
                    experiments.setdefault(structure(experiment), experiment)
                except optuna.TrialPruned:
                    pruned += 1
                distributions |= trial.distributions
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if not distributions:
            why = "what it would ask for is held by the command line" if self.held else "it asks its trial for nothing"
            why = "it prunes every trial before it asks for a value" if pruned == DRAWS else why
            raise self._refused(why, 'return {"lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True)}')
        return distributions, list(experiments.values())

    @property
    def title(self) -> str:
        """The function's name and place, for errors."""
        return title("search_space", self.function)

    def _refused(self, why: str, fix: str) -> ExperimentError:
        return ExperimentError(f"{self.title} cannot be searched", why, fix)


def default_space(experiment: Experiment) -> SpaceFunction:
    """Learning rate, batch size and freezing, for a file that defines no space. Has the experiment's own values."""
    low, high = min(1e-5, experiment.lr), max(1e-1, experiment.lr)
    batches = sorted({16, 32, 64, experiment.batch_size})
    freezing = [False, True, *([experiment.freeze] if isinstance(experiment.freeze, str) else [])]

    def search_space(trial: Any) -> dict[str, Any]:
        return {
            "lr": trial.suggest_float("lr", low, high, log=True),
            "batch_size": trial.suggest_categorical("batch_size", batches),
            "freeze": trial.suggest_categorical("freeze", freezing),
        }

    return search_space


def structure(experiment: Experiment) -> tuple[Any, ...]:
    """All by which a model, or what it is fed, differs; experiments that share it share a plan."""
    fields = tuple(repr(json_value(getattr(experiment, name))) for name in STRUCTURE)
    return (*fields, inner_fraction(experiment))  # which decides what a fold trains on


def described(distributions: Mapping[str, Any]) -> list[str]:
    """A line for people of each parameter."""
    lines = []
    for name, distribution in distributions.items():
        if hasattr(distribution, "choices"):
            lines.append(f"{name}: {', '.join(map(str, distribution.choices))}")
        else:
            step = " (log)" if distribution.log else f" in steps of {distribution.step:g}" if distribution.step else ""
            lines.append(f"{name}: {distribution.low:g} to {distribution.high:g}{step}")
    return lines
