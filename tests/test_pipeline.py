"""`dvc repro` in a new project draws the demo data, trains and tests. A second `dvc repro` does nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from harness.data.demo import DIGEST
from harness.versioning.tracked import CLEAN, read_tracked, state_of

ROOT = Path(__file__).parents[1]
FILES = (".dvc/config", ".dvc/.gitignore", ".gitignore", "data.dvc", "models.dvc", "dvc.yaml", "params.yaml")


def test_demo_data_equal_the_data_that_data_dvc_tracks(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "data.dvc").write_bytes((ROOT / "data.dvc").read_bytes())
    (tmp_path / "data").symlink_to(demo, target_is_directory=True)
    tracked = read_tracked(tmp_path / "data.dvc")
    assert tracked.md5 == DIGEST
    assert state_of(tracked).word == CLEAN


def test_dvc_config_contains_no_real_remote() -> None:
    config = (ROOT / ".dvc/config").read_text()
    assert "PUT-THE-ID-OF-YOUR-FOLDER-HERE" in config
    assert "autostage = true" in config
    assert "analytics = false" in config


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The project's pipeline in a new git repository, with two small folds; `run("dvc", "repro")` runs a command."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "experiments").mkdir()
    shutil.copy(ROOT / "experiments/quickstart.py", tmp_path / "experiments")
    set_fields(tmp_path, epochs=2, folds=2)

    def run_there(*command: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        identity = {f"GIT_{role}_{part}": "a@b.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        environment = {**os.environ, "PATH": path, **identity}
        environment.pop("GDRIVE_CREDENTIALS_DATA", None)
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == (expect == 0), done.stdout + done.stderr
        return done

    run_there("git", "init", "-q")
    return run_there


@pytest.mark.slow
def test_dvc_repro_runs_no_stage_the_second_time(
    tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]], scenery: Path
) -> None:
    shutil.copytree(scenery, tmp_path / "data/train")  # small data instead of the project's data
    for name in ("sea", "forest"):
        (tmp_path / "data/test" / name).mkdir(parents=True)
        for path in sorted((tmp_path / "data/train" / name).iterdir())[:3]:
            path.rename(tmp_path / "data/test" / name / path.name)
    run(sys.executable, "-m", "harness", "data", "track", "data")
    set_fields(tmp_path, epochs=1, folds=0, trackers=[])
    first = run("dvc", "repro").stdout
    assert re.findall(r"Running stage '(\w+)'", first) == ["data", "run", "test"]
    second = run("dvc", "repro").stdout
    assert "Running" not in second
    assert "Data and pipelines are up to date." in second


@pytest.mark.slow
def test_dvc_repro_runs_only_the_stages_whose_inputs_changed(
    tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    first = run("dvc", "repro").stdout
    assert re.findall(r"Running stage '(\w+)'", first) == ["data", "run", "test"]
    second = run("dvc", "repro").stdout
    assert "Running" not in second
    assert "Data and pipelines are up to date." in second
    run("git", "add", "-A")
    run("git", "commit", "-qm", "two epochs")
    before = accuracies(tmp_path)

    (tmp_path / "data/mine.txt").write_text("never tracked")  # changed data are refused, and nothing is lost
    set_fields(tmp_path, epochs=3, image_size=32)
    assert "data does not match data.dvc" in run("dvc", "repro", expect=1).stderr
    assert accuracies(tmp_path) == before
    (tmp_path / "data/mine.txt").unlink()

    shutil.rmtree(tmp_path / "runs")  # as in a clone that pulls
    run("dvc", "checkout")
    assert accuracies(tmp_path) == before
    third = run("dvc", "repro").stdout
    assert "Running stage 'data'" not in third
    assert "model       runs/pipeline/run/checkpoints/fold" in third
    assert "small_cnn at 32 px" in third  # each field below `set` is used
    diff = json.loads(run("dvc", "metrics", "diff", "--json").stdout)
    changed = {path: value for path, value in accuracies(tmp_path).items() if value != before[path]}
    assert changed
    for path, value in changed.items():
        assert diff[path]["accuracy"]["old"] == before[path]
        assert diff[path]["accuracy"]["new"] == value
    plots = json.loads(run("dvc", "plots", "show", "--json").stdout)
    assert not plots.get("errors")
    assert {"runs/pipeline/run/plots/curves.png", "runs/pipeline/run/predictions.csv"} <= set(plots["data"])
    assert (tmp_path / "runs/pipeline/run/checkpoints/fold1.pt").is_file()


def set_fields(project: Path, **fields: object) -> None:
    values = yaml.safe_load((project / "params.yaml").read_text())
    values["set"] |= fields
    values["min_accuracy"] = 0.0
    (project / "params.yaml").write_text(yaml.safe_dump(values))


def accuracies(project: Path) -> dict[str, float]:
    files = sorted(path.relative_to(project).as_posix() for path in project.glob("runs/pipeline/*/metrics.json"))
    assert len(files) == 2
    return {file: json.loads((project / file).read_text())["accuracy"] for file in files}
