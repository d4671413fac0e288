"""A champion and its history, as somebody could send them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.workflows.promote import promote
from tests.conftest import made_once
from tests.strangers.conftest import Sandbox

CHAMPION: list[tuple[str, Any]] = [
    *(("number", value) for value in ("../x", -1, 0, 10**400, None)),
    *(("replaced", value) for value in ("../x", -1)),
    *(("checkpoint.md5", value) for value in ("../x", 7)),
    *(("checkpoint.sha256", value) for value in ("x' or 'a' = 'a", 7)),
    *(("test.interval", value) for value in ([], ["a", "b"], [0, 2])),
    *(("test.accuracy", value) for value in (7, "1")),
    *(("run.name", value) for value in ("../x", "\x1b[2J", 7)),
    *(("run.id", value) for value in ("../x", "--all", 7)),
    *(("run.git", value) for value in ({"commit": "--output=x"}, 7)),
    *(("run.data", value) for value in ({"folder": 7}, 7)),
    *(("comparison", value) for value in ({"says": 7}, {}, 7)),
    *(("registry", value) for value in ({"version": "1; x"}, {"version": 7}, 7)),
    *(("promoted", value) for value in ("yesterday", 7)),
]


@pytest.fixture(scope="session")
def champions(stranger: Path, tmp_path_factory: pytest.TempPathFactory, scenery: Path) -> Path:
    """The `models/` of the stranger, with one champion."""

    def make(home: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(home)
            shutil.copytree(stranger / "runs", home / "runs")
            (run,) = (home / "runs/tiny").iterdir()
            promote(str(run), str(scenery), force=True)

    return made_once(tmp_path_factory, "champions", make) / "models"


@pytest.mark.parametrize(("field", "value"), CHAMPION, ids=lambda value: ascii(value)[:40])
def test_a_champion_with_a_field_of_another_form_is_refused(
    sandbox: Sandbox, champions: Path, scenery: Path, field: str, value: Any
) -> None:
    models = sandbox.project / "models"
    shutil.copytree(champions, models)
    for file in models.rglob("champion.json"):
        sandbox.change(file, field, value)
    commands = (["champion", "show"], ["champion", "history"], ["champion", "rollback"], ["reproduce", "champion"])
    for command in (*commands, ["test", "champion", "--data", scenery]):
        outcome = sandbox.runs(*command)
        assert (outcome.code, len(outcome.error_lines)) == (2, 3), outcome.err
        assert field.split(".")[0] in outcome.err


@pytest.mark.skipif(os.name == "nt", reason="a link takes a privilege there")
def test_a_history_behind_a_link_is_not_pruned(sandbox: Sandbox, champions: Path, scenery: Path) -> None:
    shutil.copytree(champions / "history", sandbox.outside / "history")
    shutil.copytree(champions, sandbox.project / "models")
    shutil.rmtree(sandbox.project / "models/history")
    (sandbox.project / "models/history").symlink_to(sandbox.outside / "history")
    (sandbox.outside / "history/.notes-12345678").write_text("mine")
    (sandbox.project / "models/.notes-12345678").write_text("mine")
    sandbox.runs("champion", "show")
    sandbox.runs("champion", "history")
    assert (sandbox.project / "models/.notes-12345678").exists()


LINKED = ["run.json", "metrics.jsonl", "predictions.csv", "experiment.py"]


@pytest.mark.skipif(os.name == "nt", reason="a link takes a privilege there")
@pytest.mark.parametrize("name", LINKED)
def test_what_a_link_leads_to_does_not_get_into_models(sandbox: Sandbox, scenery: Path, name: str) -> None:
    (sandbox.run / name).unlink()
    (sandbox.run / name).symlink_to(sandbox.outside / "keep.txt")
    outcome = sandbox.runs("champion", "promote", sandbox.run, "--data", scenery, "--force")
    assert (outcome.code, len(outcome.error_lines)) == (2, 3), outcome.err
    assert b"mine" not in [path.read_bytes() for path in sandbox.project.glob("models/**/*") if path.is_file()]


@pytest.mark.skipif(os.name == "nt", reason="a link takes a privilege there")
@pytest.mark.parametrize("link", ["models", "models/history", "models/history/002"])
def test_models_behind_a_link_are_not_written(sandbox: Sandbox, champions: Path, scenery: Path, link: str) -> None:
    if link != "models":
        shutil.copytree(champions, sandbox.project / "models")
    if link == "models/history":
        shutil.rmtree(sandbox.project / link)
    (sandbox.outside / "experiment.py").write_text("mine")
    (sandbox.project / link).symlink_to(sandbox.outside)
    outcome = sandbox.runs("champion", "promote", sandbox.run, "--data", scenery, "--force")
    if link != "models/history/002":
        assert (outcome.code, len(outcome.error_lines)) == (2, 3), outcome.err
    sandbox.runs("champion", "rollback")


@pytest.mark.slow
def test_a_folder_of_a_large_number_does_not_end_the_history(sandbox: Sandbox, champions: Path, scenery: Path) -> None:
    shutil.copytree(champions, sandbox.project / "models")
    (sandbox.project / "models/history/9999999").mkdir()
    sandbox.runs("champion", "promote", sandbox.run, "--data", scenery, "--force")
    assert sandbox.runs("champion", "history").code == 0
