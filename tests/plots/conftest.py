"""Figures as they were drawn, and the words of pictures that are drawn without matplotlib."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import ImageDraw


@pytest.fixture(autouse=True)
def always_rendered(rendered: None) -> None:
    """What is drawn here is rendered."""


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Each figure that is saved while the test runs, in order."""
    saved: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *arguments: Any, **options: Any) -> None:
        saved.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each text that Pillow writes on an image while the test runs, in order."""
    texts: list[str] = []
    write = ImageDraw.ImageDraw.text

    def keep(self: ImageDraw.ImageDraw, xy: Any, text: str, *arguments: Any, **options: Any) -> None:
        texts.append(text)
        write(self, xy, text, *arguments, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", keep)
    return texts


def tick_labels(axis: Any) -> list[str]:
    """The words at the ticks of `axes.xaxis` or `axes.yaxis`."""
    return [label.get_text() for label in axis.get_ticklabels()]


def texts(artist: Any) -> list[str]:
    """The words of a legend, or those written on axes."""
    return [text.get_text() for text in (artist.get_texts() if hasattr(artist, "get_texts") else artist.texts)]


def points(line: Any) -> list[tuple[float, float]]:
    """The points of a line, rounded to six digits."""
    return [(round(float(x), 6), round(float(y), 6)) for x, y in zip(*line.get_data(), strict=True)]
