"""`.dvc` files and DVC's lists of files, as somebody could send them."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

import pytest
import yaml

from harness.util.files import md5_of
from tests.conftest import track_by_dvc, write_files
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
    *({"relpath": value} for value in ("a\0b", 7, "x" * 300, ".git/hooks/pre-commit", "sub/.GIT/config")),
    *({"relpath": value} for value in (("..\\x", "C:\\x") if os.name == "nt" else ())),  # names like others elsewhere
    *({"md5": value} for value in ("../../../../outside/keep.txt", "{outside}/keep.txt", "0/1", 7, f"{MD5}.dir")),
]


@pytest.mark.parametrize("change", LISTED, ids=lambda change: ascii(change)[:50])
@pytest.mark.parametrize("where", ["remote of DVC 2", "cache of DVC 3"])
def test_a_list_of_files_that_leads_elsewhere_is_not_followed(
    tracked: Sandbox, change: dict[str, Any], where: str
) -> None:
    (value,) = change.values()
    value = value.replace("{outside}", str(tracked.outside)) if isinstance(value, str) else value
    entry = {"md5": MD5, "relpath": "a.txt"} | dict.fromkeys(change, value)
    content = json.dumps([entry]).encode()
    md5 = md5_of(content)
    folder, said = (".dvc/cache/files/md5", {"hash": "md5"}) if "3" in where else ("remote", {})
    for name, data in {f"{md5}.dir": content, MD5: b""}.items():
        write_files(tracked.project / folder, {f"{name[:2]}/{name[2:]}": data})
    (tracked.project / "b.dvc").write_text(yaml.safe_dump({"outs": [{"md5": f"{md5}.dir", "path": "b"} | said]}))
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
    assert "is not next to that path" in tracked.runs("data", "pull", "notes.dvc").err
