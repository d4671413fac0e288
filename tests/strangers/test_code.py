"""Code that comes with a run, a checkpoint or a champion: it is run only of this project, or with `--trust`."""

from __future__ import annotations

import importlib.util
import json
import py_compile
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.runs import trust
from harness.runs.run_folder import RunFolder
from harness.trackers.mlflow.run import settle
from tests.strangers.conftest import Sandbox, caller, lay_own_run


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
    outcome = sandbox.runs(*command, own, *data)
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)
    assert outcome.error_lines[0] == f"error: {own / 'experiment.py'} is not run"
    assert "--trust" in outcome.error_lines[2]
    assert not (sandbox.project / "models").exists()


def test_with_trust_it_is_run_this_once(
    sandbox: Sandbox, own: Path, scenery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = caller(capsys)
    assert call("test", own, "--data", scenery, "--min-accuracy", 0, "--trust").code == 0
    assert sandbox.canary.exists()
    sandbox.canary.unlink()
    assert sandbox.runs("test", own, "--data", scenery, "--min-accuracy", 0).code == 2


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
    assert {"run.json", "fold2-best.pt"} & sent
    folder = RunFolder.open(own)
    folder.update(trackers={}, stores={"mlflow": uri})  # as `harness ui` finds one that was never sent
    assert settle(sandbox.project / "runs") == []  # MLflow has it, and knows that its model was left out
    assert not sandbox.canary.exists()


def test_a_checkpoint_in_a_folder_of_downloads(sandbox: Sandbox, own: Path, scenery: Path) -> None:
    downloads = sandbox.project / "downloads"
    (downloads / "new").mkdir(parents=True)
    best = next((own / "checkpoints").glob("*-best.pt"))
    shutil.copy(best, downloads / "new/model.pt")
    for place in (downloads, downloads / "new"):
        shutil.copy(own / "experiment.py", place)
        outcome = sandbox.runs("test", downloads / "new/model.pt", "--data", scenery)
        assert outcome.code == 2
        assert "is not run" in outcome.err
        (place / "experiment.py").unlink()


def test_a_run_of_plain_values_is_tested_and_reproduced_without_its_file(sandbox: Sandbox, scenery: Path) -> None:
    (sandbox.run / "experiment.py").write_text(f"from pathlib import Path\nPath({str(sandbox.canary)!r}).touch()\n")
    assert sandbox.runs("test", sandbox.run, "--data", scenery, "--min-accuracy", 0).code == 0
    outcome = sandbox.runs("reproduce", sandbox.run, "--json")
    assert outcome.code == 0
    again = Path(json.loads(outcome.out)["again"])
    assert json.loads(outcome.out)["outcome"] == "bit-identical"
    assert not (again / "experiment.py").exists()  # else the stranger's file would count as this project's own


def test_a_run_that_was_made_here_is_known_until_its_file_is_changed(
    sandbox: Sandbox, own: Path, scenery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = caller(capsys)
    shutil.copy(own / "experiment.py", sandbox.project / "experiments/mine.py")
    assert call("run", "mine").code == 0
    (made,) = (sandbox.project / "runs/mine").iterdir()
    (sandbox.project / "experiments/mine.py").unlink()
    test = ("test", made, "--data", scenery, "--min-accuracy", 0)
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
    sandbox: Sandbox, own: Path, scenery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(own / "experiment.py", sandbox.project / "experiments/other_name.py")
    assert caller(capsys)("test", own, "--data", scenery, "--min-accuracy", 0).code == 0


def test_bytecode_and_modules_that_come_with_a_run_are_not_used(
    sandbox: Sandbox, own: Path, scenery: Path, capsys: pytest.CaptureFixture[str]
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
    outcome = sandbox.runs("test", own, "--data", scenery, "--trust")
    assert "No module named 'beside_it'" in outcome.err
    (sandbox.project / "experiments/beside_it.py").write_text("")
    assert sandbox.runs("test", own, "--data", scenery, "--trust", "--min-accuracy", 0).code == 0


def test_a_pickle_in_a_checkpoint_is_not_run(sandbox: Sandbox, scenery: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (sandbox.canary,)

    torch.save({"format": "harness-checkpoint-1", "model": Evil()}, sandbox.project / "evil.pt")
    outcome = sandbox.runs("test", "evil.pt", "--data", scenery)
    assert (outcome.code, len(outcome.error_lines)) == (2, 3)


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
