"""`harness.test`: a test in Python, the same as the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from harness.api.model import Model
    from harness.api.result import Run, Test


@torch.random.fork_rng(devices=())  # the numbers that a notebook draws are the same before and after
def test(
    model: str | Path | Run | Model | None = None,
    data: str | Path | None = None,
    *,
    min_accuracy: float | None = None,
    metric: str = "accuracy",
    min_recall: Mapping[str, float] | None = None,
    confident: bool = False,
    ensemble: bool = False,
    classes: Sequence[str] | None = None,
    architecture: str | None = None,
    image_size: int | None = None,
    weights_key: str | None = None,
    allow_missing: bool = False,
    skip_corrupt: bool = False,
    allow_leak: bool = False,
    trust: bool = False,
    device: str = "auto",
    trackers: Sequence[str] | None = None,
    runs: str | Path = "runs",
    out: str | Path | None = None,
) -> Test:
    """Tests a model on images that it was never trained on, as `harness test` does.

    Args:
        model: "champion", a run, a checkpoint, or what `run` or `load_model` returned. None is the
            champion, or the latest finished run.
        data: Test images, a folder per class; None is the experiment's `test_data`.
        min_accuracy: The gate; None is the experiment's.
        metric: "accuracy" or "balanced_accuracy": what the gate is about.
        min_recall: A floor for some classes, as `{"sea": 0.9}`.
        confident: Pass only if the lower end of each 95 % interval passes.
        ensemble: Also judge the mean of the models of all folds.
        classes: Of a bare state dict: see `load_model`, as for the next three.
        architecture: Its model's name.
        image_size: Pixels.
        weights_key: Which part of the file to take.
        allow_missing: Go on where a class has no images.
        skip_corrupt: Leave out images that cannot be decoded.
        allow_leak: Go on if the model was trained on some of the images.
        trust: Whether an experiment's file that came with a run from elsewhere may be run.
        device: As for `harness.run`.
        trackers: `["mlflow"]` or `[]`; None is as the experiment says.
        runs: The folder that run folders lie in.
        out: Write to this folder, the same each time.

    Returns:
        The test. It has failed its gate if `test.passed` is False: unlike the command, this raises nothing.

    Raises:
        DataError: The images are not what the model knows, or it was trained on some of them.
        UsageError: There is no such model, or an option is not possible.
    """
    from harness.api.model import text_of
    from harness.api.result import Test
    from harness.evaluation.gate import Gate
    from harness.workflows.ensemble import fold_models
    from harness.workflows.find_model import find_model
    from harness.workflows.predict.ask import run_of_model
    from harness.workflows.test import evaluate

    named = text_of(model)
    found = find_model(
        named,
        Path(runs),
        trust=trust,
        classes=classes,
        architecture=architecture,
        image_size=image_size,
        weights_key=weights_key,
    )
    evaluation = evaluate(
        found.saved,
        found.path,
        data,
        gate=Gate(min_accuracy, metric, dict(min_recall or {}), confident),
        ensemble=fold_models(str(run_of_model(named, Path(runs)).path), Path(runs), trust) if ensemble else (),
        allow_missing=allow_missing,
        skip_corrupt=skip_corrupt,
        allow_leak=allow_leak,
        device=device,
        trackers=trackers,
        runs=Path(runs),
        out=None if out is None else Path(out),
    )
    return Test(RunFolder.open(evaluation.run_dir))


test.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for one of a file that imports it
