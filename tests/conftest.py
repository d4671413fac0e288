"""What tests share: small real data, real photographs where they are, and the command line called in-process."""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the same numbers on every machine
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: there are as many workers as cores
    if hasattr(os, "nice"):
        os.nice(19)  # as the process that sends a run to MLflow, which would get no time beside busy workers

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # in the background of a script; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

from harness.cli.main import run_command
from harness.data.demo import draw, draw_demo
from harness.plots import figure
from harness.runs.run_folder import RunFolder
from harness.runs.study_folder import StudyFolder
from harness.trackers import follower
from harness.trackers.mlflow.store import connect, require_usable
from harness.util.locks import locked

gc.set_threshold(50_000, 20, 20)  # else all that the tests import is looked through again and again
SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests keep what is computed once: not where the user does."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["HARNESS_CACHE"] = str(folder)
    os.environ["HARNESS_STATE"] = str(tmp_path_factory.mktemp("state"))
    return folder


class Blank(Figure):
    """A figure that takes all that is drawn on it, and is saved as a blank page of its size."""

    def savefig(self, file: Any, *, format: str, dpi: int, metadata: object) -> None:
        width, height = self.get_size_inches() * dpi
        Image.new("L", (round(width), round(height)), 255).save(file, format)


@pytest.fixture(scope="session", autouse=True)
def blank_pictures() -> Iterator[None]:
    """Pictures of runs in this process are not rendered: matplotlib takes two thirds of the time of a small run.

    They are rendered in tests/plots, with the fixture `rendered`, and by each run that is a process.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure, "Figure", Blank)
        yield


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are rendered."""
    monkeypatch.setattr(figure, "Figure", Figure)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no pictures, for tests that train many and look at none."""
    monkeypatch.setattr("harness.trackers.recording.draw_run", lambda _: None)
    monkeypatch.setattr("harness.workflows.crossval.draw_fold", lambda *_: None)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills once: with pytest-xdist, the first worker that asks makes it for all of them."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = factory.mktemp(name)
        make(folder)
        return folder
    shared = factory.getbasetemp().parent  # of all workers
    folder, made = shared / name, shared / f"{name}.made"
    with locked(shared / f"{name}.lock", wait=True):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what a worker left whose `make` failed
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


@dataclasses.dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def whole_out(self) -> str:
        """`out` with each line that was broken at 100 columns in one piece."""
        return _whole(self.out)

    @property
    def whole_err(self) -> str:
        """The same of `err`."""
        return _whole(self.err)

    @property
    def error_lines(self) -> list[str]:
        """The three lines of an error, and whatever wrongly follows them."""
        lines = self.err.splitlines()
        return lines[next(i for i, line in enumerate(lines) if line.startswith("error: ")) :]


def _whole(text: str) -> str:
    return re.sub(r"\n {8,}(?=\S)", " ", text)


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

    def make(root: Path) -> None:
        for name, count in {"sea": 18, "forest": 15}.items():
            (root / name).mkdir()
            for number in range(count):
                draw("train", name, number).resize((48, 48)).save(root / name / f"{name}{number:02d}.jpg")

    return made_once(tmp_path_factory, "scenery", make)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo data as `harness data demo` draws them: train/ and test/. To be looked at, not to be changed."""
    return made_once(tmp_path_factory, "demo", lambda home: draw_demo(home / "data")) / "data"


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
    home = made_once(tmp_path_factory, "database", lambda home: require_usable(f"sqlite:///{home / 'mlflow.db'}"))
    return home / "mlflow.db"


@pytest.fixture
def store(new_database: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, with a new empty MLflow store. Its path is absolute, because MLflow caches opened stores."""
    shutil.copy(new_database, project / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'mlflow.db'}")
    monkeypatch.setattr(follower, "WAIT_SECONDS", 60.0)  # who has a store looks at it; MLflow is slow on busy cores
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

    def make(project: Path) -> None:
        write_tracked_experiment(project, new_database, scenery)
        assert "warning" not in harness_there(project, "run", "tiny").stderr
        (path,) = (project / "runs/tiny").iterdir()
        wait(lambda: RunFolder.open(path).record.trackers["mlflow"] == "complete", 120)  # in the background

    project = made_once(tmp_path_factory, "tracked", make)
    (path,) = (project / "runs/tiny").iterdir()
    return Tracked(project, RunFolder.open(path), f"sqlite:///{project / 'mlflow.db'}")


@pytest.fixture(scope="session")
def studied(tmp_path_factory: pytest.TempPathFactory, new_database: Path, scenery: Path) -> Tracked:
    """A study of six trials of three folds that both trackers followed; to be looked at, not to be changed.

    `run` is the folder of its best trial.
    """

    def make(project: Path) -> None:
        write_tracked_experiment(project, new_database, scenery, folds=3, epochs=3, lr=0.01)
        done = harness_there(project, "search", "tiny", "--trials", "6", "--keep", "2", "--json")
        assert "warning" not in done.stderr.lower()
        (project / "said.json").write_text(done.stdout)
        study = project / "runs/tiny/study-tiny"
        wait(lambda: StudyFolder.open(study).record.mlflow == "complete", 120)  # in the background

    project = made_once(tmp_path_factory, "studied", make)
    output = json.loads((project / "said.json").read_text())
    best = project / "runs/tiny/study-tiny" / f"trial-{output['best']['trial']:03d}"
    return Tracked(project, RunFolder.open(best), f"sqlite:///{project / 'mlflow.db'}")


def write_tracked_experiment(project: Path, database: Path, data: Path, **fields: object) -> None:
    """A project with `experiments/tiny.py`, which both trackers follow, with a separate store."""
    (project / "experiments").mkdir()
    shutil.copy(database, project / "mlflow.db")
    write_experiment(project / "experiments/tiny.py", data, trackers=("tensorboard", "mlflow"), **fields)


def harness_there(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`harness ...` in a separate process, with the project as its current folder and the project's own store."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-m", "harness", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done


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


@pytest.fixture(scope="session")
def lite_weights() -> Path:
    """ImageNet weights of timm's tf_efficientnet_lite0, where they are."""
    return _shared("weights/tf_efficientnet_lite0.pth")


def _shared(path: str) -> Path:
    if not (SHARED / path).exists():
        pytest.skip(f"{path} is not on this machine")
    return SHARED / path
