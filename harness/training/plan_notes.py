"""Warnings about the images and the settings, shown before a run starts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.config.experiment import FOUND, Experiment
from harness.data.check import Check
from harness.data.depth import clipped_text
from harness.data.groups import numbered, sets_of
from harness.data.images import Images
from harness.models.freezing import silenced_dropout
from harness.models.torchvision_models import evaluated_at
from harness.util.packages import installed
from harness.util.text import counted, few

PROBABILITIES = (
    "the model's output looks like probabilities ({}), but the loss and the predictions need logits: return the output "
    "before the {}"
)


def copy_notes(images: Images, check: Check) -> list[str]:
    """Warns about copies of images: equal files, or different files with equal pixels."""
    sets = [[*indices] for indices in sets_of(numbered(check.hashes, check.looks()))]
    torn = [indices for indices in sets if len({images.labels[i] for i in indices}) > 1]
    notes = []
    if torn:
        first = " and ".join(images.paths[i] for i in torn[0][:2])
        notes.append(
            f"CONTRADICTION: {len(torn)} images are in two classes, so one of their labels is wrong: {first}"
            + (", ..." if len(torn) > 1 else "")
        )
    if sets:
        extra = sum(len(indices) - 1 for indices in sets)
        first = ", ".join(images.paths[i] for i in sets[0][:3])
        notes.append(f"{extra} images are copies of others; all copies of an image are in one fold: {first}")
    return notes


def data_notes(images: Images, skipped: dict[str, str]) -> list[str]:
    """Warns about files that are left out."""
    notes = []
    if images.ignored:
        files = counted(len(images.ignored), "file")
        why = "the name is not that of an image, or the file is in no class"
        notes.append(f"{files} left out: {why}: {_by_class(images)}")
    if images.foreign:
        size = f"{len(images.foreign)}, with {sum(images.foreign.values())} files"
        named = _first_paths(list(images.foreign))
        notes.append(f"folders that other programs created are left out ({size}): {named}")
    if skipped:
        number = counted(len(skipped), "image")
        notes.append(f"left out because they cannot be decoded, {number}: {_first_paths(list(skipped))}")
    similar: dict[str, list[str]] = {}
    for name in images.classes:
        similar.setdefault(" ".join(name.casefold().split()), []).append(name)
    for names in similar.values():
        if len(names) > 1:
            notes.append(f"the classes {' and '.join(map(repr, names))} differ only in case or spaces")
    return notes


def depth_notes(check: Check, experiment: Experiment) -> list[str]:
    """Warns about the range of values in images with more than 8 bits."""
    if not check.deep or experiment.value_range is None:
        return []
    low, high = (f"{bound:g}" for bound in experiment.value_range)
    whole_range = " (the range of all of them; -s value_range=LOW,HIGH for another)"
    source = whole_range if experiment.origin("value_range") == FOUND else ""
    beyond = clipped_text(check.depth, experiment.value_range)
    return [
        f"{check.deep} images have more than 8 bits: {low} becomes black and {high} white{source}",
        *([beyond] if beyond else []),
    ]


def setting_notes(experiment: Experiment) -> list[str]:
    notes = []
    if experiment.patience is not None and experiment.patience >= experiment.epochs:
        notes.append(f"patience={experiment.patience} can never stop a fold of {experiment.epochs} epochs")
    if experiment.patience is not None and experiment.patience < experiment.epochs and experiment.epoch == "last":
        notes.append(
            f"a fold that patience={experiment.patience} stops is evaluated at its last epoch, not at its best one: "
            "-s epoch=best uses the best epoch of the inner part"
        )
    if experiment.views is not None and experiment.augment is not None and experiment.freeze is False:
        notes.append(f"views={experiment.views} only limits the augmentation: nothing is frozen, so it saves no time")
    if experiment.views is not None and experiment.augment is None:
        notes.append(f"views={experiment.views} changes nothing: there is no augmentation")
    if callable(experiment.model) and experiment.weights == "imagenet" and experiment.origin("weights") != "default":
        notes.append("weights=imagenet has no effect: the function that makes the model loads its own weights, or none")
    notes += _size_notes(experiment)
    for name in experiment.trackers:
        if not installed(name):
            notes.append(f"{name} is not installed, so the run is not sent to it (pip install {name})")
    return notes


def dropout_notes(experiment: Experiment, model: nn.Module) -> list[str]:
    """Warns about dropout layers that freeze=true switches off."""
    off = silenced_dropout(model) if experiment.freeze is True else []
    if not off:
        return []
    named = few(off)
    return [f"dropout is off in the frozen part ({named}), because a frozen layer uses its output"]


def _size_notes(experiment: Experiment) -> list[str]:
    """Warns if the weights were evaluated at another size than the default one, which the user did not choose."""
    name, size = experiment.model, experiment.image_size
    if not isinstance(name, str) or experiment.weights != "imagenet" or experiment.origin("image_size") != "default":
        return []
    side = evaluated_at(name)
    if side is None or side == size:
        return []
    return [
        f"the ImageNet weights of {name} were evaluated at {side} px, but images are resized to {size}: "
        f"-s image_size={side}"
    ]


def output_notes(output: Tensor) -> list[str]:
    """Warns about a model's output (B, classes) in training that is probabilities or float64."""
    notes = []
    last = type(output.grad_fn).__name__
    sums = output.detach().float().sum(1)
    if bool((output >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-2):
        notes.append(PROBABILITIES.format("each row sums to 1", "softmax"))
    elif last.startswith("SigmoidBackward"):
        notes.append(PROBABILITIES.format("a sigmoid computes it", "sigmoid"))
    if output.dtype == torch.float64:
        notes.append("the model computes in float64, which is slow, but the loss in float32: return model.float()")
    return notes


def _by_class(images: Images) -> str:
    """Returns the files that are left out, for display: "dog 9 (a.psd, b.psd, ...); no class 1 (README.md)"."""
    places: dict[str, list[str]] = {}
    for path in images.ignored:
        own = next((part for part in path.split("/")[:-1] if part in images.classes), "no class")
        places.setdefault(own, []).append(path)
    return "; ".join(f"{name} {len(paths)} ({_first_paths(paths)})" for name, paths in places.items())


def _first_paths(paths: tuple[str, ...] | list[str]) -> str:
    return ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")
