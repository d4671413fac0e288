"""The record of a run that begins."""

from __future__ import annotations

import dataclasses

import torch

from harness.config.experiment import Experiment
from harness.data.groups import number_of
from harness.runs import provenance
from harness.runs.record_parts import DataRecord, PrecisionRecord, SplitSizes, Status
from harness.runs.records import RunRecord
from harness.runs.run_folder import now
from harness.training.plan import Plan

OF_THE_PLAN = (  # fields of a run's record that a run takes again if it is forced to go on with something else
    *("experiment", "origins", "data", "splits", "weights", "weights_md5", "parameters", "frozen_part", "precision"),
    *("judged", "notes"),
)


def judged_text(experiment: Experiment) -> str:
    """Which epoch of a fold is judged, for people."""
    if experiment.epoch == "last":
        return "the last epoch"
    side, _, metric = experiment.monitor.partition("_")
    part = "training images" if side == "train" else "inner part"
    return f"the best epoch by {metric} of the {part}"


def record_of(plan: Plan) -> RunRecord:
    """The record of a run of this plan that starts now."""
    experiment, images = plan.experiment, plan.images
    fields = [item.name for item in dataclasses.fields(experiment)]
    return RunRecord(
        name=experiment.name or "experiment",
        status=Status.RUNNING,
        started=now(),
        command=provenance.command(),
        fast_dev_run=plan.fast_dev_run,
        experiment=experiment.to_dict(),
        origins={name: experiment.origin(name) for name in fields},
        git=provenance.git_state(),
        data=DataRecord(
            folder=str(images.root),
            images=len(images),
            classes=images.counts(),
            digest=plan.digest,
            dvc=plan.dvc,
            ignored=len(images.ignored),
            skipped=plan.skipped,
            groups=None if plan.groups is None else number_of(plan.groups, range(len(images))),
            leaked=plan.leaked,
            near_copies=len(plan.near_copies),
        ),
        weights=plan.model.weights_note,
        weights_md5=provenance.weights_md5(experiment.weights),
        parameters={"trainable": plan.model.trainable, "frozen": plan.model.frozen},
        frozen_part="run once per image" if plan.once else "run in every epoch" if plan.model.frozen else None,
        device=str(plan.device),
        precision=PrecisionRecord(plan.precision.name, plan.precision.reason),
        seed=experiment.seed,
        judged=judged_text(experiment),
        splits={
            str(fold): SplitSizes(len(split.train), len(split.valid), len(split.inner))
            for fold, split in plan.splits.items()
        },
        threads=torch.get_num_threads(),
        versions=provenance.versions(),
        machine=provenance.machine(),
        notes=list(plan.notes),
    )
