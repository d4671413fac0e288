from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import StorageError
from harness.util.files import append_lines, as_text, file_md5, require_writable, write_whole


def test_write_whole_replaces_a_file_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        write_whole(tmp_path / "new/x", content)
        assert (tmp_path / "new/x").read_bytes() == content
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x"]


def test_write_whole_syncs_the_new_content_before_it_replaces_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"old")
    synced: list[tuple[int, bytes]] = []
    monkeypatch.setattr(
        os, "fsync", lambda file: synced.append((os.fstat(file).st_size, (tmp_path / "x").read_bytes()))
    )
    write_whole(tmp_path / "x", b"longer")
    assert synced == [(6, b"old")]
    assert (tmp_path / "x").read_bytes() == b"longer"


def test_write_whole_raises_if_the_place_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_whole(tmp_path / "file/x", b"")


def test_as_text_shows_a_name_that_is_not_utf8() -> None:
    assert as_text("a\udcff") == "a?"
    assert as_text("ça 森") == "ça 森"


def test_append_lines_starts_a_new_line_after_an_incomplete_one(tmp_path: Path) -> None:
    """Otherwise the new line is lost, too (elizaOS/eliza#30878, Tracer-Cloud/opensre#5750)."""
    path = tmp_path / "log.jsonl"
    append_lines(path, '{"a": 1}')
    with path.open("a") as file:
        file.write('{"a": ')
    append_lines(path, '{"a": 2}', '{"a": 3}')
    assert path.read_text() == '{"a": 1}\n{"a": \n{"a": 2}\n{"a": 3}\n'


LIMITED = """
import resource, sys
from pathlib import Path
from harness.util.files import append_lines
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for _ in range(20):
    append_lines(Path(sys.argv[1]), "0123456789abc")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_append_lines_leaves_no_incomplete_line_on_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "log"
    done = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert path.read_text() == "0123456789abc\n" * 7


def test_require_writable_leaves_no_files(tmp_path: Path) -> None:
    require_writable(tmp_path / "runs/name")
    assert not [*tmp_path.iterdir()]
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot be written"):
        require_writable(tmp_path / "file/below")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_require_writable_refuses_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="cannot be written"):
        require_writable(tmp_path / "runs")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none")
def test_file_md5_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none", Path("/dev/zero")):
        with pytest.raises(OSError, match=r"pipe|directory|device"):
            file_md5(path)
