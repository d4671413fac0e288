"""Bad input, one row per case: three lines on stderr, the right exit code, no traceback, no output, no lost file."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.models.build import build
from harness.trackers.mlflow import store
from tests.conftest import Outcome, Tracked, write_experiment

Arrange = Callable[[Path, Path], list[str]]  # (project, valid data) -> arguments after `harness run`
After = Callable[[Path, Path, Path], list[str]]  # (project, valid data, a valid checkpoint) -> arguments of `harness`


@dataclass(frozen=True)
class Case:
    name: str
    code: int
    says: str
    arrange: Any  # Arrange, or After


def settings(*typed: str) -> Arrange:
    return lambda project, data: ["tiny", *(part for setting in typed for part in ("-s", setting))]


def experiment(text: str) -> Arrange:
    def arrange(project: Path, data: Path) -> list[str]:
        (project / "experiments/bad.py").write_text(text)
        return ["bad"]

    return arrange


def with_data(change: Callable[[Path], object], *arguments: str) -> Arrange:
    def arrange(project: Path, data: Path) -> list[str]:
        shutil.copytree(data, project / "data/train")
        change(project / "data/train")
        return ["tiny", "-s", "data=data/train", *arguments]

    return arrange


def with_weights(write: Callable[[Path], object], *arguments: str) -> Arrange:
    def arrange(project: Path, data: Path) -> list[str]:
        write(project / "w.pth")
        return ["tiny", "-s", "weights=w.pth", *arguments]

    return arrange


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def callback_that(hook: str, code: str) -> Arrange:
    def arrange(project: Path, data: Path) -> list[str]:
        write_experiment(project / "experiments/bad.py", data)
        text = (project / "experiments/bad.py").read_text().rstrip()[:-1] + ", callbacks=[Mine()])\n"
        body = f"from harness import Callback\nclass Mine(Callback):\n    def {hook}(self, state): {code}\n"
        (project / "experiments/bad.py").write_text(body + text)
        return ["bad"]

    return arrange


def part(field: str) -> Arrange:
    def arrange(project: Path, data: Path) -> list[str]:
        write_experiment(project / "experiments/bad.py", data)
        text = (project / "experiments/bad.py").read_text().rstrip()
        name = field.split("=")[0]
        text = text.replace("model='small_cnn', ", "") if name == "model" else text
        (project / "experiments/bad.py").write_text(f"import torch\n{text[:-1]}, {field})\n")
        return ["bad"]

    return arrange


def dvc_file(project: Path, data: Path) -> list[str]:
    (project / "data.dvc").write_text(f"outs:\n- md5: {'0' * 32}.dir\n  path: data\n")
    return ["tiny", "-s", "data=data/train"]


def runs_is_a_file(project: Path, data: Path) -> list[str]:
    (project / "runs").write_text("")
    return ["tiny"]


def read_only(project: Path, data: Path) -> list[str]:
    """A folder that cannot be written: one without write permission, or one in /sys if the tests run as root."""
    folder = Path("/sys/kernel") if os.geteuid() == 0 else project / "locked"
    folder.mkdir(mode=0o555, exist_ok=True)
    return ["tiny", "--runs", str(folder)]


def bad(code: str) -> Arrange:
    return experiment(f"from harness import Experiment\n{code}\n")


def with_bytes(content: bytes) -> Arrange:
    return with_weights(lambda path: path.write_bytes(content))


def saved(content: object) -> Arrange:
    return with_weights(lambda path: torch.save(content, path))


def not_finite() -> dict[str, torch.Tensor]:
    state = build("small_cnn", 2, (3, 32, 32)).state_dict()
    state["blocks.block2.1.weight"][3] = torch.nan
    return state


def file_in_sea(change: Callable[[Path], object]) -> Arrange:
    return with_data(lambda data: change(data / "sea/x.png"))


CASES = [
    Case("no such experiment", 2, "there is no experiment 'tinny'; did you mean 'tiny'?", lambda p, d: ["tinny"]),
    Case("a folder as experiment", 2, "there is no experiment", lambda p, d: ["experiments"]),
    Case(
        "an experiment that is not Python", 2, "is not a Python file", lambda p, d: [str(next((d / "sea").iterdir()))]
    ),
    Case("no experiment in it", 2, "has no experiment", experiment("x = 1\n")),
    Case("a syntax error in it", 2, "bad.py:1: syntax error", experiment("experiment = (\n")),
    Case("an error in it", 2, "bad.py:2: the experiment file failed", experiment("\n1/0\n")),
    Case("a missing import in it", 2, "No module named 'fastia'", experiment("import fastia\n")),
    Case("unknown field in it", 2, "no field 'epocs'; did you mean 'epochs'?", bad("Experiment(epocs=1)")),
    Case("wrong type in it", 2, "folds = '3' is not possible", bad("Experiment(folds='3')")),
    Case("unknown field", 2, "no field 'epocs'; did you mean 'epochs'?", settings("epocs=1")),
    Case("wrong type", 2, "epochs = 'two' is not possible", settings("epochs=two")),
    Case("impossible value", 2, "lr = -1.0 is not possible", settings("lr=-1")),
    Case("one fold", 2, "folds = 1 is not possible", settings("folds=1")),
    Case("a setting without =", 2, "-s lr sets nothing", settings("lr")),
    Case("an unknown monitor", 2, "'val_loss' to monitor; did you mean 'valid_loss'?", settings("monitor=val_loss")),
    Case("an unknown model", 2, "no model 'resnet19'", settings("model=resnet19")),
    Case("an unknown block", 2, "no block 'block2'", settings("freeze=block2")),
    Case("all frozen", 2, "leaves nothing to train", settings("freeze=head")),
    Case("a size the model cannot take", 2, "cannot take images of 32 px", settings("model=inception_v3")),
    Case("fp16 on a CPU", 2, "fp16 does not train on cpu", settings("precision=fp16")),
    Case("no such device", 2, "device 'cuda:9' is not available", lambda p, d: ["tiny", "--device", "cuda:9"]),
    Case("an unknown device", 2, "device 'gpu' is not available", lambda p, d: ["tiny", "--device", "gpu"]),
    Case("no such fold", 2, "there is no fold 3", lambda p, d: ["tiny", "--fold", "3"]),
    Case("missing weights", 2, "nowhere.pth does not exist", settings("weights=nowhere.pth")),
    Case("weights that are a folder", 2, "experiments cannot be read", settings("weights=experiments")),
    Case("ImageNet weights of a model without", 2, "has no ImageNet weights", settings("weights=imagenet")),
    Case(
        "weights of another model",
        2,
        "do not fit small_cnn",
        with_weights(lambda path: torch.save(build("mobilenet_v3_small", 2, (3, 32, 32)).state_dict(), path)),
    ),
    Case(
        "weights in a file of another kind",
        2,
        "w.pth is not a torch file",
        with_bytes(b"hello"),
    ),
    Case("empty weights", 2, "it is empty", with_bytes(b"")),
    Case(
        "a whole model",
        2,
        "it contains Python objects",
        saved(torch.nn.Linear(2, 2)),
    ),
    Case(
        "a pickle with code in it",
        2,
        "may contain Python objects",
        with_bytes(pickle.dumps(Evil())),
    ),
    Case("code in a torch file", 2, "it contains Python objects", saved({"a": Evil()})),
    Case("weights that are not finite", 2, "are not all finite", saved(not_finite())),
    Case(
        "half a checkpoint",
        2,
        "is not a complete checkpoint",
        saved({"format": "harness-checkpoint-1", "transform": {}}),
    ),
    Case("keys that are not strings", 2, "do not fit small_cnn", saved({1: torch.zeros(2), (2, 3): torch.zeros(2)})),
    Case("a model that fails", 2, "model <lambda> failed at experiments/bad.py:4", part("model=lambda classes: 1 / 0")),
    Case("batches of one", 2, "cannot take batches of 1 images of 32 px", settings("model=resnet18", "batch_size=1")),
    Case("an experiment that exits", 2, "SystemExit: 0", experiment("raise SystemExit(0)\n")),
    Case("a callback that exits", 2, "SystemExit: 0", callback_that("on_epoch_end", "raise SystemExit(0)")),
    Case("a name that is too long", 2, "there is no experiment", lambda p, d: ["x" * 300]),
    Case("a folder name that is too long", 4, "cannot be listed", settings("data=" + "x" * 300)),
    Case("a number that is too large", 2, "is not possible", settings("lr=1" + "0" * 400)),
    Case("an image size that is too large", 2, "is not possible", settings("image_size=10000")),
    Case("no data", 4, "harness data demo", settings("data=data/train")),
    Case("data that DVC has not fetched", 4, "harness data ready data", dvc_file),
    Case("data that is a file", 4, "is not a folder", settings("data=experiments/tiny.py")),
    Case("no classes", 4, "has no classes", settings("data=experiments")),
    Case("one class only", 4, "one class only", with_data(lambda data: shutil.rmtree(data / "sea"))),
    Case("an empty class", 4, "class 'lake' is empty", with_data(lambda data: (data / "lake").mkdir())),
    Case("fewer images than folds", 4, "16 folds need at least 16 images", settings("folds=16")),
    Case("a truncated image", 4, "sea/sea00.jpg (truncated)", with_data(lambda data: truncate(data / "sea/sea00.jpg"))),
    Case("an empty image", 4, "sea/x.png (empty)", file_in_sea(Path.touch)),
    Case(
        "wrong content",
        4,
        "sea/x.png (an HTML page)",
        file_in_sea(lambda path: path.write_text("<html>")),
    ),
    Case("a broken link", 4, "sea/x.png (a broken link)", file_in_sea(lambda path: path.symlink_to("gone"))),
    Case("runs that are a file", 1, "runs/tiny", runs_is_a_file),
    Case("a read-only folder", 1, "choose another folder with --runs", read_only),
    Case("a huge seed", 2, "seed = 99999999999 is not possible", settings("seed=99999999999")),
    Case("a learning rate that diverges", 1, "loss is", settings("lr=1e30", "optimizer=sgd")),
    Case("a hook that does not exist", 2, "on_epoch_edn is not an event", callback_that("on_epoch_edn", "pass")),
    Case("a callback that fails", 2, "bad.py:3", callback_that("on_batch_end", "state.nothing")),
    Case(
        "a callback that stops at once",
        1,
        "has no model",
        callback_that("on_fit_start", "state.stop('no')"),
    ),
]


def require_three_lines(case: Case, outcome: Outcome) -> None:
    assert outcome.code == case.code, outcome.err
    assert case.says in outcome.err
    assert [line.split(":")[0].strip() for line in outcome.error_lines] == ["error", "why", "try"]
    assert outcome.out == ""
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input(case: Case, call: Callable[..., Outcome], project: Path, scenery: Path) -> None:
    arguments = case.arrange(project, scenery)
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    outcome = call("run", *arguments)
    require_three_lines(case, outcome)
    assert not (project / "pwned").exists()
    assert before.items() <= {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}.items()
    for record in project.glob("runs/*/*/run.json"):
        assert json.loads(record.read_text())["status"] == "failed"


# ---- commands that need a run --------------------------------------------------------------------------------------


def judging(change: Callable[[Path], object], *arguments: str) -> After:
    """`harness test` of a valid checkpoint on a copy of valid images that `change` has changed."""

    def arrange(project: Path, data: Path, checkpoint: Path) -> list[str]:
        shutil.copytree(data, project / "images")
        change(project / "images")
        shutil.copy(checkpoint, project / "best.pt")
        return ["test", "best.pt", "--data", "images", "--allow-leak", "--tracker", "none", *arguments]

    return arrange


def checkpoint_of(change: Callable[[Path, Path], object], *arguments: str, name: str = "bad.pt") -> After:
    """`harness test` of a file that `change(checkpoint, file)` writes."""

    def arrange(project: Path, data: Path, checkpoint: Path) -> list[str]:
        change(checkpoint, project / name)
        return ["test", name, "--data", str(data), "--tracker", "none", *arguments]

    return arrange


def changed(**parts: object) -> Callable[[Path, Path], object]:
    return lambda checkpoint, path: torch.save(torch.load(checkpoint, weights_only=True) | parts, path)


def half(checkpoint: Path, path: Path) -> None:
    content = checkpoint.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flipped(checkpoint: Path, path: Path) -> None:
    """Writes a copy of the checkpoint with some changed bytes in the weights."""
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = os.urandom(64)
    path.write_bytes(content)


def only(*names: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        for folder in data.iterdir():
            if folder.name not in names:
                shutil.rmtree(folder)

    return change


def empty_class(data: Path) -> None:
    for file in (data / "sea").iterdir():
        file.unlink()


def nothing_but_text(data: Path) -> None:
    for folder in data.iterdir():
        for file in folder.iterdir():
            file.unlink()
        (folder / "notes.txt").write_text("none")


def words(*typed: str) -> After:
    return lambda project, data, checkpoint: [*typed]


def with_store(uri: str, change: Callable[[Path], object], *arguments: str) -> After:
    """`harness ...` with `uri` as MLflow's store, after `change(project)`."""

    def arrange(project: Path, data: Path, checkpoint: Path) -> list[str]:
        change(project)
        os.environ["MLFLOW_TRACKING_URI"] = uri.replace("{project}", str(project))
        return [*arguments]

    return arrange


def a_run(project: Path) -> Path:
    """The folder of a run that was never sent to MLflow."""
    record = {
        "name": "x",
        "status": "failed",
        "started": "2026-01-01T00:00:00.000+00:00",
        "experiment": {},
        "folds": [],
    }
    record |= {"data": {"folder": "data", "images": 2, "classes": {"a": 1, "b": 1}, "digest": f"{'12' * 16}.dir"}}
    path = project / "runs/x/20260101-000000-abcd"
    (path / "plots").mkdir(parents=True)
    (path / "run.json").write_text(json.dumps(record))
    return path


def and_then(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def both(project: Path) -> None:
        a_run(project)
        change(project)

    return both


def newer(project: Path) -> None:
    with contextlib.closing(sqlite3.connect(project / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")
        database.commit()


def locked(project: Path) -> None:
    HELD.append(sqlite3.connect(project / "mlflow.db"))
    HELD[-1].execute("BEGIN EXCLUSIVE")


def port_in_use(option: str) -> After:
    def arrange(project: Path, data: Path, checkpoint: Path) -> list[str]:
        (project / "runs").mkdir()
        HELD.append(socket.create_server(("127.0.0.1", 0)))
        only_one = "tensorboard" if option == "--port" else "mlflow"
        return ["ui", "--only", only_one, option, str(HELD[-1].getsockname()[1])]

    return arrange


HELD: list[Any] = []  # files and sockets that must stay open during a case
STORE = "sqlite:///{project}/mlflow.db"
SYNC = ("sync", "runs/x/20260101-000000-abcd", "--to", "mlflow")
GARBAGE = b"this is no database, and never was" * 99
AFTER = [
    Case("a truncated checkpoint", 2, "damaged", checkpoint_of(half)),
    Case("a checkpoint whose bytes have changed", 2, "damaged", checkpoint_of(flipped)),
    Case("an empty checkpoint", 2, "it is empty", checkpoint_of(lambda c, path: path.touch())),
    Case(
        "a checkpoint that is an image",
        2,
        "is not a torch file",
        checkpoint_of(lambda c, p: p.write_bytes(b"\xff\xd8")),
    ),
    Case(
        "a pickle as checkpoint", 2, "Python objects", checkpoint_of(lambda c, p: p.write_bytes(pickle.dumps(Evil())))
    ),
    Case("a checkpoint with a pickle in it", 2, "Python objects", checkpoint_of(changed(experiment=Evil()))),
    Case(
        "a whole model as checkpoint", 2, "Python objects", checkpoint_of(lambda c, p: torch.save(torch.nn.ReLU(), p))
    ),
    Case("a checkpoint without classes", 2, "not a complete checkpoint", checkpoint_of(changed(classes=None))),
    Case("a checkpoint without its size", 2, "not a complete checkpoint", checkpoint_of(changed(transform={}))),
    Case(
        "a checkpoint of an unknown model", 2, "no model 'resnet999'", checkpoint_of(changed(architecture="resnet999"))
    ),
    Case("a checkpoint of another model", 2, "do not fit resnet18", checkpoint_of(changed(architecture="resnet18"))),
    Case(
        "a checkpoint of a function that is gone",
        2,
        "cannot be built",
        checkpoint_of(changed(architecture="mine:model")),
    ),
    Case(
        "another program's checkpoint",
        2,
        "does not say its classes",
        checkpoint_of(
            lambda c, path: torch.save({"epoch": 3, "state_dict": build("resnet18", 2, (3, 64, 64)).state_dict()}, path)
        ),
    ),
    Case(
        "another program's, of an unknown model",
        2,
        "does not say which model",
        checkpoint_of(
            lambda c, path: torch.save(build("resnet18", 2, (3, 64, 64)).state_dict(), path), "--classes", "a,b"
        ),
    ),
    Case(
        "another program's, with other classes",
        2,
        "not a model for these 3 classes",
        checkpoint_of(
            lambda c, path: torch.save(build("resnet18", 2, (3, 64, 64)).state_dict(), path),
            *("--classes", "a,b,c"),
            name="resnet18.pth",
        ),
    ),
    Case("a checkpoint that is not there", 2, "is not a run folder", words("test", "nothing.pt")),
    Case("a folder that is not a run", 2, "it has no run.json", words("test", "experiments")),
    Case("a single name of a class", 2, "is not a list of classes", judging(lambda d: None, "--classes", "sea")),
    Case("classes that the file does not have", 2, "has other classes", judging(lambda d: None, "--classes", "a,b")),
    Case("a gate of 95", 2, "95.0 is not in the range", judging(lambda d: None, "--min-accuracy", "95")),
    Case("a gate of nan", 2, "nan is not in the range", judging(lambda d: None, "--min-accuracy", "nan")),
    Case(
        "no such device to test on",
        2,
        "device 'cuda:9' is not available",
        judging(lambda d: None, "--device", "cuda:9"),
    ),
    Case("a class missing from the test", 4, "sea", judging(only("forest"))),
    Case("a class empty in the test", 4, "sea", judging(empty_class)),
    Case("a class unknown to the model", 4, "lake", judging(lambda data: (data / "sea").rename(data / "lake"))),
    Case("no images to test on", 4, "no image", judging(nothing_but_text)),
    Case("a test folder that is not there", 4, "images is not there", judging(shutil.rmtree)),
    Case(
        "a test folder that is a file",
        4,
        "is not a folder",
        words("test", "{checkpoint}", "--data", "experiments/tiny.py"),
    ),
    Case("a truncated test image", 4, "sea/sea00.jpg", judging(lambda data: truncate(data / "sea/sea00.jpg"))),
    Case("a file as output folder", 2, "tiny.py", judging(lambda d: None, "--out", "experiments/tiny.py")),
    Case("a run to send that is not there", 2, "is not a run folder", words("sync", "nothing")),
    Case("an unknown tracker", 2, "wandb", words("sync", "x", "--to", "wandb")),
    Case(
        "a run whose record is damaged",
        2,
        "run.json cannot be read",
        with_store(STORE, lambda p: (a_run(p) / "run.json").write_text("{"), *SYNC),
    ),
    Case(
        "a store that is damaged",
        5,
        "it is damaged",
        with_store(STORE, and_then(lambda p: (p / "mlflow.db").write_bytes(GARBAGE)), *SYNC),
    ),
    Case("a store that is locked", 5, "has locked it", with_store(STORE, and_then(locked), *SYNC)),
    Case("a store of a newer version", 5, "a newer version of MLflow", with_store(STORE, and_then(newer), *SYNC)),
    Case("a store that is a folder", 5, "cannot be opened", with_store("sqlite:///{project}", a_run, *SYNC)),
    Case("a store of a kind that MLflow lacks", 5, "cannot be used", with_store("gopher://x", a_run, *SYNC)),
    Case("an MLflow server that refuses", 5, "nothing answers there", with_store("http://127.0.0.1:9", a_run, *SYNC)),
    Case("an unknown host", 5, "cannot be used", with_store("http://no.such.host.invalid", a_run, *SYNC)),
    Case(
        "ui with a damaged store",
        5,
        "it is damaged",
        with_store(STORE, and_then(lambda p: (p / "mlflow.db").write_bytes(GARBAGE)), "ui"),
    ),
    Case(
        "ui with a store of a newer version", 5, "a newer version of MLflow", with_store(STORE, and_then(newer), "ui")
    ),
    Case("ui without runs", 4, "harness run quickstart", words("ui")),
    Case("TensorBoard's port in use", 2, "--port", port_in_use("--port")),
    Case("MLflow's port in use", 2, "--mlflow-port", port_in_use("--mlflow-port")),
    Case("an invalid port", 2, "70000 is not in the range", words("ui", "--port", "70000")),
]


@pytest.mark.parametrize("case", AFTER, ids=lambda case: case.name)
def test_bad_input_after_a_run(
    case: Case,
    call: Callable[..., Outcome],
    project: Path,
    scenery: Path,
    tracked: Tracked,
    new_database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(new_database, project / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.1)
    checkpoint = tracked.run.checkpoint_of(tracked.run.best_fold() or {})
    arguments = [part.replace("{checkpoint}", str(checkpoint)) for part in case.arrange(project, scenery, checkpoint)]
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    try:
        outcome = call(*arguments)
    finally:
        while HELD:
            HELD.pop().close()
    require_three_lines(case, outcome)
    assert not (project / "pwned").exists()
    assert before.items() <= {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}.items()


def test_bad_input_has_enough_cases() -> None:
    assert len(CASES) >= 40
    assert len(AFTER) >= 20


@pytest.mark.skipif(sys.platform == "win32", reason="the system cannot limit the size of files")
def test_run_on_a_full_disk_keeps_finished_epochs(call: Callable[..., Outcome], project: Path) -> None:
    import resource

    assert call("run", "tiny", "-s", "model=mobilenet_v3_small", "--fold", "1").code == 0
    before = {path: path.read_bytes() for path in (project / "runs").rglob("*.pt")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        outcome = call("run", "tiny", "-s", "model=mobilenet_v3_small", "--fold", "1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert outcome.code == 1
    assert "fold1.pt cannot be written" in outcome.error_lines[0]
    assert "make room" in outcome.error_lines[2]
    assert len(outcome.error_lines) == 3
    assert before.items() <= {path: path.read_bytes() for path in (project / "runs").rglob("*.pt")}.items()
    assert len((project / "runs").glob("tiny/*/metrics.jsonl").__next__().read_text().splitlines()) >= 1
