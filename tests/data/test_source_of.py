from __future__ import annotations

from pathlib import Path

from harness.data.source_of import source_of
from tests.data.test_folders import make


def test_source_of_says_why_a_file_belongs_to_the_data(tmp_path: Path) -> None:
    make(tmp_path, "data/sea/1.jpg", "data/notes.csv", "shots/2", "other.csv")
    table = tmp_path / "labels.csv"
    table.write_text("name,label\nshots/2,sea\n")
    (tmp_path / "link").symlink_to("shots/2")
    broken = tmp_path / "broken.csv"
    broken.write_text("")
    sources, columns = (tmp_path / "data", str(table), broken, tmp_path / "none.csv", None), ("path=name",)
    for file, why in {
        "labels.csv": "it is a table of the images",
        "none.csv": "it is a table of the images",
        "shots/2": f"{table} names it as an image",
        "link": f"{table} names it as an image",
        "data/sea/1.jpg": f"it is an image in {tmp_path / 'data'}",
        "data/sea/3.jpg": f"it is an image in {tmp_path / 'data'}",
        "data/notes.csv": "",
        "data": "",
        "other.csv": "",
        "new.csv": "",
    }.items():
        assert source_of(tmp_path / file, sources, columns) == why, file
