"""Loads a model from its checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.config.object_text import without_module
from harness.data.prepare import Preparation, preparation_from
from harness.data.transforms import IMAGENET_MEAN, IMAGENET_STD, Transform
from harness.engine import checkpoint
from harness.errors import ModelError, UsageError
from harness.models.build import architectures, build
from harness.models.schemas import Checkpoint
from harness.models.wanted import normalisation_of, wishes
from harness.models.weights import WeightsFile, read_weights
from harness.util.schema import schema_of, validate

TRAINED_ON = "trained_on"  # key in a checkpoint: (N,) int64, fingerprints of images
LEGACY_NAME = re.compile(r"freeze_backbone_(True|False)")  # as in cnn_resnet18_freeze_backbone_False_fold_2.pth


@dataclass(frozen=True)
class SavedModel:
    """A model with all its weights, in eval mode, and the preparation of its inputs."""

    model: nn.Module
    architecture: str  # its name
    classes: tuple[str, ...]  # in the order of the logits
    transform: Transform
    experiment: Mapping[str, Any]  # as recorded; empty if the file does not have it
    fold: int | None
    data_digest: str | None  # of the training images
    trained_on: frozenset[int] | None = None  # fingerprints of the training and validation images
    temperature: float = 1.0  # the divisor of the logits that calibrates the probabilities
    is_refit: bool = False  # whether it was trained on all images of a run
    note: str = ""  # for a file of another program: which part was used, and how inputs are normalised


def load_model(
    path: Path,
    *,
    classes: Sequence[str] | None = None,
    architecture: str | None = None,
    image_size: int | None = None,
    weights_key: str | None = None,
    function: Callable[[str], Callable[[int], Any]] | None = None,
) -> SavedModel:
    """Loads the model in a checkpoint of this package, or in weights of another program.

    Args:
        path: The file.
        classes: For such weights: the names of the outputs, in order.
        architecture: For such weights: the model's name; by default it is taken from the file's name.
        image_size: For such weights: pixels; by default that of the model's library, or else 224.
        weights_key: For such weights: which part of the file to use, if several fit the model.
        function: Returns the user's function that made a model, for its recorded name.

    Raises:
        ModelError: The file is missing or damaged, or does not hold the model.
        UsageError: An argument is missing, or differs from the file.
    """
    content = checkpoint.load(path)
    weights = read_weights(path, content)
    if content.get("format") != checkpoint.FORMAT:
        if classes is None:
            raise UsageError(
                f"{path} does not say its classes",
                "it holds only weights; its outputs have an order, but no names",
                "--classes sea,forest  (in the order of the training)",
            )
        return _of_weights(weights, classes, architecture or _in_name(path), image_size, weights_key)
    try:
        header = validate(
            schema_of(Checkpoint), {name: value for name, value in content.items() if name not in ("model", TRAINED_ON)}
        )
        json.dumps(header["experiment"])
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{path} is not a complete checkpoint", str(error), "name another file") from error
    _agree(path, "classes", header["classes"], None if classes is None else list(classes))
    _agree(path, "model", header["architecture"], architecture)
    _agree(path, "image size", header["transform"]["image_size"], image_size)
    preparation = preparation_from(header["transform"])
    named, known = header["architecture"], tuple(header["classes"])
    assert weights.mean is not None  # `read_weights` requires both in a file of this package
    assert weights.std is not None
    transform = Transform(preparation, weights.mean, weights.std)
    if ":" in named and function is None:
        raise ModelError(
            f"{path.name} needs its experiment's file",
            f"a function in it makes the model ({without_module(named)}), and only a command for the run calls it",
            "harness champion promote RUN, which logs it to MLflow",
        )
    make = function(named) if ":" in named and function is not None else named
    model = build(make, len(known), transform.shape)
    _load_all(weights, model, named, known, transform.shape)
    model.eval()
    return SavedModel(
        model,
        named,
        known,
        transform,
        header["experiment"],
        header.get("fold"),
        header.get("data_digest"),
        _trained_on(path, content),
        temperature=header.get("temperature", 1.0),
        is_refit=header.get("is_refit", False),
    )


def _trained_on(path: Path, content: Mapping[str, Any]) -> frozenset[int] | None:
    """Returns the fingerprints of its training images; None if it has none. Raises ModelError for another type."""
    fingerprints = content.get(TRAINED_ON)
    if fingerprints is None:
        return None
    if not isinstance(fingerprints, torch.Tensor) or fingerprints.dtype != torch.int64 or fingerprints.ndim != 1:
        raise ModelError(
            f"{path} is not a complete checkpoint", f"{TRAINED_ON} is not a list of numbers", "name another file"
        )
    return frozenset(fingerprints.tolist())


def _of_weights(
    weights: WeightsFile, classes: Sequence[str], named: str | None, image_size: int | None, key: str | None
) -> SavedModel:
    """Returns the model in weights of another program."""
    path = weights.path
    if named is None:
        raise UsageError(
            f"{path} does not say which model it is",
            "it holds only weights, and its name does not contain a model's name",
            "--model NAME",
        )
    wanted = wishes(named)
    if image_size is not None:
        wanted["image_size"] = image_size
    preparation = Preparation(**wanted)
    model = build(named, len(classes), preparation.shape)
    note = _load_all(weights, model, named, classes, preparation.shape, key)
    mean, std = normalisation_of(model) or (IMAGENET_MEAN, IMAGENET_STD)
    freeze = LEGACY_NAME.search(path.name)
    experiment = {"freeze": freeze[1] == "True"} if freeze else {}
    transform = Transform(preparation, mean, std)
    inputs = ", ".join(f"{value:g}" for value in (*transform.mean, *transform.std))
    note = note.replace("-s weights_key=", "--weights-key ")
    note = f"weights {note}; inputs normalised by mean and deviation {inputs}"
    model.eval()
    return SavedModel(model, named, tuple(classes), transform, experiment, None, None, note=note)


def _load_all(
    file: WeightsFile,
    model: nn.Module,
    named: str,
    classes: Sequence[str],
    shape: tuple[int, int, int],
    key: str | None = None,
) -> str:
    """Loads all weights, including the head. Returns which part of the file was used."""
    try:
        weights = file.fit(model, named, classes, shape, key)
    except ModelError as error:  # its fix is for `harness run`
        error.fix = error.fix.replace("-s weights_key=", "--weights-key ").replace("-s model=", "--model ")
        error.fix = error.fix.partition(", or -s ")[0]
        raise
    if not weights.head:
        raise ModelError(
            f"{file.path} is not a model for these {len(classes)} classes",
            f"{weights.note}; a random head would give random answers",
            f"--classes with one name per output of the model (now {', '.join(classes)})",
        )
    weights.load_into(model, named)
    return weights.note


def _agree(path: Path, what: str, recorded: Any, given: Any) -> None:
    if given is not None and given != recorded:
        raise UsageError(
            f"{path} has other {what}" if what == "classes" else f"{path} has another {what}",
            f"the file says {_quoted(recorded)}, and you said {_quoted(given)}",
            f"leave out the {what}: the file knows it",
        )


def _quoted(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _in_name(path: Path) -> str | None:
    """Returns the longest model name in a file's name: resnet18 for cnn_resnet18_freeze_backbone_False_fold_2.pth."""
    names = [name for name in architectures() if re.search(rf"(?<![a-z0-9]){name}(?![a-z0-9])", path.stem.lower())]
    return max(names, key=len, default=None)
