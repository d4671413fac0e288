"""All that can be known, and all that can go wrong, before the first step of a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.cache.store import Cache, open_cache
from harness.config.experiment import Experiment
from harness.config.fields import plain
from harness.data.check import Check, check_images, undecodable_error
from harness.data.folders import Images, list_images
from harness.data.pixels import DECODER, Pixels
from harness.data.splits import Split, stratified_splits
from harness.engine.metrics import require_metric
from harness.engine.precision import Precision, choose_precision
from harness.engine.trainer import choose_device
from harness.errors import UsageError
from harness.models.freezing import count_parameters
from harness.models.prefix import CannotCutError
from harness.runs.provenance import dvc_state
from harness.training.features import find_cut, why_live
from harness.training.optimizers import rehearse
from harness.training.prepared import prepare_model
from harness.training.warnings import data_notes, setting_notes, test_notes
from harness.util.console import say

MONITORS = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy")  # what every run computes
LEAK = "the weights were trained on these very images, so the accuracy will be too good: start from others to judge"


@dataclass(frozen=True)
class Plan:
    """What a run will do. Making one reads every image and builds the model once, but trains nothing."""

    experiment: Experiment
    images: Images
    pixels: Pixels  # what the images look like, as far as they were decoded
    cache: Cache
    digest: str
    dvc: dict[str, Any] | None  # the `.dvc` file that tracks the images, and whether they are what it says
    splits: dict[int, Split]  # by fold, 1-based
    device: torch.device
    precision: Precision
    weights: str  # what was done about them, one sentence
    trainable: int  # parameters
    frozen: int
    once: bool  # whether the frozen part runs once per image, and not in every epoch
    skipped: dict[str, str]  # images left out because they cannot be decoded: path -> why
    notes: tuple[str, ...]  # what a person should know before the run
    fast_dev_run: bool = False  # its numbers mean nothing

    def lines(self) -> list[str]:
        """The first lines of a run: what will happen, on what, and what to know."""
        experiment, first = self.experiment, next(iter(self.splits.values()))
        folds = f"{len(self.splits)} of {experiment.folds} folds" if experiment.folds else "one hold-out"
        counts = ", ".join(f"{name} {count}" for name, count in self.images.counts().items())
        sides = f"{len(first.train)} to learn from, {len(first.valid)} to judge by"
        frozen = frozen_part(experiment.freeze)
        once = ", run once per image" if self.once else ""
        count = torch.get_num_threads()
        threads = f" ({count} thread{'s' if count > 1 else ''})" if self.device.type == "cpu" else ""
        dev = ", two batches each: a fast dev run" if self.fast_dev_run else ""
        return [
            f"{experiment.name}: {folds} of {experiment.epochs} epochs{dev}",
            f"  data       {self.images.root}: {len(self.images)} images ({counts}); {sides}",
            f"  model      {_named(experiment.model)} at {experiment.image_size} px; {frozen} frozen{once}: "
            f"{self.trainable:,} parameters to train, {self.frozen:,} frozen",
            f"  weights    {self.weights}",
            f"  training   {_named(experiment.optimizer)}, lr {experiment.lr:g}, "
            f"weight decay {experiment.weight_decay:g}, batches of {experiment.batch_size}, "
            f"scheduler {_named(experiment.scheduler)}, augmentation {_named(experiment.augment)}, "
            f"loss {_named(experiment.loss)}",
            f"  device     {self.device}{threads}, {self.precision.name}: {self.precision.reason}",
            *(f"  note       {note}" for note in self.notes),
        ]

    def shortened(self) -> Plan:
        """The same for one epoch of two batches a phase, spread over the classes: everything is gone through."""
        most = 2 * self.experiment.batch_size
        splits = {fold: Split(_spread(s.train, most), _spread(s.valid, most)) for fold, s in self.splits.items()}
        experiment = self.experiment.override({"epochs": "1"})
        return replace(self, experiment=experiment, splits=splits, fast_dev_run=True)

    def data_record(self) -> dict[str, Any]:
        """What `run.json` says of the data."""
        return {
            "folder": str(self.images.root),
            "images": len(self.images),
            "classes": self.images.counts(),
            "digest": self.digest,
            "dvc": self.dvc,
            "ignored": len(self.images.ignored),
            "skipped": self.skipped,
        }


def make_plan(
    experiment: Experiment, *, fold: int | None = None, skip_corrupt: bool = False, device: str = "auto"
) -> Plan:
    """Checks the experiment against its data, its model and this machine, cheapest first. Raises HarnessError.

    With `fold` (1-based) the plan is for that one only.
    """
    require_metric(experiment.monitor, MONITORS)
    chosen = choose_device(device)
    precision = choose_precision(experiment.precision, chosen)
    images = list_images(experiment.data)
    splits = _splits(images, experiment, fold)
    cache = open_cache(say)
    model = _check_model(experiment, images, cache, fold or 1)
    check = check_images(images, experiment.image_size, cache.items(**DECODER) if experiment.cache else ())
    skipped = check.problems
    if skipped and not skip_corrupt:
        raise undecodable_error(check, images)
    if skipped:
        images, check = check.without(images)
        splits = _splits(images, experiment, fold)
    digest = check.digest(images)
    assert check.pixels is not None
    return Plan(
        experiment=experiment,
        images=images,
        pixels=check.pixels,
        cache=cache,
        digest=digest,
        dvc=dvc_state(images.root, _md5s(images, check)),
        splits=splits,
        device=chosen,
        precision=precision,
        weights=model.weights,
        trainable=model.trainable,
        frozen=model.frozen,
        once=model.once,
        skipped=skipped,
        notes=(
            *data_notes(images, check, skipped),
            *test_notes(experiment, images, check),
            *setting_notes(experiment),
            *model.live,
            *([LEAK] if model.weights_digest == digest else []),
        ),
    )


def vary(plan: Plan, experiment: Experiment) -> Plan:
    """The plan of an experiment on the same images and folds as another one's, of which nothing is asked again.

    Its `data`, `folds` and `seed` must be those of `plan.experiment`. Raises HarnessError.
    """
    model = _check_model(experiment, plan.images, plan.cache, next(iter(plan.splits)))
    pixels = plan.pixels
    if experiment.image_size != plan.experiment.image_size:
        check = check_images(
            plan.images, experiment.image_size, plan.cache.items(**DECODER) if experiment.cache else ()
        )
        if check.problems or check.pixels is None:
            raise undecodable_error(check, plan.images)
        pixels = check.pixels
    return replace(
        plan,
        experiment=experiment,
        pixels=pixels,
        precision=choose_precision(experiment.precision, plan.device),
        weights=model.weights,
        trainable=model.trainable,
        frozen=model.frozen,
        once=model.once,
        notes=(*setting_notes(experiment), *model.live),
    )


@dataclass(frozen=True)
class _Model:
    """What is known of an experiment's model before it is trained."""

    weights: str
    weights_digest: str | None
    trainable: int
    frozen: int
    live: list[str]  # why its frozen part runs in every epoch, where it does
    once: bool


def _check_model(experiment: Experiment, images: Images, cache: Cache, fold: int) -> _Model:
    """Builds it, and all else that the experiment names, once."""
    _require_sendable(experiment)
    prepared = prepare_model(experiment, images.classes, fold)
    rehearse(experiment, prepared.model, len(images.classes))
    live = _live_note(experiment, prepared.model, images, cache)
    return _Model(
        prepared.weights_note,
        prepared.weights_digest,
        *count_parameters(prepared.model),
        live,
        experiment.freeze is not False and not live,
    )


def _live_note(experiment: Experiment, model: nn.Module, images: Images, cache: Cache) -> list[str]:
    """Why the frozen part of the model will run in every epoch, where it will."""
    if experiment.freeze is False:
        return []
    why = why_live(experiment)
    if not why:
        try:
            find_cut(experiment, model, len(images), cache)
        except CannotCutError as error:
            why = str(error)
    return [f"the frozen part runs in every epoch, which is slow: {why}"] if why else []


def _require_sendable(experiment: Experiment) -> None:
    """Elsewhere than on Linux, loader processes start anew, and cannot find a function of an experiment file."""
    if sys.platform != "linux" and experiment.workers not in (0, "auto") and callable(experiment.augment):
        raise UsageError(
            "an augmentation of your own cannot be sent to loader processes",
            f"on {sys.platform} they start as new interpreters, which do not know the experiment file",
            "-s workers=0",
        )


def _md5s(images: Images, check: Check) -> dict[Path, str]:
    """By absolute path; of files that were read."""
    root = images.root.absolute()
    return {root / path: md5 for path, md5 in zip(images.paths, check.hashes, strict=True) if md5}


def _spread(indices: Sequence[int], most: int) -> tuple[int, ...]:
    """At most so many of the indices, evenly spaced."""
    count = min(most, len(indices))
    return tuple(indices[i * len(indices) // count] for i in range(count))


def _named(value: Any) -> str:
    """A setting for people: of a function, its name alone."""
    return "none" if value is None else str(plain(value)).rpartition(":")[2]


def frozen_part(freeze: bool | str) -> str:
    """For people: what of a model is frozen."""
    if isinstance(freeze, str):
        return f"all up to {freeze}"
    return "all but the head" if freeze else "nothing"


def _splits(images: Images, experiment: Experiment, fold: int | None) -> dict[int, Split]:
    splits = dict(enumerate(stratified_splits(images, experiment.folds, experiment.seed), start=1))
    if fold is None:
        return splits
    if fold not in splits:
        raise UsageError(
            f"there is no fold {fold}", f"the folds are {', '.join(map(str, splits))}", f"--fold {len(splits)}"
        )
    return {fold: splits[fold]}
