from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import DataError, HarnessError, StorageError, UsageError, nearest, show_uncaught, storage_errors


def test_an_error_is_three_lines_whatever_its_texts_hold() -> None:
    error = HarnessError("a\nb", "c\n\nd", "e")
    assert str(error).splitlines() == ["error: a b", "  why: c d", "  try: e"]


def test_exit_codes() -> None:
    assert [kind.exit_code for kind in (HarnessError, StorageError, UsageError, DataError)] == [1, 1, 2, 4]


def test_nearest_names_only_what_is_near() -> None:
    assert nearest("epoch", ["epochs", "lr"]) == "; did you mean 'epochs'?"
    assert nearest("zzz", ["epochs", "lr"]) == ""


def test_a_full_disk_is_told_from_a_folder_that_may_not_be_written() -> None:
    with pytest.raises(StorageError, match="cannot be written") as full, storage_errors("runs/x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "make room" in full.value.fix
    with pytest.raises(StorageError) as readonly, storage_errors("runs/x"):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    assert "--runs" in readonly.value.fix


def test_storage_errors_name_a_folder_that_is_there_and_the_command_that_goes_on(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as full, storage_errors(tmp_path / "not/there/x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    full.value.then("harness resume ID")
    assert full.value.fix == f"make room (df -h {tmp_path}), then harness resume ID"
    with pytest.raises(StorageError) as readonly, storage_errors(tmp_path / "x"):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    readonly.value.then("harness sync RUN")
    assert readonly.value.fix == f"make {tmp_path} writable, then harness sync RUN"


@pytest.mark.skipif(os.name == "nt", reason="no statvfs")
def test_storage_errors_say_that_it_is_the_inodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """df -h shows room then (NixOS/nixpkgs #61351)."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_files=9, f_favail=0, f_bavail=9))
    with pytest.raises(StorageError) as full, storage_errors(tmp_path / "x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "df -i" in full.value.fix


def test_show_uncaught_leaves_other_errors_to_the_hook_that_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[type] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, _error, _trace: seen.append(kind))
    show_uncaught()
    show_uncaught()
    sys.excepthook(KeyError, KeyError("x"), None)
    assert seen == [KeyError]


def test_a_bad_field_in_a_script_is_three_lines_and_exit_code_2(tmp_path: Path) -> None:
    script = tmp_path / "bad.py"
    script.write_text("from harness import Experiment\nexperiment = Experiment(learning_rate=1)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert [line.split(":")[0].strip() for line in done.stderr.splitlines()] == ["error", "why", "try"]
    assert "'learning_rate'" in done.stderr
