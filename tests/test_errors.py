from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import DataError, HarnessError, StorageError, UsageError, nearest, show_uncaught, storage_errors


def test_harness_error_prints_three_lines_even_if_its_texts_have_newlines() -> None:
    error = HarnessError("a\nb", "c\n\nd", "e")
    assert str(error).splitlines() == ["error: a b", "  why: c d", "  try: e"]


def test_errors_have_the_documented_exit_codes() -> None:
    assert [kind.exit_code for kind in (HarnessError, StorageError, UsageError, DataError)] == [1, 1, 2, 4]


def test_nearest_suggests_only_similar_words() -> None:
    assert nearest("epoch", ["epochs", "lr"]) == "; did you mean 'epochs'?"
    assert nearest("zzz", ["epochs", "lr"]) == ""


def test_storage_errors_distinguishes_a_full_disk_from_a_read_only_folder() -> None:
    with pytest.raises(StorageError, match="cannot be written") as full, storage_errors("runs/x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "make room" in full.value.fix
    with pytest.raises(StorageError) as readonly, storage_errors("runs/x"):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    assert "--runs" in readonly.value.fix


def test_storage_errors_names_an_existing_folder_and_the_command_to_continue(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as full, storage_errors(tmp_path / "not/there/x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    full.value.then("harness resume ID")
    assert full.value.fix == f"make room (df -h {tmp_path}), then harness resume ID"
    with pytest.raises(StorageError) as readonly, storage_errors(tmp_path / "x"):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    readonly.value.then("harness sync RUN")
    assert readonly.value.fix == f"make {tmp_path} writable, then harness sync RUN"


@pytest.mark.skipif(os.name == "nt", reason="no statvfs")
def test_storage_errors_suggests_df_i_if_no_inode_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this case df -h shows free space (NixOS/nixpkgs #61351)."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_files=9, f_favail=0, f_bavail=9))
    with pytest.raises(StorageError) as full, storage_errors(tmp_path / "x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "df -i" in full.value.fix


def test_show_uncaught_passes_other_errors_to_the_previous_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[type] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, _error, _trace: seen.append(kind))
    show_uncaught()
    show_uncaught()
    sys.excepthook(KeyError, KeyError("x"), None)
    assert seen == [KeyError]


def test_show_uncaught_prints_three_lines_for_an_unknown_field_in_a_script(tmp_path: Path) -> None:
    script = tmp_path / "bad.py"
    script.write_text("from harness import Experiment\nexperiment = Experiment(learning_rate=1)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert [line.split(":")[0].strip() for line in done.stderr.splitlines()] == ["error", "why", "try"]
    assert "'learning_rate'" in done.stderr
