"""What a person should know before a run: of the images, of those for the last test, and of the settings."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.config.experiment import Experiment
from harness.data.check import Check, check_images
from harness.data.folders import Images, list_images
from harness.errors import DataError
from harness.util.packages import installed

PROBABILITIES = (
    "the model's output looks like probabilities ({}); the loss and the predictions take logits: return what comes "
    "before the {}"
)


def data_notes(images: Images, check: Check, skipped: dict[str, str]) -> list[str]:
    notes = []
    if images.ignored:
        files = f"{len(images.ignored)} files are no images by their name, or in no class"
        notes.append(f"{files}, and left out: {_first_paths(images.ignored)}")
    if images.foreign:
        counted = f"{len(images.foreign)}, with {sum(images.foreign.values())} files"
        named = _first_paths(list(images.foreign))
        notes.append(f"folders that other programs made are left out ({counted}): {named}")
    if skipped:
        notes.append(f"{len(skipped)} images cannot be decoded and are left out: {_first_paths(list(skipped))}")
    groups = check.duplicates(images)
    if groups:
        extra = sum(len(group) - 1 for group in groups)
        notes.append(
            f"{extra} images are copies of others, and may be on both sides of a fold: {_first_paths(groups[0])}"
        )
    return notes


def test_notes(experiment: Experiment, images: Images, check: Check) -> list[str]:
    """What is wrong with the folder of the last test: no reason to stop, since nothing here is trained on it."""
    if experiment.test_data is None or experiment.tests_other_data:
        return []
    try:
        test = list_images(experiment.test_data, images.classes)
    except DataError as error:
        return [f"test_data will be refused: {error.what}; {error.why}"]
    notes, test_check, trained_on = [], check_images(test), set(check.hashes)
    seen = [path for path, md5 in zip(test.paths, test_check.hashes, strict=True) if md5 in trained_on]
    if seen:
        notes.append(f"{len(seen)} images of {test.root} are also trained on: {_first_paths(seen)}")
    if test_check.problems:
        bad = list(test_check.problems)
        notes.append(f"{len(bad)} images of {test.root} cannot be decoded: {_first_paths(bad)}")
    return notes


def setting_notes(experiment: Experiment) -> list[str]:
    notes = []
    if experiment.patience is not None and experiment.patience >= experiment.epochs:
        notes.append(f"patience={experiment.patience} can never stop a fold of {experiment.epochs} epochs")
    if experiment.views is not None and experiment.augment is not None and experiment.freeze is False:
        notes.append(f"views={experiment.views} shows each image in so few ways, and saves nothing: nothing is frozen")
    if experiment.views is not None and experiment.augment is None:
        notes.append(f"views={experiment.views} changes nothing: there is no augmentation")
    for name in experiment.trackers:
        if not installed(name):
            notes.append(f"{name} is not installed, and the run goes on without it (pip install {name})")
    return notes


def output_notes(output: Tensor) -> list[str]:
    """Of a model's output in training, (B, classes): whether it is probabilities, or of float64."""
    notes = []
    last = type(output.grad_fn).__name__
    sums = output.detach().float().sum(1)
    if bool((output >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-2):
        notes.append(PROBABILITIES.format("each row sums to 1", "softmax"))
    elif last.startswith("SigmoidBackward"):
        notes.append(PROBABILITIES.format("a sigmoid gives them", "sigmoid"))
    if output.dtype == torch.float64:
        notes.append("the model computes in float64, which is slow; the loss is of float32: return model.float()")
    return notes


def _first_paths(paths: tuple[str, ...] | list[str]) -> str:
    return ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")
