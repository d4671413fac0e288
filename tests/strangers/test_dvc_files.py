"""`.dvc` files, DVC's lists of files, and a champion, as somebody could send them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.data.decode import decode
from harness.util.files import md5_of
from tests.conftest import track_by_dvc
from tests.strangers.conftest import Sandbox

MD5 = "d41d8cd98f00b204e9800998ecf8427e"
HUGE = 10**400
OUTS: list[dict[str, Any]] = [
    *({"md5": value} for value in ("..//{outside}/keep.txt", "../../../outside/keep.txt", "/etc/passwd", "--help")),
    *({"md5": value} for value in ("{outside}/keep.txt", f"{MD5}.dir/../../x", MD5.upper(), f"{MD5}\n", "", 7, None)),
    *({"path": value} for value in ("../outside/a/b", "{outside}/b", "a/../../outside/b", "..", "/", "", 7, None)),
    *({"path": value} for value in (".", "a\0b", "C:\\x", "\\\\host\\share", "..\\x", ".git/hooks", ".GIT/hooks")),
    *({"path": value} for value in ("sub/.git/hooks", ".dvc/config.local", ".harness/runs.jsonl", "experiments/x.py")),
    *({"path": value} for value in ("\ud800", "x" * 300, ".envrc", ".github/workflows/x.yml")),
    *({"nfiles": value} for value in (-1, "0", HUGE, 1.5)),
]
CONTENTS = [
    "outs: 7",
    "outs: []",
    "outs: {md5: 1}",
    "[]",
    "7",
    "wdir: ..\nouts: [{md5: {md5}, path: b, nfiles: 0}]",
    "wdir: /\nouts: [{md5: {md5}, path: b, nfiles: 0}]",
    "wdir: 7\nouts: [{md5: {md5}, path: b, nfiles: 0}]",
    "deps: [{repo: {url: '/x'}, path: y}]\nouts: [{md5: {md5}, path: b}]",
    "cmd: touch {canary}\nouts: [{md5: {md5}, path: b}]",
    "outs: [{md5: {md5}, path: b, remote: theirs}]",
    "outs: [{md5: {md5}, path: b, files: [{relpath: ../x, md5: y}]}]",
    "!!python/object/apply:os.system ['touch {canary}']",
    "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\nouts: [{md5: *c, path: b}]",
    "outs: " + "[" * 5000,
    "x" * 2_000_000,
]


@pytest.fixture
def tracked(sandbox: Sandbox) -> Sandbox:
    """The sandbox as a DVC project, with a remote that is a folder in it, and the folder `kept` tracked."""
    (sandbox.project / "kept").mkdir()
    (sandbox.project / "kept/a.txt").write_text("a")
    track_by_dvc(sandbox.project, "kept")
    remote = sandbox.project / "remote"
    (sandbox.project / ".dvc/config").write_text(
        f"[core]\n    no_scm = True\n    remote = r\n['remote \"r\"']\n    url = {remote}\n"
    )
    assert sandbox.runs("data", "push").code == 0
    return sandbox


def refused(sandbox: Sandbox, code: int = 4) -> None:
    """Each command about the file `b.dvc` is refused in three lines."""
    for command in (["pull", "b"], ["pull", "--force", "b"], ["ready", "b"], ["status", "b"], ["push", "b"]):
        outcome = sandbox.runs("data", *command)
        if command[0] != "status" or outcome.code:  # what is only not pulled has a state
            assert (outcome.code, len(outcome.error_lines)) == (code, 3), (command, outcome.err)
    assert not (sandbox.project / ".git").exists()
    assert not (sandbox.project / "b").exists()
    assert [path.name for path in (sandbox.project / "experiments").iterdir()] == []


@pytest.mark.parametrize("change", OUTS, ids=lambda change: ascii(change)[:50])
def test_a_dvc_file_with_a_field_of_another_form_is_refused(tracked: Sandbox, change: dict[str, Any]) -> None:
    (value,) = change.values()
    value = value.replace("{outside}", str(tracked.outside)) if isinstance(value, str) else value
    out = {"md5": f"{MD5}.dir", "path": "b", "nfiles": 0, "size": 0, "hash": "md5"} | dict.fromkeys(change, value)
    (tracked.project / "b.dvc").write_text(yaml.safe_dump({"outs": [out]}))
    refused(tracked)


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: ascii(content)[:50])
def test_a_dvc_file_that_is_none_or_asks_for_more_is_refused(tracked: Sandbox, content: str) -> None:
    (tracked.project / "b.dvc").write_text(content.replace("{canary}", str(tracked.canary)).replace("{md5}", MD5))
    for command in (["pull", "b"], ["pull", "--force", "b"]):
        outcome = tracked.runs("data", *command)
        assert (outcome.code, len(outcome.error_lines)) == (4, 3), outcome.err
    tracked.runs("data", "status")
    assert not (tracked.project / "b").exists()


LISTED: list[dict[str, Any]] = [
    *({"relpath": value} for value in ("../../outside/keep.txt", "{outside}/keep.txt", "a/../../x", "..", "")),
    *({"relpath": value} for value in ("a\0b", 7, "x" * 300)),
    *({"relpath": value} for value in (("..\\x", "C:\\x") if os.name == "nt" else ())),  # names like others elsewhere
    *({"md5": value} for value in ("../../../../outside/keep.txt", "{outside}/keep.txt", "0/1", 7, f"{MD5}.dir")),
]


@pytest.mark.parametrize("change", LISTED, ids=lambda change: ascii(change)[:50])
@pytest.mark.parametrize("where", ["remote", "cache"])
def test_a_list_of_files_that_leads_elsewhere_is_not_followed(
    tracked: Sandbox, change: dict[str, Any], where: str
) -> None:
    (value,) = change.values()
    value = value.replace("{outside}", str(tracked.outside)) if isinstance(value, str) else value
    entry = {"md5": MD5, "relpath": "a.txt"} | dict.fromkeys(change, value)
    content = json.dumps([entry]).encode()
    md5 = md5_of(content)
    folder = tracked.project / {"remote": "remote/files/md5", "cache": ".dvc/cache/files/md5"}[where]
    for name, data in {f"{md5}.dir": content, MD5: b""}.items():
        (folder / name[:2]).mkdir(parents=True, exist_ok=True)
        (folder / name[:2] / name[2:]).write_bytes(data)
    (tracked.project / "b.dvc").write_text(yaml.safe_dump({"outs": [{"md5": f"{md5}.dir", "path": "b"}]}))
    outcome = tracked.runs("data", "pull", "b")
    assert (outcome.code, len(outcome.error_lines)) == (4, 3), outcome.err
    assert "not used" in outcome.err
    assert not (tracked.project / "b").exists()


@pytest.mark.skipif(os.name == "nt", reason="a link takes a privilege there")
@pytest.mark.parametrize("link", ["kept", "kept/sub"])
def test_what_is_pulled_is_not_written_through_a_link(tracked: Sandbox, link: str) -> None:
    (tracked.project / "kept/sub").mkdir()
    (tracked.project / "kept/sub/keep.txt").write_text("of the data")
    assert tracked.runs("data", "track", "kept").code == 0
    shutil.rmtree(tracked.project / link)
    (tracked.project / link).symlink_to(tracked.outside)
    outcome = tracked.runs("data", "pull", "--force", "kept")
    assert (outcome.code, len(outcome.error_lines)) == (4, 3), outcome.err
    assert "not written to" in outcome.err


@pytest.mark.skipif(os.name == "nt", reason="a link takes a privilege there")
@pytest.mark.parametrize("leads_to", [".git/hooks", "experiments", ".dvc", "../outside"])
def test_what_is_pulled_does_not_get_where_programs_run_it(tracked: Sandbox, leads_to: str) -> None:
    """As in https://github.com/treeverse/dvc/issues/11101: a link in the project, and an output below it."""
    (tracked.project / ".git/hooks").mkdir(parents=True)
    (tracked.project / "link").symlink_to(leads_to)
    content = b"#!/bin/sh\n"
    md5 = md5_of(content)
    (tracked.project / "remote/files/md5" / md5[:2]).mkdir(exist_ok=True)
    (tracked.project / "remote/files/md5" / md5[:2] / md5[2:]).write_bytes(content)
    (tracked.project / "b.dvc").write_text(yaml.safe_dump({"outs": [{"md5": md5, "path": "link/pre-commit"}]}))
    outcome = tracked.runs("data", "pull", "b")
    assert (outcome.code, len(outcome.error_lines)) == (4, 3), outcome.err
    assert not (tracked.project / leads_to / "pre-commit").exists()


@pytest.mark.skipif(os.name == "nt", reason="a link takes a privilege there")
def test_files_behind_a_link_are_not_removed_by_a_pull(tracked: Sandbox) -> None:
    (tracked.project / "kept/more").symlink_to(tracked.outside)  # in no version, and in the way of none
    tracked.runs("data", "pull", "--force", "kept")
    assert tracked.contents() == tracked.before


PROGRAMS = [
    "torchvision.py",
    "conftest.py",
    "setup.cfg",
    "params.yaml",
    "mlflow.db",
    "harness",
    "tests",
    "makefile",
    "x.so",
]


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_is_pulled_to_where_programs_look_for_what_to_do(tracked: Sandbox, name: str) -> None:
    content = b"raise SystemExit"
    md5 = md5_of(content)
    (tracked.project / "remote/files/md5" / md5[:2]).mkdir(exist_ok=True)
    (tracked.project / "remote/files/md5" / md5[:2] / md5[2:]).write_bytes(content)
    file = tracked.project / f"{name}.dvc"
    file.write_text(yaml.safe_dump({"outs": [{"md5": md5, "path": name, "hash": "md5"}]}))
    for force in ([], ["--force"]):
        outcome = tracked.runs("data", "pull", *force, f"{name}.dvc")
        assert (outcome.code, len(outcome.error_lines)) == (4, 3), outcome.err
    assert not (tracked.project / name).exists()
    (tracked.project / "notes.dvc").write_text(file.read_text().replace(name, "other.txt"))
    assert "stands beside no such path" in tracked.runs("data", "pull", "notes.dvc").err


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
    from harness.workflows.promote import promote

    home = tmp_path_factory.mktemp("champions")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        shutil.copytree(stranger / "runs", home / "runs")
        (run,) = (home / "runs/tiny").iterdir()
        promote(str(run), str(scenery), force=True)
    return home / "models"


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


def test_a_folder_of_a_large_number_does_not_end_the_history(sandbox: Sandbox, champions: Path, scenery: Path) -> None:
    shutil.copytree(champions, sandbox.project / "models")
    (sandbox.project / "models/history/9999999").mkdir()
    sandbox.runs("champion", "promote", sandbox.run, "--data", scenery, "--force")
    assert sandbox.runs("champion", "history").code == 0


def test_an_image_that_would_run_a_program_is_not_opened(sandbox: Sandbox) -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    with pytest.raises(OSError, match="cannot identify"):
        decode(eps)


STUDY: list[tuple[str, Any]] = [
    *(("name", value) for value in ("../x", 7)),
    *(("experiment_name", value) for value in ("../x", None)),
    *(("id", value) for value in ("x' or 'a' = 'a", 7)),
    *(("found", value) for value in (7, {"best": {"trial": "../../x"}}, {"best": {"trial": 10**9}})),
    *(("started", value) for value in ("yesterday", 7)),
    *(("trials", value) for value in (-1, "x")),
    *(("status", value) for value in ("\x1b[2J", 7)),
]


@pytest.mark.parametrize(("field", "value"), STUDY, ids=lambda value: ascii(value)[:40])
def test_a_study_with_a_field_of_another_form_is_left_out(sandbox: Sandbox, field: str, value: Any) -> None:
    folder = sandbox.project / "runs/tiny/study-x"
    folder.mkdir()
    record = {
        "name": "x",
        "experiment_name": "tiny",
        "status": "finished",
        "started": "2026-01-01T00:00:00",
        "id": "ab",
    }
    (folder / "study.json").write_text(json.dumps(record))
    assert "study x" in sandbox.runs("list").out
    sandbox.change(folder / "study.json", field, value)
    outcome = sandbox.runs("list")
    assert outcome.code == 0
    assert "study x" not in outcome.out
