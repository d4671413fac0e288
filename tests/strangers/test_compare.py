"""Run folders that somebody sends, compared: nothing is followed, run, or shown as it is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.strangers.conftest import Sandbox
from tests.strangers.test_runs import ESCAPES


def another(sandbox: Sandbox) -> Path:
    """A second run, in which each image is called otherwise."""
    run = sandbox.run.with_name("20260101-000000-dcba")
    shutil.copytree(sandbox.run, run)
    sandbox.change(run / "run.json", "id", run.name)
    for path in (run / "predictions").iterdir():
        with np.load(path) as arrays:
            content = {name: arrays[name] for name in arrays}
        np.savez(path, **(content | {"probabilities": content["probabilities"][:, ::-1]}))
    return run


def test_runs_from_elsewhere_are_compared_without_their_images(sandbox: Sandbox) -> None:
    """Where the images lie is for a record to say, which could name any of ours."""
    outcome = sandbox.runs("compare", sandbox.run, another(sandbox), "--out", "out")
    assert outcome.code == 0
    assert "no plot of images: images of runs from another project are not shown" in outcome.out
    assert {path.name for path in Path("out").iterdir()} == {
        ".again",
        "comparison.csv",
        "images.csv",
        "differences.png",
    }


@pytest.mark.skipif(os.name == "nt", reason="a link takes a privilege there")
@pytest.mark.parametrize("name", ["run.json", "predictions", "predictions/fold1.npz", "predictions.csv"])
def test_a_link_out_of_a_run_is_not_followed(sandbox: Sandbox, name: str) -> None:
    run = another(sandbox)
    shutil.copytree(sandbox.run, sandbox.outside / "run")
    path = sandbox.run / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if name == "predictions.csv":
        shutil.rmtree(sandbox.run / "predictions")
    path.symlink_to(sandbox.outside / "run" / name)
    outcome = sandbox.runs("compare", sandbox.run, run)
    if name == "predictions/fold1.npz":  # the other fold is read
        assert "UNFINISHED" in outcome.out or outcome.code == 0
    else:
        assert (outcome.code, len(outcome.error_lines)) == (2, 3), outcome.err


@pytest.mark.skipif(os.name == "nt", reason="a link takes a privilege there")
def test_a_link_in_the_folder_of_results_is_replaced(sandbox: Sandbox) -> None:
    run, out = another(sandbox), sandbox.project / "out"
    out.mkdir()
    (out / ".again").write_text("comparison\n")
    for name in ("comparison.csv", "images.csv", "differences.png", "disagreements.png"):
        (out / name).symlink_to(sandbox.outside / "keep.txt")
    assert sandbox.runs("compare", sandbox.run, run, "--out", out).code == 0
    assert not (out / "comparison.csv").is_symlink()
    assert not (out / "disagreements.png").exists()


def test_texts_of_a_record_are_harmless_in_a_comparison(sandbox: Sandbox) -> None:
    run = another(sandbox)
    for field in ("model", "loss", ESCAPES):
        sandbox.change(run / "run.json", f"experiment.{field}".replace("..", ""), f"=1+1{ESCAPES}")
    outcome = sandbox.runs("compare", sandbox.run, run, "--out", "out")
    assert outcome.code == 0
    assert "x1b" in outcome.out
    assert b"\n=" not in Path("out/comparison.csv").read_bytes()
    json.loads(sandbox.runs("compare", sandbox.run, run, "--json").out)


def test_predictions_that_are_none_are_refused(sandbox: Sandbox) -> None:
    run = another(sandbox)
    (run / "predictions/fold2.npz").write_bytes(b"PK\x03\x04 no archive")
    outcome = sandbox.runs("compare", sandbox.run, run)
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert "fold2.npz cannot be read" in outcome.err


def test_absurd_numbers_of_a_record_are_no_defect(sandbox: Sandbox) -> None:
    run = another(sandbox)
    for field, value in {"leaked": 10**12, "splits": {}, "experiment.folds": 10_000, "experiment.repeats": [1]}.items():
        sandbox.change(run / "run.json", field, value)
    sandbox.runs("compare", sandbox.run, run, "--allow-leak")
    sandbox.change(run / "run.json", "splits", {"1": {"train": 1, "valid": 1}, "2": {"train": 1, "valid": 1}})
    assert sandbox.runs("compare", sandbox.run, run, "--allow-leak").code == 0
    sandbox.change(run / "run.json", "experiment.value_range", [1.0, float("inf")])
    sandbox.runs("compare", sandbox.run, run, "--allow-leak", "--out", "out")
