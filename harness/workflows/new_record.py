"""Makes the record of a run or a test that starts."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.config.experiment import Experiment
from harness.config.experiment_file import folder_name
from harness.data.groups import number_of
from harness.engine.checkpoint import whole
from harness.runs import provenance
from harness.runs.record_parts import DataRecord, PrecisionRecord, SplitSizes, Status, TestedFile
from harness.runs.records import RunRecord, TestRecord
from harness.runs.run_folder import now
from harness.training.plan import Plan

if TYPE_CHECKING:
    from harness.engine.trainer import Trainer
    from harness.models.saved import SavedModel
    from harness.workflows.images_to_test import TestImages
    from harness.workflows.near_copies_of_test import NearOfTest

OF_THE_PLAN = (  # fields of the record that are written again if a run is forced to continue with other settings
    *("experiment", "origins", "data", "splits", "weights", "weights_md5", "parameters", "frozen_part", "precision"),
    *("judged", "notes"),
)


def judged_text(experiment: Experiment) -> str:
    """Says which epoch of a fold is evaluated."""
    if experiment.epoch == "last":
        return "the last epoch"
    side, _, metric = experiment.monitor.partition("_")
    part = "training images" if side == "train" else "inner part"
    return f"the best epoch by {metric} of the {part}"


def record_of(plan: Plan) -> RunRecord:
    """Returns the record of a run of this plan that starts now."""
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


def record_of_test(
    model: SavedModel, checkpoint: Path, tested: TestImages, near: NearOfTest, trainer: Trainer
) -> TestRecord:
    """Returns the record of a test that starts now."""
    images, check = tested.images, tested.check
    architecture = model.architecture.partition("(")[0].rpartition(":")[2]
    freeze = model.experiment.get("freeze", "unknown")
    return TestRecord(
        kind="test",
        name=str(model.experiment.get("name") or folder_name(checkpoint.stem)),
        status=Status.RUNNING,
        started=now(),
        title=f"test_{architecture}_freeze_{freeze}_{datetime.now():%H%M%S}",
        command=provenance.command(),
        experiment={"model": architecture, "freeze": freeze, **model.experiment},
        checkpoint=TestedFile(str(checkpoint), hashlib.sha256(whole(checkpoint)).hexdigest(), model.fold),
        git=provenance.git_state(),
        data=DataRecord(
            folder=str(images.root),
            images=len(images),
            classes=images.counts(),
            digest=check.digest(images),
            dvc=provenance.dvc_state(images.root),
            groups=None if tested.groups is None else number_of(tested.groups, range(len(images))),
            leaked=len(tested.seen),
            near_copies=len(near.paths),
        ),
        device=str(trainer.device),
        precision=PrecisionRecord(trainer.precision.name, trainer.precision.reason),
        versions=provenance.versions(),
        machine=provenance.machine(),
        notes=tested.notes,
    )
