"""Fixtures that record the drawn figures, and the texts of images that are drawn without matplotlib."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import ImageDraw


@pytest.fixture(autouse=True)
def always_rendered(rendered: None) -> None:
    """Renders all figures of these tests."""


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved during the test, in order."""
    saved: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *arguments: Any, **options: Any) -> None:
        saved.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that Pillow writes on an image during the test, in order."""
    texts: list[str] = []
    write = ImageDraw.ImageDraw.text

    def keep(self: ImageDraw.ImageDraw, xy: Any, text: str, *arguments: Any, **options: Any) -> None:
        texts.append(text)
        write(self, xy, text, *arguments, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", keep)
    return texts


def tick_labels(axis: Any) -> list[str]:
    """The tick labels of `axes.xaxis` or `axes.yaxis`."""
    return [label.get_text() for label in axis.get_ticklabels()]


def texts(artist: Any) -> list[str]:
    """The texts of a legend, or the texts on axes."""
    return [text.get_text() for text in (artist.get_texts() if hasattr(artist, "get_texts") else artist.texts)]


def points(line: Any) -> list[tuple[float, float]]:
    """The points of a line, rounded to six digits."""
    return [(round(float(x), 6), round(float(y), 6)) for x, y in zip(*line.get_data(), strict=True)]
