from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.report import gallery as module
from harness.report.answers import Answers
from harness.report.gallery import Room, choose, gallery
from tests.report.laid import picture

A, B, C = 0, 1, 2


def answers(*rows: tuple[int, int, float, float]) -> Answers:
    """One row per image: true class, predicted class, its probability, probability of the true class."""
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    paths = tuple(f"{number}.jpg" for number in range(len(rows)))
    return Answers(("a", "b", "c"), paths, np.ones(len(rows), np.int64), *columns, None)


def test_choose_returns_the_worst_errors_first() -> None:
    found = answers((A, A, 0.9, 0.9), (A, B, 0.6, 0.3), (B, A, 0.9, 0.05), (B, B, 0.5, 0.5))
    assert choose(found, Room(10, 10, 10)) == [2, 1, 3, 0]


def test_choose_takes_errors_from_each_cell() -> None:
    many = [(A, B, 0.9, i / 1000) for i in range(50)]
    found = answers(*many, (B, C, 0.5, 0.4), (C, A, 0.5, 0.45))
    chosen = choose(found, Room(10, 0, 10))
    assert len(chosen) == 10
    assert chosen[:5] == [0, 1, 2, 3, 4]
    assert {50, 51} < {*chosen}
    assert [found.of_true[i] for i in chosen] == sorted(found.of_true[i] for i in chosen)


def test_choose_takes_examples_of_each_class_in_turn() -> None:
    found = answers((A, A, 0.9, 0.9), (A, A, 0.6, 0.6), (A, A, 0.5, 0.5), (B, B, 0.99, 0.99), (C, C, 0.7, 0.7))
    assert choose(found, Room(10, 4, 10)) == [2, 4, 3, 1]


def test_gallery_notes_what_it_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number))
    rows = [(A, B, 0.9, 0.05), (A, B, 0.8, 0.1), (B, A, 0.7, 0.2), (A, A, 0.9, 0.9), (B, B, 0.9, 0.9), (B, B, 0.8, 0.8)]
    found = gallery(answers(*rows), tmp_path, room=Room(2, 1, 3))
    assert found.notes == [
        "2 of the 3 errors are listed, to keep this file small.",
        "1 of the 3 right predictions is listed, the least confident of each class.",
    ]
    assert gallery(answers(*rows), tmp_path).notes == []
    monkeypatch.setattr(module, "MOST_BYTES", 2000)  # room for one or two of the images
    small = gallery(answers(*rows), tmp_path)
    pictures = [item["picture"] is not None for item in small.items]
    assert 0 < sum(pictures) < 6
    assert not any(item["gone"] for item in small.items)


def test_gallery_of_repeats_reads_an_image_once(tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_bytes(picture(0))
    twice = answers((A, B, 0.9, 0.1), (A, A, 0.9, 0.9))
    same = Answers(
        twice.classes,
        ("0.jpg", "0.jpg"),
        np.array([1, 2]),
        twice.labels,
        twice.said,
        twice.confidence,
        twice.of_true,
        None,
    )
    steps: list[int] = []
    found = gallery(same, tmp_path, step=lambda: steps.append(1))
    assert len(found.items) == 2
    assert len(steps) == 1
