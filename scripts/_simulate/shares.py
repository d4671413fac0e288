"""Simulates studies with a known influence of each parameter: which shares are shown, and which of them are false.

Trials are sampled as in `harness search`, with Optuna's TPE. *before* is the largest importance by Optuna's PED-ANOVA.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from markdown_table import command_line, print_table
from tqdm import tqdm

from harness.tuning.importance import parameter_shares
from harness.tuning.quiet import quiet

COLUMNS = (
    "row",
    "parameters",
    "trials",
    "largest share before (median)",
    "some false share shown",
    "true ones shown",
    "studies",
)
TRIALS = (8, 12, 20, 30)


def ask(trial: Any) -> dict[str, Any]:
    """Samples the parameters of a trial."""
    return {
        "lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
        "freeze": trial.suggest_categorical("freeze", [False, "layer3", True]),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
    }


def rate(parameters: Mapping[str, Any]) -> float:
    """Best at a learning rate of 1e-3."""
    return -1.5 * (math.log10(parameters["lr"]) + 3) ** 2


def rate_and_freezing(parameters: Mapping[str, Any]) -> float:
    """Best at a learning rate of 1e-3 without freezing."""
    return rate(parameters) / 1.5 - {False: 0.0, "layer3": 1.0, True: 3.0}[parameters["freeze"]]


@dataclass(frozen=True)
class Row:
    """A kind of study.

    Attributes:
        about: Description.
        effect: The true value as a function of the parameters.
        matters: Parameters that the true value depends on.
        failures: Share of random trials whose values are far below all others.
    """

    about: str
    effect: Callable[[Mapping[str, Any]], float]
    matters: tuple[str, ...]
    failures: float = 0.0


ROWS = {
    "noise": Row("noise alone", lambda _: 0.0, ()),
    "failures": Row("noise alone, and a tenth fails by chance", lambda _: 0.0, (), failures=0.1),
    "rate": Row("the learning rate matters", rate, ("lr",)),
    "two": Row("learning rate and freezing matter", rate_and_freezing, ("lr", "freeze")),
}


def study_of(row: Row, number: int, trials: int) -> optuna.Study:
    """A study with this number of trials; the first has the experiment's own values."""
    rng = np.random.default_rng(number)
    with quiet():
        study = optuna.create_study(direction="maximize")
        study.enqueue_trial({"lr": 1e-3, "batch_size": 32, "freeze": False, "weight_decay": 1e-4, "dropout": 0.0})
        for index in range(trials):
            seed = int(np.random.SeedSequence((number, index)).generate_state(1)[0])
            study.sampler = optuna.samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)
            trial = study.ask()
            value = row.effect(ask(trial)) + 0.7 * rng.standard_normal()
            study.tell(trial, value - 60 * (rng.random() < row.failures))
    return study


def shown(study: optuna.Study, trials: int) -> set[str]:
    """Parameters whose share is shown after this number of trials."""
    first = study.trials[:trials]
    shares = parameter_shares(first, np.array([trial.value for trial in first]))
    return {share.parameter for share in shares if share.share is not None}


def before(study: optuna.Study, trials: int) -> float:
    """The largest importance according to Optuna."""
    with quiet():
        first = optuna.create_study(direction="maximize")
        first.add_trials(study.trials[:trials])
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return max(optuna.importance.get_param_importances(first, evaluator=evaluator).values())


def summary(row: Row, studies: Sequence[optuna.Study], trials: int) -> dict[str, float]:
    """Percentages of studies with a false share, and of true parameters that are shown; the median share before."""
    found = [shown(study, trials) for study in studies]
    return {
        "before": 100 * float(np.median([before(study, trials) for study in studies])),
        "false": 100 * float(np.mean([bool(names - {*row.matters}) for names in found])),
        "true": 100 * float(np.mean([len(names & {*row.matters}) / max(1, len(row.matters)) for names in found])),
    }


def main(arguments: Sequence[str]) -> None:
    """Prints the lines of each row when it is complete."""

    def lines(name: str, row: Row, options: Any) -> Iterator[str]:
        numbers = tqdm(range(options.repeats), desc=name, disable=None)
        studies = [study_of(row, number, max(TRIALS)) for number in numbers]
        for trials in TRIALS:
            found = summary(row, studies, trials)
            true = f"{found['true']:.0f} %" if row.matters else "–"
            cells = [row.about, "5", str(trials), f"{found['before']:.0f} %", f"{found['false']:.1f} %", true]
            yield f"| {' | '.join([*cells, str(len(studies))])} |"

    print_table(command_line("shares", __doc__, ROWS, 1000), arguments, ROWS, COLUMNS, lines)
