"""Makes the `Plan` of a run: checks data, model and machine, and decides everything before the first step."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from harness.cache.store import Cache, open_cache
from harness.config.experiment import Experiment
from harness.data.check import Check, check_images, undecodable_error, unreadable_by_class
from harness.data.groups import Groups, numbered
from harness.data.images import Images
from harness.data.prepare import preparation_of
from harness.data.shared_memory import free_bytes
from harness.data.splits import Split, require_learnable, stratified_splits, with_inner
from harness.data.transforms import Transform
from harness.engine.device import choose_device
from harness.engine.metrics import require_metric, rises
from harness.engine.precision import Precision, choose_precision
from harness.errors import UsageError
from harness.models.build import supports_channels_last
from harness.models.freezing import count_parameters
from harness.models.prefix import CannotCutError, Cut, cut
from harness.runs.provenance import dvc_state
from harness.training.epoch_metrics import chosen_metrics, monitors
from harness.training.features import require_room, why_live
from harness.training.inputs import choose_inputs, scratch_note, with_wanted
from harness.training.model import prepared, start_weights, untrained_model
from harness.training.plan import ModelPlan, Plan, Workers, choose_workers
from harness.training.plan_notes import copy_notes, data_notes, depth_notes, dropout_notes, setting_notes
from harness.training.rehearsal import batch_sizes, rehearse
from harness.training.repeats import fold_and_repeat, repeat_seed
from harness.training.steering import inner_fraction, steered_by
from harness.util.console import print_line
from harness.workflows.find_leaks import find_leaks
from harness.workflows.near_copies import find_near
from harness.workflows.plan_data import DataPlan, plan_data

FITTED = ("model", "weights", "weights_key", "image_size", "channels")  # fields that decide how weights are loaded
LEAK = "the weights were trained on these same images, so the accuracy will be too good: start from other weights"


def make_plan(
    experiment: Experiment,
    *,
    fold: int | None = None,
    skip_corrupt: bool = False,
    allow_leak: bool = False,
    device: str = "auto",
) -> Plan:
    """Checks an experiment against its data, its model and this machine, and returns the plan of its run.

    Nothing is trained, and no run folder is made. Cheap checks come first.

    Args:
        experiment: The settings of the run.
        fold: The only fold to plan, from 1; None for all folds.
        skip_corrupt: Whether to leave out images that cannot be decoded.
        allow_leak: Whether to continue if images of the hold-out or the test set are also in the training set.
        device: "auto", or the name of a torch device such as "cpu" or "cuda:0".

    Returns:
        The plan, for `train` and `cross_validate`.

    Raises:
        DataError: The images are missing, cannot be decoded, are too few, or leak from one split to another.
        UsageError: A setting is wrong, or the model cannot be loaded.

    Example:
        >>> import harness
        >>> plan = harness.make_plan(harness.load("experiments/quickstart.py"), device="cpu")
        >>> sorted(plan.splits)
        [1, 2]
    """
    require_metric(experiment.monitor, monitors(experiment))
    rises(experiment.monitor, experiment.monitor_mode)  # raises if the mode is unknown
    chosen = choose_device(device)
    precision = choose_precision(experiment.precision, chosen)
    data = plan_data(with_wanted(experiment))
    experiment, images = data.experiment, data.images
    chosen_metrics(experiment, len(images.classes))  # raises for an unknown metric
    splits = _splits(data, fold)
    cache = open_cache(print_line)
    model, model_notes = _plan_model(experiment, images, splits, (chosen, precision), cache)
    check = check_images(images, model.transform.preparation, cache if experiment.cache else None)
    assert check.pixels is not None
    experiment, model = _with_range(experiment, model, check)
    skipped = check.problems
    if skipped and not skip_corrupt:
        raise undecodable_error(check, images)
    shrunk = unreadable_by_class(images, skipped)
    if skipped:
        data, check = data.without(check)
        images = data.images
    groups = numbered(data.groups, check.looks(), check.hashes)
    splits = _splits(data, fold, groups)
    not_evaluated = [] if data.split is None else require_learnable(images, data.split)
    leaks = find_leaks(experiment, data, check, cache)
    leaks.require_none(allow_leak)
    near = find_near(experiment, data, check, leaks.test, splits, cache)
    assert check.pixels is not None
    digest = check.digest(images)
    is_trained_here = model.weights is not None and model.weights.data_digest == digest
    return Plan(
        experiment=experiment,
        images=images,
        pixels=check.pixels,
        fingerprints=check.fingerprints,
        cache=cache,
        digest=digest,
        dvc=dvc_state(data.training.root, _md5s(images, check)),
        splits=splits,
        steered_by=tuple(steered_by(experiment)),
        groups=groups,
        device=chosen,
        precision=precision,
        model=model,
        workers=_workers(experiment, model, chosen),
        skipped=skipped,
        shrunk=shrunk,
        leaked=leaks.valid,
        near_copies=near.judged,
        notes=(
            *copy_notes(images, check),
            *data.notes,
            *data_notes(images, skipped),
            *depth_notes(check, experiment),
            *(
                [f"the hold-out has no image of {', '.join(not_evaluated)}, so it cannot evaluate that class"]
                if not_evaluated
                else []
            ),
            *leaks.notes,
            *near.notes,
            *setting_notes(experiment),
            *_live_note(model),
            *model_notes,
            *([LEAK] if is_trained_here else []),
        ),
    )


def vary(plan: Plan, experiment: Experiment) -> Plan:
    """The plan of another experiment; reuses `plan`'s images and folds.

    Its `data`, `folds`, `repeats` and seeds must be those of `plan.experiment`. Raises HarnessError.
    """
    precision = choose_precision(experiment.precision, plan.device)
    experiment = with_wanted(experiment)
    if experiment.value_range is None and plan.experiment.value_range is not None:
        experiment = experiment.found({"value_range": plan.experiment.value_range})
    splits = _with_inner(experiment, plan.images, plan.splits, plan.groups)
    model, model_notes = _plan_model(experiment, plan.images, splits, (plan.device, precision), plan.cache, plan)
    pixels, preparation = plan.pixels, model.transform.preparation
    if preparation != preparation_of(plan.experiment):
        check = check_images(plan.images, preparation, plan.cache if experiment.cache else None)
        if check.problems or check.pixels is None:
            raise undecodable_error(check, plan.images)
        pixels = check.pixels
    return replace(
        plan,
        experiment=experiment,
        splits=splits,
        steered_by=tuple(steered_by(experiment)),
        pixels=pixels,
        precision=precision,
        model=model,
        workers=_workers(experiment, model, plan.device),
        notes=(*setting_notes(experiment), *_live_note(model), *model_notes),
    )


def _plan_model(
    experiment: Experiment,
    images: Images,
    splits: Mapping[int, Split],
    arithmetic: tuple[torch.device, Precision],
    cache: Cache,
    base: Plan | None = None,
) -> tuple[ModelPlan, list[str]]:
    """Builds the model, and tries all functions of the experiment. Reuses `base`'s weights if they are the same."""
    _require_sendable(experiment)
    (fold, split), (device, precision) = next(iter(splits.items())), arithmetic
    model = untrained_model(experiment, images.classes, fold, check=True)
    reuses = base is not None and _same_weights(base.experiment, experiment)
    weights = base.model.weights if base is not None and reuses else start_weights(experiment, model, images.classes)
    inputs = choose_inputs(experiment, weights, model)
    model = prepared(experiment, model, weights)
    preparation = preparation_of(experiment)
    channels_last = supports_channels_last(model, preparation.shape, device)
    transform = Transform(preparation, inputs.mean, inputs.std)
    trainable, frozen = count_parameters(model)
    cut_made, why_live = _prefix(experiment, model, len(images), cache)
    model.train()
    warnings = rehearse(
        experiment,
        model,
        transform,
        [images.labels[i] for i in split.train],
        len(images.classes),
        {"device": device, "precision": precision, "channels_last": channels_last},
        batch_sizes((len(each.train) for each in splits.values()), experiment.batch_size),
        cut_made,
    )
    note = weights.note if weights is not None else scratch_note(experiment)
    features = None if cut_made is None else cut_made.shape
    plan = ModelPlan(weights, note, inputs, transform, channels_last, trainable, frozen, features, why_live)
    return plan, [*dropout_notes(experiment, model), *warnings]


def _with_range(experiment: Experiment, model: ModelPlan, check: Check) -> tuple[Experiment, ModelPlan]:
    """Sets the range of values that the check has found in the images, if any, in both."""
    assert check.pixels is not None
    preparation = check.pixels.preparation
    if preparation.value_range == experiment.value_range:
        return experiment, model
    transform = replace(model.transform, preparation=preparation)
    return experiment.found({"value_range": preparation.value_range}), replace(model, transform=transform)


def _same_weights(one: Experiment, other: Experiment) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in FITTED)


def _prefix(experiment: Experiment, model: nn.Module, images: int, cache: Cache) -> tuple[Cut | None, str]:
    """Returns the frozen prefix if it can run once per image, or None and the reason."""
    if experiment.freeze is False:
        return None, ""
    why = why_live(experiment)
    if why:
        return None, why
    try:
        made = cut(model, preparation_of(experiment).shape)
        require_room(made.shape, images, experiment.views, cache)
    except CannotCutError as error:
        return None, str(error)
    return made, ""


def _workers(experiment: Experiment, model: ModelPlan, device: torch.device) -> Workers:
    augmented = experiment.augment is not None and model.features is None
    batch = experiment.batch_size * math.prod(preparation_of(experiment).shape)  # uint8
    return choose_workers(experiment.workers, augmented, device, batch, free_bytes())


def _live_note(model: ModelPlan) -> list[str]:
    return [f"the frozen part runs in every epoch, which is slow: {model.why_live}"] if model.why_live else []


def _require_sendable(experiment: Experiment) -> None:
    """Outside Linux, loader processes are new interpreters, which cannot import a function of an experiment file."""
    if sys.platform != "linux" and experiment.workers not in (0, "auto") and callable(experiment.augment):
        raise UsageError(
            "your own augmentation cannot be sent to loader processes",
            f"on {sys.platform} they are new interpreters, which cannot import the experiment file",
            "-s workers=0",
        )


def _md5s(images: Images, check: Check) -> dict[Path, str]:
    """MD5 by absolute path, of the files that were read."""
    return {file.absolute(): md5 for file, md5 in zip(images.files(), check.hashes, strict=True) if md5}


def _splits(data: DataPlan, fold: int | None, groups: Groups | None = None) -> dict[int, Split]:
    """The splits by number: all folds of the first repeat, then those of the next one."""
    experiment = data.experiment
    uneven = any(name is not None for name in data.groups)
    if data.split is not None:
        whole = [data.split]
    else:
        seed = experiment.seed if experiment.split_seed is None else experiment.split_seed
        whole = stratified_splits(data.images, experiment.folds, seed, groups, uneven)
    if fold is not None and fold > len(whole):
        folds = ", ".join(str(number + 1) for number in range(len(whole)))
        raise UsageError(f"there is no fold {fold}", f"the folds are {folds}", f"--fold {len(whole)}")
    repeated = dict(enumerate(whole * experiment.repeats, start=1))
    if fold is not None:
        repeated = {each: split for each, split in repeated.items() if fold_and_repeat(each, len(whole))[0] == fold}
    return _with_inner(experiment, data.images, repeated, groups)


def _with_inner(
    experiment: Experiment, images: Images, splits: Mapping[int, Split], groups: Groups | None
) -> dict[int, Split]:
    """The splits with an inner part if the experiment needs one, and without it otherwise."""
    fraction = inner_fraction(experiment)
    if fraction is None:
        return {fold: Split(split.training_side, split.valid) for fold, split in splits.items()}
    return {
        fold: with_inner(images, split, fraction, repeat_seed(experiment, fold), groups)
        for fold, split in splits.items()
    }
