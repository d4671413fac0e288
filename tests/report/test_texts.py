from __future__ import annotations

from pathlib import Path

import pytest

from harness.report.texts import between, count, duration, folder_text, moment, percent, private, shown, value_text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("weights are /home/anna/w/net.pth", "weights are ~/w/net.pth"),
        ("/Users/anna", "~"),
        (r"C:\Users\anna\photos", r"~\photos"),
        ("data=/srv/share/anna/photos/train", "data=…/photos/train"),
        ("'/root/data' is empty", "'~/data' is empty"),
        ("sea/01.jpg and forest/home/2.jpg", "sea/01.jpg and forest/home/2.jpg"),
        ("https://example.org/a/b/c", "https://example.org/a/b/c"),
        ("3/4 of the images, 1/5 of them", "3/4 of the images, 1/5 of them"),
        ("/tmp/x", "/tmp/x"),
    ],
)
def test_private_removes_the_names_of_users(text: str, says: str) -> None:
    assert private(text) == says


def test_private_shows_the_current_folder_as_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert private(f"{tmp_path}/runs/x") == "./runs/x"


def test_folder_text_shows_the_last_two_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert folder_text("/srv/anna smith/my photos/train") == "…/my photos/train"
    assert folder_text(r"D:\anna smith\my photos\train") == "…/my photos/train"
    assert folder_text("data/train") == "data/train"
    assert folder_text(str(tmp_path / "data/train")) == "data/train"
    assert folder_text("/home/anna") == "~"


def test_shown_makes_control_characters_visible() -> None:
    assert shown("a\u202eb\x1b[2J\udcff") == r"a\u202eb\x1b[2J?"


def test_number_functions_return_readable_texts() -> None:
    assert (percent(0.98765), percent(None), percent(0.7, 0)) == ("98.8 %", "–", "70 %")
    assert (between((0.5, 0.75)), between(None)) == ("50.0 to 75.0 %", "–")
    assert (count(1, "image"), count(1200, "image"), count(2, "class", "classes")) == (
        "1 image",
        "1,200 images",
        "2 classes",
    )
    assert [duration(s) for s in (3.14, 70, 600, 9000)] == ["3.1 s", "70 s", "10 min", "2.5 h"]
    assert moment("2026-11-27T16:59:53.529+02:00") == "27 November 2026, 16:59"
    assert [value_text(v) for v in (True, None, 0.00031, ["a", 1], [])] == ["yes", "none", "0.00031", "a, 1", "none"]
