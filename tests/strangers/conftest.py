"""Files as a stranger could send them, in a project beside which lies what they must not touch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.config.experiment_file import load
from harness.workflows.crossval import cross_validate
from tests.conftest import Outcome, made_once, write_experiment

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
OWN_MODEL = """
from pathlib import Path
from harness import Experiment
from harness.models.small_cnn import SmallCNN

Path({canary!r}).touch()


def mine(classes):
    return SmallCNN(classes)


fields = dict(weights=None, image_size=32, epochs=1, folds=2, batch_size=8, precision="fp32", trackers=())
experiment = Experiment(data={data!r}, model=mine, **fields)
"""


@dataclasses.dataclass
class Sandbox:
    """`project` is the current folder; nothing in `outside` may change, and the file `canary` may not appear."""

    project: Path
    outside: Path
    call: Callable[..., Outcome]
    before: dict[str, tuple[int, str]] = dataclasses.field(default_factory=dict)

    @property
    def run(self) -> Path:
        return self.project / "runs/tiny/20260101-000000-abcd"

    @property
    def canary(self) -> Path:
        return self.outside.parent / "canary"

    def change(self, file: Path, field: str, value: Any) -> None:
        """Gives one field of a JSON file, as in `data.dvc.md5`, another value."""
        record = json.loads(file.read_text())
        part = record
        *keys, last = field.split(".")
        for key in keys:
            if not isinstance(part.get(key), dict):
                part[key] = {}
            part = part[key]
        part[last] = value
        file.write_text(json.dumps(record))

    def note(self) -> None:
        """Remembers what lies outside. The first command calls it."""
        self.before = self.contents()

    def contents(self) -> dict[str, tuple[int, str]]:
        """What lies outside, by path: when it was changed, and its content."""
        entries = {}
        for path in sorted(self.outside.rglob("*")):
            content = hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else "folder"
            entries[str(path)] = (path.stat().st_mtime_ns if path.is_file() else 0, content)
        return entries

    def runs(self, *arguments: object) -> Outcome:
        """Calls `harness` so. Whatever comes out, nothing outside has changed and no code has run."""
        if not self.before:
            self.note()
        outcome = self.call(*arguments)
        assert self.contents() == self.before
        assert not self.canary.exists()
        assert "itself failed" not in outcome.err
        assert "Traceback" not in outcome.err
        assert not CONTROL.search(outcome.out + outcome.err)
        return outcome


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory, scenery: Path) -> Path:
    """Another person's project, with one run of a built-in model and one of the person's own model."""

    def make(home: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(home)
            (home / "experiments").mkdir()
            plain = write_experiment(home / "experiments/tiny.py", scenery, epochs=1)
            own = home / "experiments/own.py"
            own.write_text(OWN_MODEL.format(canary=str(home / "theirs"), data=str(scenery)))
            for path in (plain, own):
                cross_validate(load(path), source=path)

    return made_once(tmp_path_factory, "stranger", make)


@pytest.fixture
def sandbox(stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Outcome]) -> Sandbox:
    """A project into whose `runs/` somebody has laid the stranger's plain run."""
    project, outside = tmp_path / "project", tmp_path / "outside"
    (project / "experiments").mkdir(parents=True)
    outside.mkdir()
    for name in ("keep.txt", "a/keep.png", "checkpoints/fold1.pt", "plots/curves.png"):
        (outside / name).parent.mkdir(exist_ok=True)
        (outside / name).write_bytes(b"mine")
    monkeypatch.chdir(project)
    (theirs,) = (stranger / "runs/tiny").iterdir()
    made = Sandbox(project, outside, call)
    shutil.copytree(theirs, made.run)
    made.change(made.run / "run.json", "id", made.run.name)
    return made


def lay_own_run(sandbox: Sandbox, stranger: Path) -> Path:
    """Copies the stranger's run with an own model into the project; its code would create the canary file."""
    (theirs,) = (stranger / "runs/own").iterdir()
    run = sandbox.project / "runs/own" / theirs.name
    shutil.copytree(theirs, run)
    code = (run / "experiment.py").read_text().replace(str(stranger / "theirs"), str(sandbox.canary))
    (run / "experiment.py").write_text(code)
    return run
