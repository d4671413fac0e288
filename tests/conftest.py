"""What tests share: small real data, real photographs where they are, and the command line called in-process."""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the same numbers on every machine

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # in the background of a script; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

from harness.cli.main import run_command
from harness.data.demo import draw, draw_demo
from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow.store import connect, require_usable

gc.set_threshold(50_000, 20, 20)  # else all that the tests import is looked through again and again
SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests keep what is computed once: not where the user does."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["HARNESS_CACHE"] = str(folder)
    os.environ["HARNESS_STATE"] = str(tmp_path_factory.mktemp("state"))
    return folder


@dataclasses.dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def error_lines(self) -> list[str]:
        """The three lines of an error, and whatever wrongly follows them."""
        lines = self.err.splitlines()
        return lines[next(i for i, line in enumerate(lines) if line.startswith("error: ")) :]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`call("run", "x.py")` is `harness run x.py`, in this process and folder."""

    def call_harness(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = run_command([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call_harness


def git(folder: Path, *arguments: str) -> str:
    """What git says, as somebody whose name it need not look for."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Files at any depth below `folder`."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def track_by_dvc(home: Path, *paths: str) -> None:
    """Makes `home` a DVC project without git, and has DVC itself track these of its files and folders."""
    from dvc.repo import Repo

    logging.disable()  # its handler may hold a stream of an earlier test's, which is closed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own
            with Repo.init(str(home), no_scm=True) as repo:
                repo.add([str(home / path) for path in paths])
    finally:
        logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def scenery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 drawings of the sea and 15 of forests, in a folder per class."""
    root = tmp_path_factory.mktemp("scenery")
    for name, count in {"sea": 18, "forest": 15}.items():
        (root / name).mkdir()
        for number in range(count):
            draw("train", name, number).resize((48, 48)).save(root / name / f"{name}{number:02d}.jpg")
    return root


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo data as `harness data demo` draws them: train/ and test/. To be looked at, not to be changed."""
    folder = tmp_path_factory.mktemp("demo") / "data"
    assert draw_demo(folder)[1]
    return folder


@pytest.fixture
def project(tmp_path: Path, scenery: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder that is the current one, with `experiments/tiny.py` on the scenery: a second for two folds."""
    (tmp_path / "experiments").mkdir()
    write_experiment(tmp_path / "experiments/tiny.py", scenery)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with its tables and nothing else in it, which takes MLflow 10 seconds to make."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    require_usable(f"sqlite:///{path}")
    return path


@pytest.fixture
def store(new_database: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, with an empty MLflow store of its own; by its whole path, since MLflow keeps what it opened."""
    shutil.copy(new_database, project / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'mlflow.db'}")
    return project


@dataclasses.dataclass(frozen=True)
class Tracked:
    """A run that both trackers followed: its folder is `project / run`, and MLflow's store is in `project`."""

    project: Path
    run: RunFolder
    uri: str

    def client(self) -> Any:
        return connect(self.uri)


@pytest.fixture(scope="session")
def tracked(tmp_path_factory: pytest.TempPathFactory, new_database: Path, scenery: Path) -> Tracked:
    """One run of two folds of two epochs, from the command line; to be looked at, not to be changed."""
    project = tmp_path_factory.mktemp("tracked")
    (project / "experiments").mkdir()
    shutil.copy(new_database, project / "mlflow.db")
    write_experiment(project / "experiments/tiny.py", scenery, trackers=("tensorboard", "mlflow"))
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-m", "harness", "run", "tiny"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    (path,) = (project / "runs/tiny").iterdir()
    return Tracked(project, RunFolder.open(path), f"sqlite:///{project / 'mlflow.db'}")


@pytest.fixture(scope="session")
def studied(tmp_path_factory: pytest.TempPathFactory, new_database: Path, scenery: Path) -> Tracked:
    """A study of six trials of three folds that both trackers followed; to be looked at, not to be changed.

    `run` is the folder of its best trial.
    """
    project = tmp_path_factory.mktemp("studied")
    (project / "experiments").mkdir()
    shutil.copy(new_database, project / "mlflow.db")
    fields = {"trackers": ("tensorboard", "mlflow"), "folds": 3, "epochs": 3, "lr": 0.01}
    write_experiment(project / "experiments/tiny.py", scenery, **fields)
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-m", "harness", "search", "tiny", "--trials", "6", "--keep", "2", "--json"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()
    (project / "said.json").write_text(done.stdout)
    best = project / "runs/tiny/study-tiny" / f"trial-{json.loads(done.stdout)['best']['trial']:03d}"
    return Tracked(project, RunFolder.open(best), f"sqlite:///{project / 'mlflow.db'}")


def wait(until: Callable[[], object], seconds: float = 30) -> None:
    """Until it is so. Fails where it does not come."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def write_experiment(path: Path, data: Path, **fields: object) -> Path:
    """An experiment file with small values, and `fields` on top of them."""
    values: dict[str, object] = {
        "data": str(data),
        "model": "small_cnn",
        "weights": None,
        "image_size": 32,
        "epochs": 2,
        "folds": 2,
        "batch_size": 8,
        "precision": "fp32",
        "trackers": (),
    }
    given = ", ".join(f"{name}={value!r}" for name, value in (values | fields).items())
    path.write_text(f"from harness import Experiment\n\nexperiment = Experiment({given})\n")
    return path


@pytest.fixture(scope="session")
def scenes() -> Path:
    """Real photographs, where they are: a folder with train/ and test/."""
    return _shared("data/scenes")


@pytest.fixture(scope="session")
def scenes_weights() -> Path:
    """Pretrained weights of a ResNet18, where they are."""
    return _shared("weights/resnet18-scenes.pth")


def _shared(path: str) -> Path:
    if not (SHARED / path).exists():
        pytest.skip(f"{path} is not on this machine")
    return SHARED / path
