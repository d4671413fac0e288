"""Code that comes with a run, a checkpoint or a champion: it is run only of this project, or with `--trust`."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import py_compile
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import harness
from harness.runs import trust
from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow.unsent import send_unsent
from harness.util.processes import python_module
from tests.conftest import Outcome, git
from tests.strangers.conftest import Sandbox, lay_own_run


@pytest.fixture
def own(sandbox: Sandbox, stranger: Path) -> Path:
    """A run folder whose `experiment.py` would make the canary."""
    return lay_own_run(sandbox, stranger)


COMMANDS = [["test"], ["reproduce"], ["reproduce", "--dry-run"], ["champion", "promote"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_needs_code_from_elsewhere_is_refused_by_the_name_of_its_file(
    sandbox: Sandbox, own: Path, scenery: Path, command: list[str]
) -> None:
    data = ["--data", scenery] if command[0] in ("test", "champion") else []
    data += ["--allow-leak"] if command[0] == "test" else []
    outcome = sandbox.runs(*command, own, *data)
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert outcome.error_lines[0] == f"error: {own / 'experiment.py'} is not run"
    assert "--trust" in outcome.error_lines[2]
    assert not (sandbox.project / "models").exists()


def test_with_trust_it_is_run_this_once(
    sandbox: Sandbox, own: Path, scenery: Path, call: Callable[..., Outcome]
) -> None:
    assert call("test", own, "--data", scenery, "--allow-leak", "--min-accuracy", 0, "--trust").code == 0
    assert sandbox.canary.exists()
    sandbox.canary.unlink()
    assert sandbox.runs("test", own, "--data", scenery, "--allow-leak", "--min-accuracy", 0).code == 2


def test_what_only_shows_a_run_works_without_its_code(
    sandbox: Sandbox, own: Path, new_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(new_database, sandbox.project / "mlflow.db")
    uri = f"sqlite:///{sandbox.project / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert sandbox.runs("list").code == 0
    outcome = sandbox.runs("sync", own, "--to", "tensorboard", "--to", "mlflow")
    assert outcome.code == 0
    assert "the model is left out" in outcome.err
    sent = {path.name for path in (sandbox.project / "mlruns").rglob("*") if path.is_file()}
    assert {"run.json", "metrics.jsonl", "predictions.csv"} <= sent
    folder = RunFolder.open(own)
    folder.update(trackers={}, stores={"mlflow": uri})  # as `harness ui` finds one that was never sent
    assert send_unsent(sandbox.project / "runs") == []  # MLflow has it, and knows that its model was left out
    assert not sandbox.canary.exists()


def test_a_checkpoint_in_a_folder_of_downloads(sandbox: Sandbox, own: Path, scenery: Path) -> None:
    downloads = sandbox.project / "downloads"
    (downloads / "new").mkdir(parents=True)
    best = next((own / "checkpoints").glob("fold*.pt"))
    shutil.copy(best, downloads / "new/model.pt")
    for folder in (downloads, downloads / "new"):
        shutil.copy(own / "experiment.py", folder)
        outcome = sandbox.runs("test", downloads / "new/model.pt", "--data", scenery, "--allow-leak")
        assert outcome.code == 2
        assert "is not run" in outcome.err
        (folder / "experiment.py").unlink()


def test_a_run_of_plain_values_is_tested_and_reproduced_without_its_file(sandbox: Sandbox, scenery: Path) -> None:
    (sandbox.run / "experiment.py").write_text(f"from pathlib import Path\nPath({str(sandbox.canary)!r}).touch()\n")
    assert sandbox.runs("test", sandbox.run, "--data", scenery, "--allow-leak", "--min-accuracy", 0).code == 0
    outcome = sandbox.runs("reproduce", sandbox.run, "--json")
    assert outcome.code == 0
    again = Path(json.loads(outcome.out)["again"])
    assert json.loads(outcome.out)["outcome"] == "bit-identical"
    assert not (again / "experiment.py").exists()  # else the stranger's file would count as this project's own


def test_a_run_that_was_made_here_is_known_until_its_file_is_changed(
    sandbox: Sandbox, own: Path, scenery: Path, call: Callable[..., Outcome]
) -> None:
    shutil.copy(own / "experiment.py", sandbox.project / "experiments/mine.py")
    assert call("run", "mine").code == 0
    (made,) = (sandbox.project / "runs/mine").iterdir()
    (sandbox.project / "experiments/mine.py").unlink()
    test = ("test", made, "--data", scenery, "--allow-leak", "--min-accuracy", 0)
    assert call(*test).code == 0
    assert call("reproduce", made, "--dry-run").code == 0
    sandbox.canary.unlink()
    with (made / "experiment.py").open("a") as file:
        file.write("# one more line\n")
    assert sandbox.runs(*test).code == 2
    shutil.copy(own / "experiment.py", made)
    record = json.loads((made / "run.json").read_text())
    (made / "run.json").write_text(json.dumps(record | {"id": "20260101-000000-dcba"}))
    assert sandbox.runs(*test).code == 2


def test_what_lies_in_experiments_is_the_projects_own(
    sandbox: Sandbox, own: Path, scenery: Path, call: Callable[..., Outcome]
) -> None:
    shutil.copy(own / "experiment.py", sandbox.project / "experiments/other_name.py")
    assert call("test", own, "--data", scenery, "--allow-leak", "--min-accuracy", 0).code == 0


def test_bytecode_and_modules_that_come_with_a_run_are_not_used(
    sandbox: Sandbox, own: Path, scenery: Path, call: Callable[..., Outcome]
) -> None:
    harmless = (own / "experiment.py").read_text().replace(f"Path({str(sandbox.canary)!r}).touch()", "import beside_it")
    evil = own / "evil.py"
    evil.write_text((own / "experiment.py").read_text())
    (own / "experiment.py").write_text(harmless)
    cached = Path(importlib.util.cache_from_source(str(own / "experiment.py")))
    py_compile.compile(
        str(evil), str(cached), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    (own / "beside_it.py").write_text(f"from pathlib import Path\nPath({str(sandbox.canary)!r}).touch()\n")
    outcome = sandbox.runs("test", own, "--data", scenery, "--allow-leak", "--trust")
    assert "No module named 'beside_it'" in outcome.err
    (sandbox.project / "experiments/beside_it.py").write_text("")
    assert sandbox.runs("test", own, "--data", scenery, "--allow-leak", "--trust", "--min-accuracy", 0).code == 0


def test_a_pickle_in_a_checkpoint_is_not_run(sandbox: Sandbox, scenery: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (sandbox.canary,)

    torch.save({"format": "harness-checkpoint-1", "model": Evil()}, sandbox.project / "evil.pt")
    outcome = sandbox.runs("test", "evil.pt", "--data", scenery, "--allow-leak")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)


def test_a_list_that_came_along_says_nothing(sandbox: Sandbox, own: Path, scenery: Path) -> None:
    code = (own / "experiment.py").read_bytes()
    run_id = RunFolder.open(own).id
    test = ("test", own, "--data", scenery, "--allow-leak", "--min-accuracy", 0)
    trust.FOLDER.mkdir()
    entry = {"run": run_id, "experiment": hashlib.sha256(code).hexdigest()}
    for line in (entry, {**entry, "mark": "0" * 64}, {**entry, "mark": 7}, {**entry, "mark": None}):
        trust.RUNS.write_text(json.dumps(line) + "\n")
        assert sandbox.runs(*test).code == 2
    with pytest.MonkeyPatch.context() as elsewhere:  # another user's key
        elsewhere.setenv("HARNESS_STATE", str(sandbox.project / "theirs"))
        trust.RUNS.unlink()
        trust.remember_code(run_id, code)
        assert trust.made_code(run_id, code)
    assert sandbox.runs(*test).code == 2


@pytest.mark.skipif(os.name == "nt", reason="a link takes a privilege there")
@pytest.mark.parametrize("link", [".harness", ".harness/runs.jsonl", ".harness/.gitignore", ".harness/.lock"])
def test_a_list_behind_a_link_is_neither_read_nor_written(sandbox: Sandbox, link: str) -> None:
    sandbox.note()
    Path(link).parent.mkdir(exist_ok=True)
    Path(link).symlink_to(sandbox.outside / ("a" if link == ".harness" else "new"))
    trust.remember_code("a", b"code")
    assert sandbox.contents() == sandbox.before


def test_processes_of_ours_do_not_look_for_modules_in_the_current_folder(sandbox: Sandbox) -> None:
    for name in ("probe", "torchvision", "platformdirs"):
        Path(f"{name}.py").write_text(f"from pathlib import Path\nPath({str(sandbox.canary)!r}).touch()\n")
    done = subprocess.run(python_module("probe"), capture_output=True, text=True, check=False)
    assert "No module named probe" in done.stderr
    done = subprocess.run(python_module("harness", "--version"), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("harness")
    assert not sandbox.canary.exists()
    ours = [path for path in Path(harness.__file__).parent.rglob("*.py") if path.name != "processes.py"]
    assert not [path for path in ours if re.search(r'sys\.executable, "-m"', path.read_text())]


def test_a_run_folder_that_is_a_repository_runs_no_hook(
    sandbox: Sandbox, scenery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(sandbox.run, "init", "--bare", "-q", ".")
    (sandbox.run / "hooks/post-index-change").write_text(f"#!/bin/sh\ntouch {sandbox.canary}\n")
    (sandbox.run / "hooks/post-index-change").chmod(0o755)
    with (sandbox.run / "config").open("a") as file:
        file.write(f'[core]\n\tbare = false\n\tworktree = .\n\tfsmonitor = "touch {sandbox.canary}"\n')
    monkeypatch.chdir(sandbox.run)
    checkpoint = next(Path("checkpoints").glob("*.pt"))
    assert (
        sandbox.runs(
            "test", checkpoint, "--data", scenery, "--allow-leak", "--tracker", "none", "--min-accuracy", 0
        ).code
        == 0
    )


def test_the_list_survives_a_line_that_was_cut_short(sandbox: Sandbox) -> None:
    trust.remember_run("a", "data")
    with trust.RUNS.open("a") as file:
        file.write('{"run": "b", "da\n[1]\n')
    trust.remember_code("a", b"code")
    assert trust.made_run("a", "data")
    assert not trust.made_run("a", "other data")
    assert trust.made_code("a", b"code")
    assert not trust.made_code("b", b"code")
    assert (trust.FOLDER / ".gitignore").read_text() == "*\n"


def test_where_the_list_cannot_be_written_a_run_goes_on(sandbox: Sandbox) -> None:
    Path(".harness").write_text("")  # a file, where the folder should be
    trust.remember_run("a", "data")
    assert not trust.made_run("a", "data")
