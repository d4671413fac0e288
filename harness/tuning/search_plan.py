"""The plan of a search: all that a process needs to work on a study."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.config.experiment import Experiment
from harness.config.experiment_file import ExperimentFile
from harness.runs.study_folder import StudyFolder
from harness.training.plan import Plan, frozen_part
from harness.tuning.space import Space, structure
from harness.tuning.trial_record import ACCURACY, LOG_LOSS, LOSS
from harness.util.text import size_text
from harness.workflows.make_plan import vary


@dataclass(frozen=True)
class SearchPlan:
    """A study's settings, and what is known before its first trial."""

    plan: Plan  # of the experiment as written
    space: Space
    distributions: Mapping[str, Any]  # by parameter
    folder: StudyFolder
    file: ExperimentFile
    metric: str
    total: int  # number of trials
    pruner: str = "paired"
    pareto: bool = False
    keep: int = 3  # number of trials whose weights are kept
    trackers: tuple[str, ...] = ()
    _plans: dict[Any, Plan] = field(default_factory=dict)

    def in_folder(self, folder: StudyFolder) -> SearchPlan:
        """The same plan in another folder."""
        return dataclasses.replace(self, folder=folder)

    @property
    def experiment(self) -> Experiment:
        return self.plan.experiment

    @property
    def prunes(self) -> bool:
        return self.pruner == "paired" and not self.pareto and self.by_image

    @property
    def by_image(self) -> bool:
        """Whether the metric is a mean over images."""
        return scored_by_image(self.experiment, self.metric)

    def plan_of(self, experiment: Experiment) -> Plan:
        """The plan of one trial. Experiments with the same structure share one check. Raises HarnessError."""
        key = structure(experiment)
        if not differences(experiment, self.experiment):
            return self.plan
        if key not in self._plans:
            plan = vary(self.plan, experiment)
            if plan.pixels is not self.plan.pixels:  # not kept, because images of a second size would fill the memory
                return plan
            self._plans[key] = plan
        return dataclasses.replace(self._plans[key], experiment=experiment)

    def kind_of(self, plan: Plan) -> str:
        """A text for trials that need the same time: which part is frozen, and the image size if it differs."""
        size = plan.experiment.image_size
        other = f" at {size_text(size)}" if size != self.experiment.image_size else ""
        live = "" if plan.once or not plan.model.frozen else ", run live"
        return f"{frozen_part(plan.experiment.freeze)} frozen{live}{other}"


def differences(experiment: Experiment, other: Experiment) -> dict[str, Any]:
    """The fields in which `experiment` differs from `other`, with the values of `experiment`."""
    values = {item.name: getattr(experiment, item.name) for item in dataclasses.fields(experiment) if item.compare}
    return {name: value for name, value in values.items() if _differ(value, getattr(other, name))}


def _differ(value: Any, other: Any) -> bool:
    try:
        return bool(value != other)
    except Exception:  # a user's object may not compare to a bool, such as a dataclass with tensors
        return value is not other


def scored_by_image(experiment: Experiment, metric: str) -> bool:
    """Whether the metric is a mean of one number per validation image."""
    return metric in (ACCURACY, LOG_LOSS) or (metric == LOSS and experiment.loss == "cross_entropy")
