"""The other checks, as far as what they look for can be brought about, and the verb that shows them all."""

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


def test_a_store_that_is_not_there_yet_is_none_the_worse_and_is_not_made(folder: Path) -> None:
    assert only(stores.mlflow()).word == OK
    assert list(folder.iterdir()) == []


def test_a_damaged_store_is_a_problem(folder: Path) -> None:
    (folder / "mlflow.db").write_bytes(b"this is no database, and never was one" * 100)
    finding = only(stores.mlflow())
    assert (finding.word, "damaged" in finding.text) == (PROBLEM, True)
    assert finding.fix.startswith("mv mlflow.db")


@pytest.mark.parametrize(
    ("statements", "text", "fix"),
    [
        ("UPDATE alembic_version SET version_num = '75868b020152'", "is half made and holds no runs", "unfinished"),
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
def test_a_store_that_cannot_be_used_is_described_and_left_as_it_is(
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


def test_a_store_that_answers_is_fine_and_a_password_in_its_address_is_not_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(stores, "require_usable", lambda uri: asked.append(uri) or [])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:hunter2@example.org")
    finding = only(stores.mlflow())
    assert (finding.word, finding.text) == (OK, "https://example.org answers")
    assert asked == ["https://me:hunter2@example.org"]


def test_trackers_that_are_not_installed_are_missed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "installed", lambda name: False)
    assert {**words(stores.mlflow()), **words(stores.tensorboard())} == {"mlflow": WARNING, "tensorboard": WARNING}


def test_the_runs_that_tensorboard_would_show_are_counted(folder: Path) -> None:
    assert "nothing to show yet" in only(stores.tensorboard()).text
    for name in ("one", "two"):
        (folder / "runs/tiny" / name).mkdir(parents=True)
        (folder / "runs/tiny" / name / "events.out.tfevents.1.host").write_bytes(b"")
    assert only(stores.tensorboard()).text == "2 runs to show"


def test_a_missing_package_and_an_old_python_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    assert words(machine.python()) == {"python": OK, "packages": OK}
    monkeypatch.setattr(machine, "NEEDED", ("torch", "no-such-package-of-ours"))
    monkeypatch.setattr(machine, "OLDEST", (99, 0))
    assert words(machine.python()) == {"python": PROBLEM, "packages": PROBLEM}
    *_, packages = machine.python()
    assert packages.fix == "pip install no-such-package-of-ours"


def test_the_device_is_told_with_its_arithmetic() -> None:
    finding = only(machine.device())
    assert (finding.word, finding.text.startswith("cpu (")) == (OK, True)


@pytest.mark.parametrize(("free", "word"), [(50e9, OK), (2e9, WARNING), (1e8, PROBLEM)])
def test_a_disk_that_is_nearly_full(folder: Path, monkeypatch: pytest.MonkeyPatch, free: float, word: str) -> None:
    usage = namedtuple("usage", "free")(free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setenv("HARNESS_CACHE", str(folder / "not/there/yet"))
    assert words(machine.disk()) == {"disk, runs": word, "disk, cache": word}
    assert not (folder / "not").exists()


def test_a_disk_that_may_not_be_written_is_a_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert words(machine.disk()) == {"disk, runs": PROBLEM, "disk, cache": PROBLEM}


def test_a_folder_outside_git_is_told_once(folder: Path) -> None:
    assert words(repository.hook()) == {"git": WARNING}
    assert list(repository.secrets()) == []


def test_the_hook_is_missed_until_it_is_there_and_can_be_executed(repo: Path) -> None:
    missing = only(repository.hook())
    assert (missing.word, missing.fix) == (WARNING, "harness doctor --install-hook")
    path = install_hook()
    assert only(repository.hook()).word == OK
    path.chmod(0o644)
    assert only(repository.hook()).word == WARNING
    path.chmod(0o755)
    path.write_text("#!/bin/sh\nmake lint\n")
    assert only(repository.hook()).word == WARNING


def test_a_key_in_the_tree_is_a_problem_and_one_is_told_what_to_do_first(repo: Path) -> None:
    assert only(repository.secrets()).word == OK
    (repo / "key.txt").write_text(f"\n{TOKEN}\n")
    finding = only(repository.secrets())
    assert (finding.subject, finding.word) == ("secrets", PROBLEM)
    assert finding.text == "GitHub Token in key.txt, line 2"
    assert finding.fix == "move it out of the project"
    git("add", "key.txt")
    finding = only(repository.secrets())
    assert finding.fix.startswith("first make it worthless")
    assert "git rm --cached key.txt, and move it out" in finding.fix


def test_a_key_in_the_history_is_a_problem_also_where_it_is_gone_from_the_tree(repo: Path) -> None:
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


def test_of_many_secrets_some_places_are_named_and_the_rest_counted(repo: Path) -> None:
    for number in range(repository.MOST + 3):
        (repo / f"key{number}.txt").write_text(TOKEN)
    assert only(repository.secrets()).text.endswith("line 1, and 3 more")


def test_a_search_that_fails_is_a_warning_and_no_proof_of_cleanness(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(*_: object) -> list[object]:
        raise DataError("what", "why", "fix")

    monkeypatch.setattr("harness.doctor.leaks.in_tree", search)
    assert only(repository.secrets()).word == WARNING


def test_a_check_that_raises_is_itself_a_finding_and_ends_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_warnings_alone_are_no_failure(repo: Path, call: Call) -> None:
    outcome = call("doctor")
    assert (outcome.code, outcome.err) == (0, ""), outcome.out
    assert outcome.out.splitlines()[-1].startswith("no problems; ")
    subjects = [line[9:25].strip() for line in outcome.out.splitlines()[:-2] if line[:8].strip()]
    assert subjects == SUBJECTS
    fixes = [line for line in outcome.out.splitlines() if line.strip().startswith("try: ")]
    assert len(fixes) == sum(line.startswith("warning") for line in outcome.out.splitlines()) > 0


def test_where_all_is_there_nothing_is_asked_for(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKS", (lambda: iter([Finding("one", OK, "fine", "not shown")]),))
    outcome = call("doctor")
    assert (outcome.code, outcome.out) == (0, "ok       one              fine\n\neverything works\n")


@pytest.mark.parametrize(("count", "summary"), [(1, "1 warning"), (2, "2 warnings")])
def test_warnings_are_counted(call: Call, monkeypatch: pytest.MonkeyPatch, count: int, summary: str) -> None:
    monkeypatch.setattr(checks, "CHECKS", (lambda: iter([Finding("one", WARNING, "odd", "mend it")]),) * count)
    assert call("doctor").out.splitlines()[-1] == f"no problems; {summary}"


def test_the_findings_as_json(repo: Path, call: Call) -> None:
    outcome = call("doctor", "--json")
    output = json.loads(outcome.out)
    assert (outcome.code, output["ok"]) == (0, True)
    assert [finding["subject"] for finding in output["findings"]] == SUBJECTS
    for finding in output["findings"]:
        assert finding.keys() == {"subject", "word", "text", "fix"}
        assert finding["word"] in (OK, WARNING, PROBLEM)
        assert bool(finding["fix"]) == (finding["word"] != OK), finding


def test_a_problem_is_exit_code_5_in_three_lines_and_the_rest_is_shown_nevertheless(repo: Path, call: Call) -> None:
    (repo / "key.txt").write_text(TOKEN)
    outcome = call("doctor")
    assert (outcome.code, len(outcome.error_lines)) == (5, 3)
    assert f"1 of {len(SUBJECTS)} findings are problems" in outcome.err
    assert outcome.error_lines[1:] == ["  why: secrets", "  try: the command below each problem"]
    assert "nothing is broken" not in outcome.out
    assert TOKEN not in outcome.out + outcome.err
    as_json = call("doctor", "--json")
    assert (as_json.code, json.loads(as_json.out)["ok"]) == (5, False)


def test_the_search_for_secrets_alone(repo: Path, call: Call) -> None:
    clean = call("doctor", "--secrets")
    assert clean.code == 0
    (line,) = clean.out.splitlines()
    assert line.split()[:2] == ["ok", "secrets"]
    (repo / "key.txt").write_text(TOKEN)
    outcome = call("doctor", "--secrets", "--json")
    assert outcome.code == 5
    assert [finding["subject"] for finding in json.loads(outcome.out)["findings"]] == ["secrets"]


def test_what_is_about_to_be_committed_alone(repo: Path, call: Call) -> None:
    (repo / "key.txt").write_text(TOKEN)
    clean = call("doctor", "--staged")
    assert (clean.code, clean.out, clean.err) == (0, "", "")
    git("add", "key.txt")
    refused = call("doctor", "--staged")
    assert (refused.code, refused.out, len(refused.error_lines)) == (2, "", 3)
    assert "GitHub Token in key.txt, line 1" in refused.err
    assert "git rm --cached key.txt" in refused.err
    assert TOKEN not in refused.err


def test_a_search_for_secrets_that_cannot_be_made_is_a_problem(
    folder: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = call("doctor", "--secrets")
    assert (outcome_words(outside), outside.code) == (["problem", "secrets"], 5)
    monkeypatch.setenv("PATH", str(folder))
    without_git = call("doctor", "--secrets")
    assert (outcome_words(without_git), without_git.code) == (["problem", "secrets"], 5)
    assert "git cannot be run" in without_git.out


def outcome_words(outcome: Outcome) -> list[str]:
    return outcome.out.split()[:2]
