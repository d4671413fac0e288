"""The checks of machine, stores and repository, and the command `harness doctor`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.doctor import checks, machine, repository, stores
from harness.doctor.finding import OK, PROBLEM, WARNING, Finding
from harness.doctor.hook import install_hook
from harness.errors import DataError
from tests.conftest import Outcome
from tests.doctor.conftest import git, only, words

Call = Callable[..., Outcome]
TOKEN = "ghp_" + "a1B2" * 9
SUBJECTS = [
    "python",
    "packages",
    "device",
    "disk, runs",
    "disk, cache",
    "data",
    "remote",
    "mlflow",
    "tensorboard",
    "git hook",
    "secrets",
]


def test_mlflow_accepts_a_missing_store_and_does_not_create_it(folder: Path) -> None:
    assert only(stores.mlflow()).word == OK
    assert list(folder.iterdir()) == []


def test_mlflow_reports_a_damaged_store(folder: Path) -> None:
    (folder / "mlflow.db").write_bytes(b"this is no database, and never was one" * 100)
    finding = only(stores.mlflow())
    assert (finding.word, "damaged" in finding.text) == (PROBLEM, True)
    assert finding.fix.startswith("mv mlflow.db")


@pytest.mark.parametrize(
    ("statements", "text", "fix"),
    [
        ("UPDATE alembic_version SET version_num = '75868b020152'", "is incomplete and has no runs", "unfinished"),
        (
            "UPDATE alembic_version SET version_num = '75868b020152'; INSERT INTO runs (run_uuid) VALUES ('a')",
            "has an earlier schema (75868b020152)",
            "mlflow.db.before-75868b020152, then migrates it",
        ),
        (
            "UPDATE alembic_version SET version_num = 'fedcba987654'",
            "a newer version of MLflow made it (schema fedcba987654)",
            "pip install --upgrade mlflow",
        ),
        ("DROP TABLE experiments", "it is the database of another program", "sqlite:///harness-mlflow.db"),
    ],
)
def test_mlflow_describes_an_unusable_store_and_does_not_change_it(
    folder: Path, new_database: Path, statements: str, text: str, fix: str
) -> None:
    shutil.copy(new_database, folder / "mlflow.db")
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.executescript(f"PRAGMA foreign_keys = OFF; {statements};")
    content = (folder / "mlflow.db").read_bytes()
    finding = only(stores.mlflow())
    assert text in finding.text
    assert fix in finding.fix
    assert ((folder / "mlflow.db").read_bytes(), len(list(folder.iterdir()))) == (content, 1)


def test_mlflow_hides_the_password_of_a_working_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(stores, "require_usable", lambda uri: asked.append(uri) or [])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:hunter2@example.org")
    finding = only(stores.mlflow())
    assert (finding.word, finding.text) == (OK, "https://example.org answers")
    assert asked == ["https://me:hunter2@example.org"]


def test_mlflow_and_tensorboard_warn_if_they_are_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "installed", lambda name: False)
    assert {**words(stores.mlflow()), **words(stores.tensorboard())} == {"mlflow": WARNING, "tensorboard": WARNING}


def test_tensorboard_counts_the_runs(folder: Path) -> None:
    assert "nothing to show yet" in only(stores.tensorboard()).text
    for name in ("one", "two"):
        (folder / "runs/tiny" / name).mkdir(parents=True)
        (folder / "runs/tiny" / name / "events.out.tfevents.1.host").write_bytes(b"")
    assert only(stores.tensorboard()).text == "2 runs to show"


def test_python_reports_a_missing_package_and_an_old_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert words(machine.python()) == {"python": OK, "packages": OK}
    monkeypatch.setattr(machine, "NEEDED", ("torch", "no-such-package-of-ours"))
    monkeypatch.setattr(machine, "OLDEST", (99, 0))
    assert words(machine.python()) == {"python": PROBLEM, "packages": PROBLEM}
    *_, packages = machine.python()
    assert packages.fix == "pip install no-such-package-of-ours"


def test_device_reports_the_device_and_its_dtype() -> None:
    finding = only(machine.device())
    assert (finding.word, finding.text.startswith("cpu (")) == (OK, True)


@pytest.mark.parametrize(("free", "word"), [(50e9, OK), (2e9, WARNING), (1e8, PROBLEM)])
def test_disk_reports_a_nearly_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch, free: float, word: str) -> None:
    usage = namedtuple("usage", "free")(free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setenv("HARNESS_CACHE", str(folder / "not/there/yet"))
    assert words(machine.disk()) == {"disk, runs": word, "disk, cache": word}
    assert not (folder / "not").exists()


def test_disk_reports_a_read_only_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert words(machine.disk()) == {"disk, runs": PROBLEM, "disk, cache": PROBLEM}


def test_hook_warns_once_outside_git(folder: Path) -> None:
    assert words(repository.hook()) == {"git": WARNING}
    assert list(repository.secrets()) == []


def test_hook_warns_until_the_hook_is_installed_and_executable(repo: Path) -> None:
    missing = only(repository.hook())
    assert (missing.word, missing.fix) == (WARNING, "harness doctor --install-hook")
    path = install_hook()
    assert only(repository.hook()).word == OK
    path.chmod(0o644)
    assert only(repository.hook()).word == WARNING
    path.chmod(0o755)
    path.write_text("#!/bin/sh\nmake lint\n")
    assert only(repository.hook()).word == WARNING


def test_secrets_reports_a_key_in_the_tree_and_what_to_do_first(repo: Path) -> None:
    assert only(repository.secrets()).word == OK
    (repo / "key.txt").write_text(f"\n{TOKEN}\n")
    finding = only(repository.secrets())
    assert (finding.subject, finding.word) == ("secrets", PROBLEM)
    assert finding.text == "GitHub Token in key.txt, line 2"
    assert finding.fix == "move it out of the project"
    git("add", "key.txt")
    finding = only(repository.secrets())
    assert finding.fix.startswith("first revoke it")
    assert "git rm --cached key.txt, and move it out" in finding.fix


def test_secrets_reports_a_key_that_is_only_in_the_history(repo: Path) -> None:
    (repo / "key.txt").write_text(TOKEN)
    git("add", "-A")
    git("commit", "-qm", "x")
    assert words(repository.secrets()) == {"secrets": PROBLEM, "secrets, history": PROBLEM}
    git("rm", "-q", "key.txt")
    git("commit", "-qm", "x")
    finding = only(repository.secrets())
    assert (finding.subject, finding.word) == ("secrets, history", PROBLEM)
    assert "key.txt, line 1, commit " in finding.text
    assert "git filter-repo --force --invert-paths --path key.txt; " in finding.fix


def test_secrets_names_some_places_and_counts_the_others(repo: Path) -> None:
    for number in range(repository.MOST + 3):
        (repo / f"key{number}.txt").write_text(TOKEN)
    assert only(repository.secrets()).text.endswith("line 1, and 3 more")


def test_secrets_warns_if_the_search_fails(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(*_: object) -> list[object]:
        raise DataError("what", "why", "fix")

    monkeypatch.setattr("harness.doctor.leaks.in_tree", search)
    assert only(repository.secrets()).word == WARNING


def test_run_checks_reports_a_check_that_raises_and_runs_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def first() -> Iterator[Finding]:
        yield Finding("first", OK, "fine")
        raise KeyError("what\na library raises")

    def second() -> Iterator[Finding]:
        raise DataError("what", "why", "fix")

    def silent() -> Iterator[Finding]:
        raise RuntimeError

    def last() -> Iterator[Finding]:
        yield Finding("last", OK, "fine")

    monkeypatch.setattr(checks, "CHECKS", (first, second, silent, last))
    findings = list(checks.run_checks())
    assert [(finding.subject, finding.word) for finding in findings] == [
        ("first", OK),
        ("first", PROBLEM),
        ("second", PROBLEM),
        ("silent", PROBLEM),
        ("last", OK),
    ]
    assert findings[1].text.startswith("KeyError: ")
    assert (findings[2].text, findings[2].fix) == ("what: why", "fix")
    assert findings[3].text == "RuntimeError: RuntimeError"


def test_doctor_exits_with_0_if_there_are_only_warnings(repo: Path, call: Call) -> None:
    outcome = call("doctor")
    assert (outcome.code, outcome.err) == (0, ""), outcome.out
    assert outcome.out.splitlines()[-1].startswith("no problems; ")
    subjects = [line[9:25].strip() for line in outcome.out.splitlines()[:-2] if line[:8].strip()]
    assert subjects == SUBJECTS
    fixes = [line for line in outcome.out.splitlines() if line.strip().startswith("try: ")]
    assert len(fixes) == sum(line.startswith("warning") for line in outcome.out.splitlines()) > 0


def test_doctor_suggests_nothing_if_all_is_ok(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKS", (lambda: iter([Finding("one", OK, "fine", "not shown")]),))
    outcome = call("doctor")
    assert (outcome.code, outcome.out) == (0, "ok       one              fine\n\neverything works\n")


@pytest.mark.parametrize(("count", "summary"), [(1, "1 warning"), (2, "2 warnings")])
def test_doctor_counts_warnings(call: Call, monkeypatch: pytest.MonkeyPatch, count: int, summary: str) -> None:
    monkeypatch.setattr(checks, "CHECKS", (lambda: iter([Finding("one", WARNING, "odd", "mend it")]),) * count)
    assert call("doctor").out.splitlines()[-1] == f"no problems; {summary}"


def test_doctor_prints_the_findings_as_json(repo: Path, call: Call) -> None:
    outcome = call("doctor", "--json")
    output = json.loads(outcome.out)
    assert (outcome.code, output["ok"]) == (0, True)
    assert [finding["subject"] for finding in output["findings"]] == SUBJECTS
    for finding in output["findings"]:
        assert finding.keys() == {"subject", "word", "text", "fix"}
        assert finding["word"] in (OK, WARNING, PROBLEM)
        assert bool(finding["fix"]) == (finding["word"] != OK), finding


def test_doctor_exits_with_5_for_a_problem_after_all_findings(repo: Path, call: Call) -> None:
    (repo / "key.txt").write_text(TOKEN)
    outcome = call("doctor")
    assert (outcome.code, len(outcome.error_lines)) == (5, 3)
    assert f"1 of {len(SUBJECTS)} findings are problems" in outcome.err
    assert outcome.error_lines[1:] == ["  why: secrets", "  try: the command below each problem"]
    assert "nothing is broken" not in outcome.out
    assert TOKEN not in outcome.out + outcome.err
    as_json = call("doctor", "--json")
    assert (as_json.code, json.loads(as_json.out)["ok"]) == (5, False)


def test_doctor_with_secrets_searches_only_for_secrets(repo: Path, call: Call) -> None:
    clean = call("doctor", "--secrets")
    assert clean.code == 0
    (line,) = clean.out.splitlines()
    assert line.split()[:2] == ["ok", "secrets"]
    (repo / "key.txt").write_text(TOKEN)
    outcome = call("doctor", "--secrets", "--json")
    assert outcome.code == 5
    assert [finding["subject"] for finding in json.loads(outcome.out)["findings"]] == ["secrets"]


def test_doctor_with_staged_searches_only_the_next_commit(repo: Path, call: Call) -> None:
    (repo / "key.txt").write_text(TOKEN)
    clean = call("doctor", "--staged")
    assert (clean.code, clean.out, clean.err) == (0, "", "")
    git("add", "key.txt")
    refused = call("doctor", "--staged")
    assert (refused.code, refused.out, len(refused.error_lines)) == (2, "", 3)
    assert "GitHub Token in key.txt, line 1" in refused.err
    assert "git rm --cached key.txt" in refused.err
    assert TOKEN not in refused.err


def test_doctor_with_secrets_reports_a_failed_search(folder: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = call("doctor", "--secrets")
    assert (outcome_words(outside), outside.code) == (["problem", "secrets"], 5)
    monkeypatch.setenv("PATH", str(folder))
    without_git = call("doctor", "--secrets")
    assert (outcome_words(without_git), without_git.code) == (["problem", "secrets"], 5)
    assert "git cannot be run" in without_git.out


def outcome_words(outcome: Outcome) -> list[str]:
    return outcome.out.split()[:2]
