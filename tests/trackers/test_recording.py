"""Runs whose folder cannot be written any more."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from harness.errors import StorageError, storage_errors
from harness.runs.record_parts import Status
from harness.runs.run_folder import RunFolder
from harness.trackers import recording as module
from harness.trackers.recording import recording
from harness.util.console import only_a_picture
from tests.toy import run_record


def fill(path: Path) -> None:
    with storage_errors(path):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_recording_names_the_resume_command_and_draws_nothing_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "draw_run", lambda _: pytest.fail("plots"))
    folder = RunFolder.create(Path("runs"), run_record())
    folder.keep_copy(b"")
    with pytest.raises(StorageError) as full, recording(folder, []):
        fill(folder.path / "checkpoints/fold1.pt")
    assert full.value.fix == f"make room (df -h {folder.path}), then harness resume {folder.id}"
    assert RunFolder.open(folder.path).record.status is Status.FAILED


def test_recording_blames_the_disk_even_if_the_record_cannot_be_written(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, run_record())
    (folder.path / "run.json").unlink()
    (folder.path / "run.json").mkdir()
    with pytest.raises(StorageError, match=r"fold1\.pt"), recording(folder, [], pictures=False):
        fill(folder.path / "fold1.pt")


def test_recording_warns_if_a_finished_run_cannot_record_its_trackers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder.create(tmp_path, run_record())

    def replace_record(_: RunFolder) -> None:
        (folder.path / "run.json").rename(folder.path / "kept.json")
        (folder.path / "run.json").mkdir()

    monkeypatch.setattr(module, "draw_run", replace_record)
    with recording(folder, ["tensorboard"]):
        pass
    assert "so it does not record what the trackers have" in capsys.readouterr().err
    assert '"finished"' in (folder.path / "kept.json").read_text()


def test_only_a_picture_names_a_full_disk_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, not one for each plot (rclone/rclone #4998)."""
    for name in ("a.png", "b.png", "c.png"):
        with only_a_picture():
            fill(tmp_path / name)
    assert capsys.readouterr().err.count("plots are missing") == 1
