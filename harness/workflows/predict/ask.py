"""Loads the model for predictions, or the ensemble of a run's fold models with its cost and gain."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import torch

from harness.data.formats import file_format, is_image_name
from harness.errors import ModelError, UsageError
from harness.models.export_record import json_beside
from harness.models.saved import SavedModel
from harness.runs import champion
from harness.runs.exports import made_export
from harness.runs.find import find_run, latest_runs, trials_named
from harness.runs.records import TestRecord
from harness.runs.run_folder import RunFolder
from harness.util.files import is_file, is_folder
from harness.workflows.ensemble import fold_models
from harness.workflows.experiment_copy import model_function
from harness.workflows.export.load import is_exported, load_exported
from harness.workflows.find_model import find_model, find_model_file
from harness.workflows.predict.predictor import Classifier, Predictor
from harness.workflows.predict.worth import worth_of, worth_text

SUFFIXES = (".onnx", ".pt2", ".safetensors", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class Asked:
    """A model that is ready for predictions.

    Attributes:
        classifier: Computes the probabilities.
        source: A description of the model, to print.
        notes: Warnings shown before the first prediction.
        path: Its file; the run folder for an ensemble.
        worth: The accuracy of its run with its interval, to print; empty if it is unknown.
    """

    classifier: Classifier
    source: str
    notes: tuple[str, ...] = ()
    path: Path | None = None
    worth: str = ""


def names_model(text: str, runs: Path) -> bool:
    """Whether a word on the command line names a model, and not images."""
    path = Path(text)
    if is_file(path):
        return path.suffix.lower() in SUFFIXES
    if is_folder(path):
        return is_file(path / "run.json")
    if text == "champion":
        return True
    if not text or any(letter in text for letter in "*?["):
        return False
    if "/" not in text and any(folder.id.endswith(text) for folder in latest_runs(runs)):
        return True
    return bool(trials_named(text, runs))


def looks_like_a_model(text: str) -> bool:
    """Whether a word was probably meant as a model: it is a file but not an image, or a folder of runs."""
    path = Path(text)
    if is_folder(path):
        return any(is_file(found) for pattern in ("*/run.json", "*/*/run.json") for found in path.glob(pattern))
    if not is_file(path) or is_image_name(path.name):
        return False
    try:
        with path.open("rb") as file:
            return not file_format(file.read(64))
    except OSError:
        return False


def ask(
    named: str | None,
    runs: Path = Path("runs"),
    *,
    ensemble: bool = False,
    device: str = "auto",
    trust: bool = False,
    **of_weights: Any,
) -> Asked:
    """Loads a model for predictions.

    Args:
        named: As for `find_model`, or an exported file.
        runs: The folder that contains the run folders.
        ensemble: Whether to use the mean probabilities of all fold models of the run.
        device: See `Predictor`.
        trust: See `find_model`.
        of_weights: Settings of a bare state dict; see `find_model`.

    Raises:
        UsageError: There is no such model or device, or no ensemble.
        ModelError: The file does not contain a model.
    """
    path = Path(named or "")
    if is_file(path) and path.suffix.lower() in SUFFIXES and is_exported(path):
        if ensemble:
            raise UsageError(
                f"{named} is one model",
                "--ensemble needs the fold models of a run",
                "the same command without --ensemble",
            )
        exported = load_exported(path, trust=trust, function=model_function(path, trust))
        notes = (*_without_record(path, exported.record.sha256), *_without_temperature(exported.temperature))
        return Asked(exported, f"{path} ({exported.record.kind})", notes, path, worth_text(exported.record.origin))
    if not ensemble:
        found = find_model(named, runs, trust=trust, **of_weights)
        return Asked(
            Predictor([found.saved], device), found.source, _notes(found.saved), found.path, worth_of(found.path)
        )
    run = run_of_model(named, runs)
    models = fold_models(str(run.path), runs, trust)
    predictor = Predictor(models, device)
    gone = len(run.record.folds) - len(models)
    lacks = (f"{gone} of the {gone + len(models)} fold models are missing",) if gone else ()
    notes = (*lacks, *_notes(models[0]), _price(predictor, run))
    worth = worth_text(run.record)
    one = f"{worth}, for a single model" if worth else ""
    return Asked(predictor, f"the mean of {len(models)} models of {run.path}", notes, run.path, one)


def run_of_model(named: str | None, runs: Path) -> RunFolder:
    """The run that a model came from, whose fold models are an ensemble. Raises UsageError for a single file."""
    path, _ = find_model_file(named, runs)
    present = champion.present()
    if present is not None and path == present.checkpoint:
        return find_run(present.record.run.id, runs)
    home = path.absolute().parents[1]
    if not (home / "run.json").is_file():
        raise UsageError(f"{path} is one model", "--ensemble needs the fold models of a run", "name the run instead")
    return RunFolder.open(path.parents[1] if len(path.parents) > 1 else home)


def _notes(model: SavedModel) -> tuple[str, ...]:
    return (*([model.note] if model.note else []), *_without_temperature(model.temperature))


def _without_record(path: Path, known: str | None) -> tuple[str, ...]:
    if known is not None or made_export(hashlib.sha256(path.read_bytes()).hexdigest()):
        return ()
    return (f"this file may have changed since its export, because {json_beside(path).name} is not beside it",)


def _without_temperature(temperature: float) -> tuple[str, ...]:
    if temperature != 1:
        return ()
    return ("the probabilities are not calibrated, because this file has no temperature from a cross-validation",)


def _price(predictor: Predictor, run: RunFolder) -> str:
    """The cost of an ensemble, measured now on 16 blank images, and its gain, if a test measured it."""
    models = predictor.models
    blank = torch.zeros(16, *predictor.preparation.shape, dtype=torch.uint8)
    seconds = []
    for some in (models[:1], models[:1], models):  # the first pass is not counted, because it compiles kernels
        one = predictor.with_models(some)
        start = time.perf_counter()
        one.probabilities(blank)
        seconds.append(time.perf_counter() - start)
    cost = f"the {len(models)} models take {seconds[2] / seconds[1]:.1f} times as long as one"
    return f"{cost}; {_gain(models, run)}"


def _gain(models: Sequence[SavedModel], run: RunFolder) -> str:
    """The result of the latest test of this run with --ensemble."""
    for folder in latest_runs(run.path.parent.parent):
        record = folder.record
        if not isinstance(record, TestRecord) or record.ensemble is None or record.ensemble.models != len(models):
            continue
        if Path(record.checkpoint.file).absolute().parents[1].name == run.path.name:
            tested = record.ensemble
            return (
                f"of {record.n} images in test {folder.id}, only the ensemble was right on {tested.better}, and "
                f"only the single model on {tested.worse} (p {tested.p:.2g})"
            )
    return f"their gain is unknown: harness test {quote(run.typed)} --ensemble --data FOLDER measures it"


def require_predictor(classifier: Classifier, what: str) -> Predictor:
    """The classifier, if it is a model of torch. Raises ModelError for an exported file."""
    if not isinstance(classifier, Predictor):
        raise ModelError(
            f"an exported file has no {what}", "its layers are not accessible", "name a run or a checkpoint"
        )
    return classifier
