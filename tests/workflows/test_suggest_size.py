"""Tests of the suggested input size and way of resizing."""

from __future__ import annotations

from typing import Any

import pytest

from harness.workflows.new.size import image_size, resize, sides_text


@pytest.mark.parametrize(
    ("sizes", "pretrained", "size"),
    [
        ([(480, 640)], True, 224),
        ([(100, 100)], True, 128),
        ([(100, 100)], False, 100),
        ([(20, 30)], False, (20, 30)),
        ([(8, 8)], False, 16),
        ([(30, 30), (40, 40), (38, 38)], False, 38),
        ([(480, 640)], False, 96),
    ],
)
def test_image_size_depends_on_the_image_sizes(sizes: list[tuple[int, int]], pretrained: bool, size: object) -> None:
    assert image_size(sizes, pretrained)[0] == size


@pytest.mark.parametrize(
    ("sizes", "chosen", "how"),
    [
        ([(100, 100), (104, 100)], 96, None),
        ([(20, 30)], (20, 30), None),
        ([(480, 640)] * 5, 224, "squash"),
        ([(480, 640), (640, 480)] * 5, 224, "crop"),
        ([(180, 320), (320, 180)] * 5, 224, "pad"),
        ([(100, 100)] * 99 + [(10, 1000)], 96, None),
    ],
)
def test_resize_keeps_aspect_ratios_that_differ(sizes: list[tuple[int, int]], chosen: Any, how: str | None) -> None:
    found = resize(sizes, chosen)
    assert (found[0] if found else None) == how


def test_sides_text_is_short() -> None:
    assert sides_text([(480, 640)] * 3) == "640 x 480 px"
    assert sides_text([(480, 640), (480, 320)]) == "320 to 640 px wide and 480 px high"
