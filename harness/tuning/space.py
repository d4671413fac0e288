"""The search space: the experiment file's own function of a trial, and what may come out of it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from harness.config.experiment import Experiment
from harness.config.fields import json_value
from harness.errors import ExperimentError, HarnessError
from harness.util.user_code import calling, returned, title

FIXED = (  # a trial may not change them
    *("name", "data", "valid_data", "class_folder", "columns", "groups", "folds", "seed", "monitor", "trackers"),
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

SpaceFunction = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True)
class Space:
    """What to search, around an experiment. What was typed on the command line is held at that value."""

    experiment: Experiment
    function: SpaceFunction

    @property
    def held(self) -> dict[str, Any]:
        """Field -> value, for those from the command line."""
        values = vars(self.experiment)
        return {name: value for name, value in values.items() if self.experiment.origin(name) == "command line"}

    def changes(self, trial: Any) -> dict[str, Any]:
        """What a trial changes of the experiment. Raises ExperimentError for what is no such change."""
        with calling("search_space", self.function):
            changes = self.function(_Asked(trial, self.held))
        if not isinstance(changes, dict):
            raise returned("search_space", self.function, changes, "a dict of fields and their values")
        for name in FIXED:
            if name in changes:
                raise self._refused(
                    f"it changes {name}, so that trials could not be compared",
                    f"leave {name} out; the experiment says it",
                )
        changed = {name: value for name, value in changes.items() if name not in self.held}
        try:
            self.experiment.replace(**changed)
        except HarnessError as error:
            error.what = f"{self.title}: {error.what}"
            raise
        return changed

    def written(self, trial: Any, distributions: Mapping[str, Any]) -> None:
        """Calls the space for trial 0, so that Optuna records the experiment's own values as its parameters."""
        asked = _Written(trial, self.held, vars(self.experiment), self.fitting(distributions))
        with contextlib.suppress(Exception), quiet():  # what the space makes of values that it does not have
            self.function(asked)

    def fitting(self, distributions: Mapping[str, Any]) -> dict[str, Any]:
        """The experiment's own values of the parameters that are named as fields, as far as the space has them."""
        values = {name: value for name, value in vars(self.experiment).items() if name in distributions}
        return {name: value for name, value in values.items() if _contains(distributions[name], value)}

    def draw(self) -> tuple[dict[str, Any], list[Experiment]]:
        """(the parameters' distributions by name, an experiment of each structure), found by random draws.

        Raises ExperimentError for whatever a draw shows to be wrong.
        """
        distributions: dict[str, Any] = {}
        experiments: dict[Any, Experiment] = {}
        with quiet():
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
            for _ in range(DRAWS):
                trial = study.ask()
                experiment = self.experiment.replace(**self.changes(trial))
                distributions |= trial.distributions
                experiments.setdefault(structure(experiment), experiment)
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if not distributions:
            why = "what it would ask for is held by the command line" if self.held else "it asks its trial for nothing"
            raise self._refused(why, 'return {"lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True)}')
        return distributions, list(experiments.values())

    @property
    def title(self) -> str:
        """The function's name and place, for errors."""
        return title("search_space", self.function)

    def _refused(self, why: str, fix: str) -> ExperimentError:
        return ExperimentError(f"{self.title} cannot be searched", why, fix)


class _Asked:
    """A trial of Optuna's; a parameter that is held is not asked for."""

    def __init__(self, trial: Any, held: Mapping[str, Any]) -> None:
        self._trial = trial
        self._held = held

    def suggest_float(self, name: str, low: float, high: float, **options: Any) -> Any:
        return self._value("suggest_float", name, low, low, high, **options)

    def suggest_int(self, name: str, low: int, high: int, **options: Any) -> Any:
        return self._value("suggest_int", name, low, low, high, **options)

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self._value("suggest_categorical", name, next(iter(choices)), choices)

    def _value(self, suggest: str, name: str, first: Any, *where: Any, **options: Any) -> Any:
        """The value that is held, or Optuna's suggestion. `first` is any valid value; only `_Written` uses it."""
        return self._held[name] if name in self._held else getattr(self._trial, suggest)(name, *where, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trial, name)


class _Written(_Asked):
    """Returns the experiment's own values. Those inside the space are also recorded in Optuna."""

    def __init__(self, trial: Any, held: Mapping[str, Any], written: Mapping[str, Any], fits: Mapping[str, Any]):
        super().__init__(trial, held)
        self._written = written
        self._fits = fits

    def _value(self, suggest: str, name: str, first: Any, *where: Any, **options: Any) -> Any:
        if name in self._held or name in self._fits:
            return super()._value(suggest, name, first, *where, **options)
        value = self._written.get(name)
        return value if type(value) in (int, float) and suggest != "suggest_categorical" else first


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
    return tuple(repr(json_value(getattr(experiment, name))) for name in STRUCTURE)


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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within, Optuna says nothing: its notes on what is experimental are its own business."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _contains(distribution: Any, value: Any) -> bool:
    if hasattr(distribution, "choices"):
        return any(value == choice and type(value) is type(choice) for choice in distribution.choices)
    return type(value) in (int, float) and distribution.low <= value <= distribution.high
