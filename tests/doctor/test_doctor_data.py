"""The checks of tracked data, of their remote and of its key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.doctor import checks, data
from harness.doctor.finding import OK, PROBLEM, WARNING, Finding
from harness.versioning.remote import PLACEHOLDER
from tests.doctor.conftest import only, words

SECRET = "Zm9vYmFy" * 8
EMAIL = "robot@ours.iam.gserviceaccount.com"
KEY = {
    "type": "service_account",
    "private_key": "-----BEGIN " + f"PRIVATE KEY-----\n{SECRET}\n-----END " + "PRIVATE KEY-----\n",
    "client_email": EMAIL,
    "token_uri": "https://oauth2.googleapis.com/token",
}


def set_remote(folder: Path, url: str, options: str = "", local: str = "") -> None:
    (folder / ".dvc").mkdir(exist_ok=True)
    section = "['remote \"ours\"']\n"
    (folder / ".dvc/config").write_text(f"[core]\n    remote = ours\n{section}    url = {url}\n{options}")
    (folder / ".dvc/config.local").write_text(f"{section}{local}" if local else "")


def test_tracked_compares_data_with_the_dvc_file(repo: Path) -> None:
    clean = only(data.tracked())
    assert (clean.subject, clean.word) == ("data", OK)
    assert "clean, 1 files" in clean.text
    (repo / "data/a.txt").write_bytes(b"b")
    differs = only(data.tracked())
    fix = "harness data track data, to save it as a new version; or harness data pull --force data, to discard it"
    assert (differs.word, differs.fix) == (WARNING, fix)
    assert differs.text.startswith("differs")
    shutil.rmtree(repo / "data")
    absent = only(data.tracked())
    assert (absent.word, absent.fix) == (WARNING, "harness data ready data")
    assert absent.text.startswith("absent")


def test_tracked_has_a_finding_per_folder_and_reports_a_damaged_file(repo: Path) -> None:
    (repo / "models.dvc").write_text("<<<<<<< HEAD\n")
    findings = {finding.subject: finding for finding in data.tracked()}
    assert (findings["data"].word, findings["models"].word) == (OK, PROBLEM)
    assert "git checkout models.dvc" in findings["models"].fix


def test_tracked_warns_if_nothing_is_tracked(folder: Path) -> None:
    (folder / ".dvc").mkdir()
    finding = only(data.tracked())
    assert (finding.word, finding.fix) == (WARNING, "harness data track data")


def test_remote_warns_if_there_is_none_or_only_a_placeholder(folder: Path) -> None:
    finding = only(data.remote())
    assert (finding.word, "there is none" in finding.text) == (WARNING, True)
    set_remote(folder, f"gdrive://{PLACEHOLDER}", "    gdrive_use_service_account = true\n")
    finding = only(data.remote())
    assert (finding.word, "placeholder" in finding.text) == (WARNING, True)
    assert "harness data remote" in finding.fix


def test_remote_in_a_folder_needs_no_credentials(folder: Path, tmp_path: Path) -> None:
    set_remote(folder, str(tmp_path))
    finding = only(data.remote())
    assert (finding.word, finding.text) == (OK, f"ours: {tmp_path}")
    set_remote(folder, str(tmp_path / "not mounted"))
    finding = only(data.remote())
    assert (finding.word, "there is no folder" in finding.text) == (WARNING, True)


def test_remote_of_a_user_needs_no_key(folder: Path) -> None:
    set_remote(folder, "gdrive://1aTeamFolderOfOurs0000")
    assert words(data.remote()) == {"remote": OK, "credentials": OK}


def test_remote_hides_the_password_of_an_address(folder: Path) -> None:
    set_remote(folder, "https://me:hunter2@example.org/data")
    assert "hunter2" not in only(data.remote()).text


def test_remote_warns_if_dvc_or_its_driver_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "find_spec", lambda name: None)
    set_remote(folder, "gdrive://1aTeamFolderOfOurs0000", "    gdrive_use_service_account = true\n")
    assert words(data.remote()) == {"dvc": WARNING, "remote": OK, "gdrive": PROBLEM, "credentials": WARNING}


def key_findings(folder: Path, local: str = "") -> list[Finding]:
    set_remote(folder, "gdrive://1aTeamFolderOfOurs0000", "    gdrive_use_service_account = true\n", local)
    return [finding for finding in data.remote() if finding.subject in ("credentials", "push")]


def test_remote_warns_if_the_key_is_missing(folder: Path) -> None:
    (finding,) = key_findings(folder)
    assert (finding.word, "no key" in finding.text) == (WARNING, True)
    assert "--service-account FILE" in finding.fix


def test_remote_shows_the_email_of_a_valid_key_and_not_the_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDRIVE_CREDENTIALS_DATA", json.dumps(KEY))
    valid, limits = key_findings(folder)
    assert (valid.subject, valid.word) == ("credentials", OK)
    assert (limits.subject, limits.word) == ("push", WARNING)
    assert EMAIL in valid.text
    assert "$GDRIVE_CREDENTIALS_DATA" in valid.text
    assert "cannot push" in limits.text
    assert SECRET not in valid.text + limits.text


def test_remote_prefers_a_key_file_to_the_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDRIVE_CREDENTIALS_DATA", json.dumps(KEY | {"client_email": "other@example.org"}))
    path = folder.parent / "key.json"
    path.write_text(json.dumps(KEY))
    valid, _ = key_findings(folder, f"    gdrive_service_account_json_file_path = {path}\n")
    assert EMAIL in valid.text
    assert str(path) in valid.text


@pytest.mark.parametrize("text", ["{", json.dumps({"type": "authorized_user", "refresh_token": SECRET}), SECRET])
def test_remote_reports_an_invalid_key_and_does_not_show_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("GDRIVE_CREDENTIALS_DATA", text)
    (finding,) = key_findings(folder)
    assert finding.word == PROBLEM
    assert SECRET not in finding.text + finding.fix


def test_remote_reports_a_damaged_configuration_of_dvc(folder: Path) -> None:
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core\n")
    finding = {each.subject: each for each in checks.run_checks()}["remote"]
    assert (finding.word, "cannot be read" in finding.text) == (PROBLEM, True)
