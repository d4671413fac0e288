from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.errors import StorageError
from harness.util.files import as_text, write_whole


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        write_whole(tmp_path / "new/x", content)
        assert (tmp_path / "new/x").read_bytes() == content
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x"]


def test_write_whole_syncs_the_new_content_before_it_takes_the_place_of_the_old(
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


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_whole(tmp_path / "file/x", b"")


def test_a_name_that_is_no_utf8_is_shown_nevertheless() -> None:
    assert as_text("a\udcff") == "a?"
    assert as_text("ça 森") == "ça 森"
