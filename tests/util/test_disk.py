from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.util.disk import bytes_text, entries_below, room_freed, room_of


@pytest.mark.skipif(os.name == "nt", reason="it has no du")
def test_room_of_counts_a_file_with_two_names_once_as_du_does(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/fold1.pt").write_bytes(b"x" * 300_000)
    os.link(run / "checkpoints/fold1.pt", run / "checkpoints/fold2.pt")
    (tmp_path / "elsewhere").write_bytes(b"y" * 500_000)
    (run / "link").symlink_to(tmp_path / "elsewhere")
    entries = list(entries_below(run))
    said = subprocess.run(["du", "-s", "-B1", str(run)], check=True, capture_output=True, text=True).stdout
    assert room_of(entries) == int(said.split()[0])
    assert room_freed(entries) == room_of(entries)
    assert [str(entry.path) for entry in entries if entry.is_link] == ["link"]
    os.link(run / "checkpoints/fold1.pt", tmp_path / "kept.pt")
    assert room_freed(entries_below(run)) < 100_000  # the file still exists under its third name
    assert list(entries_below(tmp_path / "nowhere")) == []


def test_bytes_text_names_the_unit() -> None:
    assert [bytes_text(count) for count in (0, 999, 999_600, 45_300_000, 1.2e9)] == [
        *("0 B", "999 B", "1 MB", "45 MB", "1.2 GB")
    ]
