"""The trial that a search space gets: Optuna's, with checks of what a study could not keep."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution

from harness.errors import ExperimentError
from harness.tuning.choices import kept_choices, plain
from harness.tuning.schemas import TrialAttributes

LONGEST_NAME = 512  # characters of a parameter's name in Optuna's databases
FOLD = re.compile(r"fold\d+")


class AskedTrial:
    """A trial of Optuna's. A parameter that the command line holds is not asked for."""

    def __init__(self, trial: Any, held: Mapping[str, Any], title: str = "search_space") -> None:
        """`held` are the values from the command line; `title` is the search space, for errors."""
        self._trial = trial
        self._held = held
        self._title = title

    def suggest_float(self, name: str, low: float, high: float, **options: Any) -> Any:
        return self._value("suggest_float", name, low, low, high, **options)

    def suggest_int(self, name: str, low: int, high: int, **options: Any) -> Any:
        return self._value("suggest_int", name, low, low, high, **options)

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        if name in self._held:
            return self._held[name]
        values = kept_choices(name, choices, self._title)
        return self._value("suggest_categorical", name, values[0] if values else None, values)

    def suggest_uniform(self, name: str, low: float, high: float) -> Any:
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> Any:
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> Any:
        return self.suggest_float(name, low, high, step=q)

    def set_user_attr(self, key: str, value: Any) -> None:
        """As Optuna's. Raises ExperimentError for a name of harness's own, and for a value that JSON cannot hold."""
        if key in TrialAttributes.__annotations__ or FOLD.fullmatch(str(key)):
            raise ExperimentError(
                f"{self._title}: a trial's attribute cannot be named {key!r}",
                "harness keeps its own data under that name",
                f'trial.set_user_attr("my_{key}", …)',
            )
        value = plain(value)
        try:
            json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise ExperimentError(
                f"{self._title}: the attribute {key!r} cannot be kept",
                f"a study keeps JSON: {error}",
                f"trial.set_user_attr({key!r}, str(value))",
            ) from error
        self._trial.set_user_attr(key, value)

    def _value(self, suggest: str, name: str, first: Any, *where: Any, **options: Any) -> Any:
        """The value that is held, or Optuna's suggestion. `first` is any valid value; only `WrittenTrial` uses it."""
        if name in self._held:
            return self._held[name]
        self._require_name(name)
        try:
            return plain(getattr(self._trial, suggest)(name, *map(plain, where), **options))
        except ValueError as error:
            if "dynamic value space" not in str(error):
                raise
            raise ExperimentError(
                f"{self._title}: the choices of {name!r} change from trial to trial",
                f"{error} Here they are {where[0]}",
                f"another name for each list: trial.suggest_categorical({f'{name}_2'!r}, …)",
            ) from error

    def _require_name(self, name: Any) -> None:
        if isinstance(name, str) and name.isprintable() and 0 < len(name) <= LONGEST_NAME:
            return
        raise ExperimentError(
            f"{self._title}: a parameter cannot be named {str(name)[:80]!r}",
            f"a name is a str of 1 to {LONGEST_NAME} printable characters",
            'a name such as "lr"',
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trial, name)


class WrittenTrial(AskedTrial):
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


def fixed_trial(parameters: Mapping[str, Any], number: int) -> optuna.trial.FixedTrial:
    """Optuna's trial with fixed parameters, and with a study without trials, which a search space may ask."""
    trial: Any = optuna.trial.FixedTrial(dict(parameters), number)
    trial.study = optuna.create_study()
    trial.relative_params = {}
    fixed: optuna.trial.FixedTrial = trial
    return fixed


def contains(distribution: Any, value: Any) -> bool:
    """Whether a parameter's distribution has that value, of the same type."""
    if isinstance(distribution, CategoricalDistribution):
        return any(value == choice and type(value) is type(choice) for choice in distribution.choices)
    return type(value) in (int, float) and distribution.low <= value <= distribution.high
