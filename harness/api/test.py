"""`harness.test`: tests a model in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.runs.run_folder import RunFolder
from harness.util.console_log import copied_output

if TYPE_CHECKING:
    from harness.api.model import Model
    from harness.api.result import Run, Test


@copied_output("harness.test")
@torch.random.fork_rng(devices=())  # the caller's random numbers stay the same
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
    """Tests a model on images that it was not trained on, as `harness test` does.

    A test whose gate fails raises no error: `test.passed` is False.

    Args:
        model: "champion", a run, a checkpoint, or an object that `harness.run` or `harness.load_model` returned.
            None: the champion, or the latest finished run if there is no champion.
        data: The test images, one folder per class. None: the experiment's `test_data`.
        min_accuracy: The gate: the required accuracy, from 0 to 1. None: the experiment's `min_accuracy`.
        metric: The metric of the gate: "accuracy" or "balanced_accuracy".
        min_recall: The required recall of some classes, such as `{"sea": 0.9}`.
        confident: Pass only if the lower bound of each 95 % interval passes.
        ensemble: Also evaluate the mean probabilities of the models of all folds.
        classes: For a state dict without metadata: the class names, in the order of the outputs.
        architecture: For a state dict without metadata: the name of the model, such as "resnet18".
        image_size: For a state dict without metadata: the side of an image in pixels.
        weights_key: The part of the file to load, if several fit the model.
        allow_missing: Test even if a class has no images.
        skip_corrupt: Leave out images that cannot be decoded.
        allow_leak: Test even if the model was trained on some of the images.
        trust: Run the experiment file of a run that was made elsewhere. It can contain any code.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the fastest device available.
        trackers: `["mlflow"]` or `[]`. None: the experiment's `trackers`.
        runs: The folder that contains the run folders.
        out: Write the test to this folder. None: a new folder in `runs`.

    Returns:
        The test, with `test.passed`, `test.accuracy`, `test.interval` and `test.predictions`.

    Raises:
        DataError: The images have other classes than the model, or the model was trained on some of them.
        UsageError: The model does not exist, or an option is invalid.

    Example:
        >>> import harness
        >>> run = harness.run("quickstart")
        >>> test = harness.test(run, "photos", min_accuracy=1.0, allow_leak=True)
        >>> test.passed == (test.accuracy == 1)
        True
    """
    from harness.api.model import text_of
    from harness.api.result import Test
    from harness.evaluation.gate import Gate
    from harness.workflows.ensemble import fold_models
    from harness.workflows.find_model import find_model
    from harness.workflows.predict.ask import run_of_model
    from harness.workflows.test import evaluate

    named = text_of(model)
    found_model = find_model(
        named,
        Path(runs),
        trust=trust,
        classes=classes,
        architecture=architecture,
        image_size=image_size,
        weights_key=weights_key,
    )
    evaluation = evaluate(
        found_model.saved,
        found_model.path,
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


test.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it from a test file that imports it
