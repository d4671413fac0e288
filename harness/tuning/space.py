"""Calls the search space, the experiment file's function of a trial, and checks what it returns."""

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

FIXED = (  # fields that a trial may not change
    *("name", "data", "valid_data", "class_folder", "columns", "groups", "folds", "seed", "monitor", "trackers"),
    *("repeats", "split_seed", "metrics", "monitor_mode"),
)
DRAWS = 64  # random calls before the first trial, to find errors in the space
STRUCTURE = (  # fields that change a model or its input
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

NO_FAULT = (  # exceptions that a call of the space may raise although the space is right
    optuna.TrialPruned,
    optuna.exceptions.StorageInternalError,
    optuna.exceptions.UpdateFinishedTrialError,
)
SpaceFunction = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True)
class Space:
    """A search space around an experiment. A field that was set on the command line stays at that value."""

    experiment: Experiment
    function: SpaceFunction
    metric: str = ""  # ranks the trials; empty if none are compared

    @property
    def held(self) -> dict[str, Any]:
        """The fields that were set on the command line, with their values."""
        values = vars(self.experiment)
        return {name: value for name, value in values.items() if self.experiment.origin(name) == "command line"}

    def changes(self, trial: Any) -> dict[str, Any]:
        """Returns the fields that a trial changes in the experiment, with their values.

        Raises:
            ExperimentError: The space failed, returned something else, or changes the meaning of the metric.
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
                    f"it changes {name}, so trials could not be compared",
                    f"remove {name} from the search space; the experiment defines it",
                )
        changed = {name: value for name, value in changes.items() if name not in self.held}
        try:
            require_same_meaning(self.experiment.replace(**changed), self.experiment, self.metric)
        except HarnessError as error:
            error.what = f"{self.title}: {error.what}"
            raise
        return changed

    def _called(self, trial: AskedTrial) -> Any:
        """Calls the space. Raises exceptions of NO_FAULT unchanged."""
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
        with contextlib.suppress(Exception), quiet():  # the space may fail with values that it would not choose
            self.function(asked)

    def fitting(self, distributions: Mapping[str, Any]) -> dict[str, Any]:
        """The experiment's own values of parameters that are named like fields, if the space contains them."""
        values = {name: value for name, value in vars(self.experiment).items() if name in distributions}
        return {name: value for name, value in values.items() if contains(distributions[name], value)}

    def draw(self) -> tuple[dict[str, Any], list[Experiment]]:
        """Calls the space with random values, to learn its parameters.

        Returns:
            The distributions by parameter, and one experiment for each structure.

        Raises:
            ExperimentError: A call shows an error in the space.
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
            why = "all its parameters are fixed on the command line" if self.held else "it calls no trial.suggest_..."
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
    """A space for a file without one: learning rate, batch size and freezing. Contains the experiment's own values."""
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
    """A key of the model and its input. Experiments with the same key share a plan."""
    fields = tuple(repr(json_value(getattr(experiment, name))) for name in STRUCTURE)
    return (*fields, inner_fraction(experiment))  # the inner part decides the training images of a fold


def described(distributions: Mapping[str, Any]) -> list[str]:
    """A printed line for each parameter."""
    lines = []
    for name, distribution in distributions.items():
        if hasattr(distribution, "choices"):
            lines.append(f"{name}: {', '.join(map(str, distribution.choices))}")
        else:
            step = " (log)" if distribution.log else f" in steps of {distribution.step:g}" if distribution.step else ""
            lines.append(f"{name}: {distribution.low:g} to {distribution.high:g}{step}")
    return lines
