"""The trial that a search space gets: Optuna's trial, with checks for values that a study cannot store."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from harness.errors import ExperimentError
from harness.tuning.choices import kept_choices, plain
from harness.tuning.quiet import quiet
from harness.tuning.schemas import TrialAttributes

LONGEST_NAME = 512  # characters of a parameter's name in Optuna's databases
FOLD = re.compile(r"fold\d+")
STOP = "stop"  # attribute of a trial whose search space called `trial.study.stop()`
EXAMPLES = {  # calls that work, for errors
    "suggest_float": "trial.suggest_float({!r}, 1e-5, 1e-1, log=True)",
    "suggest_int": "trial.suggest_int({!r}, 2, 10, step=2)",
    "suggest_categorical": "trial.suggest_categorical({!r}, [16, 32])",
}


class Parameters(dict[str, Any]):
    """A trial's parameters in Optuna. `[name]` also returns values that Optuna does not have, such as fixed ones.

    `==` ignores those values, because other trials' parameters in Optuna lack them.
    """

    def __init__(self, optunas: Mapping[str, Any], others: Mapping[str, Any]) -> None:
        super().__init__(optunas)
        self._others = others

    def __missing__(self, name: str) -> Any:
        return self._others[name]


class AskedTrial:
    """Optuna's trial. It does not ask Optuna for a parameter whose value was fixed on the command line.

    Args:
        trial: Optuna's trial.
        held: Values fixed on the command line, by parameter.
        title: Name of the search space, for errors.
    """

    def __init__(self, trial: Any, held: Mapping[str, Any], title: str = "search_space") -> None:
        self._trial = trial
        self._held = held
        self._title = title
        self._answers: dict[str, Any] = {}  # by parameter
        self._asked: dict[str, BaseDistribution] = {}  # by parameter

    @property
    def params(self) -> dict[str, Any]:
        return Parameters(self._trial.params, self._answers)

    @property
    def study(self) -> Any:
        """Optuna's study. `stop()` ends the search after this trial. Optuna's own `stop()` needs `study.optimize`."""
        study = self._trial.study
        study.stop = lambda: self._trial.set_user_attr(STOP, True)
        return study

    def suggest_float(self, name: str, low: float, high: float, **options: Any) -> Any:
        return self._value("suggest_float", name, low, low, high, **options)

    def suggest_int(self, name: str, low: int, high: int, **options: Any) -> Any:
        return self._value("suggest_int", name, low, low, high, **options)

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        if name in self._held:
            return self._held_value(name)
        values = kept_choices(name, choices, self._title)
        return self._value("suggest_categorical", name, values[0] if values else None, values)

    def suggest_uniform(self, name: str, low: float, high: float) -> Any:
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> Any:
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> Any:
        return self.suggest_float(name, low, high, step=q)

    def report(self, *_: Any) -> None:
        """Raises ExperimentError: the values of a trial are those of its folds."""
        raise ExperimentError(
            f"{self._title}: trial.report cannot be used",
            "harness reports the value of each fold, and Optuna keeps one value for each step",
            'raise optuna.TrialPruned("why") to end a trial early, also in a callback',
        )

    def set_constraint(self, *_: Any) -> None:
        """Raises ExperimentError: the best trial would be chosen without the constraint."""
        raise ExperimentError(
            f"{self._title}: trial.set_constraint cannot be used",
            "harness ranks trials only by --metric",
            'raise optuna.TrialPruned("why") if the constraint is not met',
        )

    def set_user_attr(self, key: str, value: Any) -> None:
        """Sets an attribute. Raises ExperimentError if harness uses the name, or if JSON cannot hold the value."""
        if key in TrialAttributes.__annotations__ or FOLD.fullmatch(str(key)):
            raise ExperimentError(
                f"{self._title}: a trial's attribute cannot be named {key!r}",
                "harness uses that name for its own data",
                f'trial.set_user_attr("my_{key}", …)',
            )
        value = plain(value)
        try:
            json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise ExperimentError(
                f"{self._title}: the attribute {key!r} cannot be stored",
                f"a study stores JSON: {error}",
                f"trial.set_user_attr({key!r}, str(value))",
            ) from error
        self._trial.set_user_attr(key, value)

    def _value(self, suggest: str, name: str, first: Any, *where: Any, **options: Any) -> Any:
        """The fixed value, or Optuna's suggestion. `first` is any valid value; only `WrittenTrial` uses it."""
        if name in self._held:
            return self._held_value(name)
        self._require_name(name)
        distribution = self._distribution(suggest, name, *map(plain, where), **options)
        if self._asked.setdefault(name, distribution) != distribution:
            raise ExperimentError(
                f"{self._title} asks for {name!r} twice, with different ranges or choices",
                "Optuna returns the first value again and ignores the second call",
                f"another name: {EXAMPLES[suggest].format(f'{name}_2')}",
            )
        try:
            value = plain(getattr(self._trial, suggest)(name, *map(plain, where), **options))
        except ValueError as error:
            if "distribution kind" in str(error):
                raise ExperimentError(
                    f"{self._title}: {name!r} has another type than in an earlier trial",
                    f"{error} This trial uses {suggest}",
                    f"another name for each type: {EXAMPLES[suggest].format(f'{name}_2')}",
                ) from error
            if "dynamic value space" not in str(error):
                raise
            raise ExperimentError(
                f"{self._title}: the choices of {name!r} change from trial to trial",
                f"{error} In this trial they are {where[0]}",
                f"another name for each list: trial.suggest_categorical({f'{name}_2'!r}, …)",
            ) from error
        self._answers[name] = value
        return value

    def _held_value(self, name: str) -> Any:
        self._answers[name] = self._held[name]
        return self._held[name]

    def _distribution(self, suggest: str, name: str, *where: Any, **options: Any) -> BaseDistribution:
        """The parameter's distribution. Raises ExperimentError if it is empty or if Optuna would change a bound."""
        try:
            if suggest == "suggest_categorical":
                return CategoricalDistribution(*where)
            for bound in where:
                if not math.isfinite(bound):
                    raise ValueError(f"the bound {bound} is not finite")
                if suggest == "suggest_int" and bound != int(bound):
                    raise ValueError(f"the bound {bound} is not a whole number")
            return (IntDistribution if suggest == "suggest_int" else FloatDistribution)(*where, **options)
        except (TypeError, ValueError, OverflowError) as error:
            raise ExperimentError(
                f"{self._title}: {suggest} cannot be used like this for {name!r}",
                str(error),
                EXAMPLES[suggest].format(name),
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
        if name == "_trial" or name.startswith("__"):  # a copy asks for these before it has attributes
            raise AttributeError(name)
        return getattr(self._trial, name)


class WrittenTrial(AskedTrial):
    """Returns the experiment's own values. Those that are in the space are also recorded in Optuna."""

    def __init__(self, trial: Any, held: Mapping[str, Any], written: Mapping[str, Any], fits: Mapping[str, Any]):
        super().__init__(trial, held)
        self._written = written
        self._fits = fits

    def _value(self, suggest: str, name: str, first: Any, *where: Any, **options: Any) -> Any:
        if name in self._held or name in self._fits:
            return super()._value(suggest, name, first, *where, **options)
        value = self._written.get(name)
        self._answers[name] = value if type(value) in (int, float) and suggest != "suggest_categorical" else first
        return self._answers[name]


def fixed_trial(parameters: Mapping[str, Any], number: int = 0) -> AskedTrial:
    """Returns a trial with fixed parameters, to call a `search_space` outside a search, as `best.py` does.

    It is like `optuna.trial.FixedTrial`, but also has a study (without trials), which a search space may use.

    Args:
        parameters: Name -> value, as in `trial.params`.
        number: The trial's number.

    Returns:
        A trial whose `suggest_*` methods return these parameters.

    Raises:
        ExperimentError: Raised by the trial, for a call that a search refuses as well.
        ValueError: Raised by the trial, if `parameters` has no value for a name.

    Example:
        >>> import harness
        >>> def search_space(trial):
        ...     return {"lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True)}
        >>> search_space(harness.fixed_trial({"lr": 0.01}))
        {'lr': 0.01}
    """
    with quiet():
        trial: Any = optuna.trial.FixedTrial(dict(parameters), number)
        trial.study = optuna.create_study()
    trial.relative_params = {}
    return AskedTrial(trial, {})


def contains(distribution: Any, value: Any) -> bool:
    """Whether a parameter's distribution contains that value, with the same type."""
    if isinstance(distribution, CategoricalDistribution):
        return any(value == choice and type(value) is type(choice) for choice in distribution.choices)
    return type(value) in (int, float) and distribution.low <= value <= distribution.high
