"""Bad input, a row each: three lines on stderr, the right exit code, no traceback, nothing on stdout, nothing lost."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from harness.models.build import build
from tests.conftest import Outcome, write_experiment

Arrange = Callable[[Path, Path], list[str]]  # (project, sound data) -> arguments after `harness run`


@dataclass(frozen=True)
class Case:
    name: str
    code: int
    says: str
    arrange: Arrange


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
    (project / "data.dvc").write_text("outs:\n- md5: 0.dir\n  path: data\n")
    return ["tiny", "-s", "data=data/train"]


def runs_is_a_file(project: Path, data: Path) -> list[str]:
    (project / "runs").write_text("")
    return ["tiny"]


def read_only(project: Path, data: Path) -> list[str]:
    """A folder that the system lets nobody write to, or, for all but root, one without that permission."""
    folder = Path("/sys/kernel") if os.geteuid() == 0 else project / "locked"
    folder.mkdir(mode=0o555, exist_ok=True)
    return ["tiny", "--runs", str(folder)]


def bad(code: str) -> Arrange:
    return experiment(f"from harness import Experiment\n{code}\n")


def with_bytes(content: bytes) -> Arrange:
    return with_weights(lambda path: path.write_bytes(content))


def saved(content: object) -> Arrange:
    return with_weights(lambda path: torch.save(content, path))


def file_in_sea(change: Callable[[Path], object]) -> Arrange:
    return with_data(lambda data: change(data / "sea/x.png"))


CASES = [
    Case("no such experiment", 2, "there is no experiment 'tinny'; did you mean 'tiny'?", lambda p, d: ["tinny"]),
    Case("a folder as experiment", 2, "there is no experiment", lambda p, d: ["experiments"]),
    Case("an experiment that is no Python", 2, "is not a Python file", lambda p, d: [str(next((d / "sea").iterdir()))]),
    Case("no experiment in it", 2, "has no experiment", experiment("x = 1\n")),
    Case("a syntax error in it", 2, "bad.py:1: syntax error", experiment("experiment = (\n")),
    Case("an error in it", 2, "bad.py:2: the experiment file failed", experiment("\n1/0\n")),
    Case("a missing import in it", 2, "No module named 'fastia'", experiment("import fastia\n")),
    Case("unknown field in it", 2, "no field 'epoch'; did you mean 'epochs'?", bad("Experiment(epoch=1)")),
    Case("wrong type in it", 2, "folds = '3' is not possible", bad("Experiment(folds='3')")),
    Case("unknown field", 2, "no field 'epoch'; did you mean 'epochs'?", settings("epoch=1")),
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
    Case("no such device", 2, "device 'cuda:9' is not there", lambda p, d: ["tiny", "--device", "cuda:9"]),
    Case("a device that is no device", 2, "device 'gpu' is not there", lambda p, d: ["tiny", "--device", "gpu"]),
    Case("no such fold", 2, "there is no fold 3", lambda p, d: ["tiny", "--fold", "3"]),
    Case("missing weights", 2, "nowhere.pth is not there", settings("weights=nowhere.pth")),
    Case("weights that are a folder", 2, "experiments cannot be read", settings("weights=experiments")),
    Case("ImageNet weights of a model without", 2, "has no ImageNet weights", settings("weights=imagenet")),
    Case(
        "weights of another model",
        2,
        "do not fit small_cnn",
        with_weights(lambda path: torch.save(build("mobilenet_v3_small", 2, 32).state_dict(), path)),
    ),
    Case(
        "weights that are no torch file",
        2,
        "w.pth is no torch file",
        with_bytes(b"hello"),
    ),
    Case("empty weights", 2, "it is empty", with_bytes(b"")),
    Case(
        "a whole model",
        2,
        "it holds Python objects",
        saved(torch.nn.Linear(2, 2)),
    ),
    Case(
        "a pickle with code in it",
        2,
        "it holds Python objects",
        with_bytes(pickle.dumps(Evil())),
    ),
    Case("code in a torch file", 2, "it holds Python objects", saved({"a": Evil()})),
    Case("weights that are not finite", 2, "are not all finite", saved({"w": torch.tensor([1.0, torch.nan])})),
    Case("half a checkpoint", 2, "is no whole checkpoint", saved({"format": "harness-checkpoint-1", "transform": {}})),
    Case("keys that are no names", 2, "do not fit small_cnn", saved({1: torch.zeros(2), (2, 3): torch.zeros(2)})),
    Case("an optimizer that is none", 2, "optimizer does not work", part("optimizer=lambda p, lr, weight_decay: None")),
    Case("an optimizer that takes no decay", 2, "optimizer does not work", part("optimizer=torch.optim.LBFGS")),
    Case("a scheduler that is none", 2, "scheduler does not work", part("scheduler=lambda o, e: 5")),
    Case("a loss per image", 2, "it gave a Tensor (2,)", part("loss=torch.nn.CrossEntropyLoss(reduction='none')")),
    Case("a model that fails", 1, "code of yours failed at", part("model=lambda classes: 1 / 0")),
    Case("an experiment that exits", 2, "SystemExit: 0", experiment("raise SystemExit(0)\n")),
    Case("a callback that exits", 1, "SystemExit: 0", callback_that("on_epoch_end", "raise SystemExit(0)")),
    Case("a name that is too long", 2, "there is no experiment", lambda p, d: ["x" * 300]),
    Case("a folder name that is too long", 4, "cannot be listed", settings("data=" + "x" * 300)),
    Case("a number beyond all bounds", 2, "is not possible", settings("lr=1" + "0" * 400)),
    Case("a size beyond all bounds", 2, "is not possible", settings("image_size=10000")),
    Case("no data", 4, "harness data demo", settings("data=data/train")),
    Case("data that DVC has not fetched", 4, "dvc pull data.dvc", dvc_file),
    Case("data that is a file", 4, "is no folder", settings("data=experiments/tiny.py")),
    Case("no classes", 4, "has no classes", settings("data=experiments")),
    Case("one class only", 4, "one class only", with_data(lambda data: shutil.rmtree(data / "sea"))),
    Case("an empty class", 4, "class 'lake' is empty", with_data(lambda data: (data / "lake").mkdir())),
    Case("fewer images than folds", 4, "16 folds need at least 16 images", settings("folds=16")),
    Case("a truncated image", 4, "sea/sea00.jpg (truncated)", with_data(lambda data: truncate(data / "sea/sea00.jpg"))),
    Case("an empty image", 4, "sea/x.png (empty)", file_in_sea(Path.touch)),
    Case(
        "wrong content",
        4,
        "sea/x.png (not an image)",
        file_in_sea(lambda path: path.write_text("<html>")),
    ),
    Case("a broken link", 4, "sea/x.png (a broken link)", file_in_sea(lambda path: path.symlink_to("gone"))),
    Case("runs that are a file", 1, "runs/tiny", runs_is_a_file),
    Case("a read-only folder", 1, "choose another folder with --runs", read_only),
    Case("a huge seed", 2, "seed = 99999999999 is not possible", settings("seed=99999999999")),
    Case("a learning rate that diverges", 1, "loss is", settings("lr=1e30", "optimizer=sgd")),
    Case("a hook that does not exist", 2, "on_epoch_edn is no event", callback_that("on_epoch_edn", "pass")),
    Case("a callback that fails", 1, "bad.py:3", callback_that("on_batch_end", "state.nothing")),
    Case(
        "a callback that stops at once",
        1,
        "has no best epoch",
        callback_that("on_fit_start", "state.stop('no')"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input(case: Case, call: Callable[..., Outcome], project: Path, scenery: Path) -> None:
    arguments = case.arrange(project, scenery)
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    outcome = call("run", *arguments)
    assert outcome.code == case.code, outcome.err
    assert case.says in outcome.err
    assert [line.split(":")[0].strip() for line in outcome.error_lines] == ["error", "why", "try"]
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert not (project / "pwned").exists()
    assert before.items() <= {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}.items()
    for record in project.glob("runs/*/*/run.json"):
        assert json.loads(record.read_text())["status"] == "failed"


def test_there_are_many() -> None:
    assert len(CASES) >= 40


@pytest.mark.skipif(sys.platform == "win32", reason="the system cannot limit the size of files")
def test_a_disk_that_fills_up_loses_no_finished_epoch(call: Callable[..., Outcome], project: Path) -> None:
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
    assert "fold1-best.pt cannot be written" in outcome.error_lines[0]
    assert "make room" in outcome.error_lines[2]
    assert len(outcome.error_lines) == 3
    assert before.items() <= {path: path.read_bytes() for path in (project / "runs").rglob("*.pt")}.items()
    assert len((project / "runs").glob("tiny/*/metrics.jsonl").__next__().read_text().splitlines()) >= 1
