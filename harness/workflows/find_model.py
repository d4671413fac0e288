"""Finds and loads the model that a command names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ModelError, UsageError
from harness.models.saved import SavedModel, load_model
from harness.runs import champion
from harness.runs.find import latest_runs
from harness.runs.record_parts import Status
from harness.runs.run_folder import RunFolder
from harness.workflows.experiment_copy import model_function
from harness.workflows.find_checkpoint import find_checkpoint


@dataclass(frozen=True)
class FoundModel:
    """A model that is ready to use.

    Attributes:
        saved: The model, its classes, and how its inputs are prepared.
        path: Its checkpoint.
        source: A description to print: "champion 3" or "runs/sea_forest/20261127-…, trained on all images".
    """

    saved: SavedModel
    path: Path
    source: str


def find_model(
    named: str | None = None,
    runs: Path = Path("runs"),
    *,
    trust: bool = False,
    classes: Sequence[str] | None = None,
    architecture: str | None = None,
    image_size: int | None = None,
    weights_key: str | None = None,
) -> FoundModel:
    """Loads the model that `named` means.

    Args:
        named: A run, a checkpoint, or "champion". None means the champion, or else the latest finished run.
        runs: The folder that contains the run folders.
        trust: Whether to run an experiment file that was not made in this project.
        classes: The class names, for a bare state dict. See `load_model`, also for the next three.
        architecture: The name of the model.
        image_size: In pixels.
        weights_key: The part of the file that contains the weights.

    Raises:
        UsageError: There is no such model.
        ModelError: Its file is damaged, or contains no such model.
    """
    path, source = find_model_file(named, runs)
    saved = load_model(
        path,
        classes=classes,
        architecture=architecture,
        image_size=image_size,
        weights_key=weights_key,
        function=model_function(path, trust),
    )
    return FoundModel(saved, path, source)


def find_model_file(named: str | None, runs: Path) -> tuple[Path, str]:
    """Returns the checkpoint of the model that `named` means, and its description. Raises what `find_model` raises."""
    if named is None:
        return _default(runs)
    present = champion.named_so(named)
    if present is not None:
        return present.checkpoint, f"champion {present.number}"
    path = find_checkpoint(named, runs)
    return path, str(path) if path == Path(named) else _of_run(path)


def _default(runs: Path) -> tuple[Path, str]:
    present = champion.present()
    if present is not None:
        return present.checkpoint, f"champion {present.number}"
    for folder in latest_runs(runs):
        if folder.record.status == Status.FINISHED and not folder.is_test and _has_model(folder):
            path = find_checkpoint(str(folder.path), runs)
            return path, f"{_of_run(path)} (the latest finished run; there is no champion)"
    raise UsageError(
        "there is no model to use",
        f"there is no champion, and no finished run in {runs}",
        "harness run EXPERIMENT, which trains one; or name a checkpoint",
    )


def _has_model(folder: RunFolder) -> bool:
    try:
        model = folder.model_to_use()
        return model is not None and folder.checkpoint_of(model).is_file()
    except (ModelError, UsageError):
        return False


def _of_run(path: Path) -> str:
    """`path` is a checkpoint in a run folder."""
    kind = "trained on all images" if path.name == "model.pt" else f"its best fold's model ({path.stem})"
    return f"{path.parents[1]}, {kind}"
