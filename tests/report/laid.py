"""Writes runs with images, known predictions and hostile names within milliseconds, without training."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

from harness.evaluation.predictions import Predictions
from harness.evaluation.scorecard import scorecard
from harness.runs.run_folder import RunFolder
from harness.runs.scores_record import scorecard_fields
from tests.predicted import lay_run

TAG = "<img src=x onerror=document.title='run'>"
TEMPLATE = "{{ 7*7 }}{% raw %}\" onmouseover=\"document.title='run'"
SCRIPT = "<"  # together with a file of NAMES, the path is "</script><script>…"
TURNED = "sea\u202egpj.exe"
HOSTILE = (TAG, TEMPLATE, SCRIPT, TURNED)
NAMES = ("a'b\"c&amp;.jpg", "script><script>document.title='run'<!--.jpg", "--><svg onload=document.title=1>.jpg")


def picture(number: int) -> bytes:
    """A small JPEG of one colour, which depends on the number."""
    content = io.BytesIO()
    Image.new("RGB", (24, 18), (number * 37 % 256, number * 91 % 256, 120)).save(content, "jpeg")
    return content.getvalue()


def lay_pictures(
    home: Path, classes: Sequence[str], said: Sequence[tuple[int, int, float]], names: Sequence[str] = ()
) -> RunFolder:
    """Writes a finished run to `home`, the current folder, with an image for each of `said`.

    Args:
        home: The project.
        classes: Names of the classes, which become folders.
        said: (true class, predicted class, its probability) for each image.
        names: Names of the first files. The others get numbers.
    """
    paths = []
    for number, (label, _, _) in enumerate(said):
        name = names[number] if number < len(names) else f"{number:03d}.jpg"
        path = home / "images" / classes[label] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
        paths.append(f"{classes[label]}/{name}")
    shares = np.empty((len(said), len(classes)))
    for row, (_, top, sure) in enumerate(said):
        shares[row] = (1 - sure) / (len(classes) - 1)
        shares[row, top] = sure
    labels = np.array([label for label, _, _ in said], np.int64)
    found = Predictions(tuple(classes), tuple(paths), np.ones(len(said), np.int64), labels, shares)
    counts = dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))
    data = {"folder": "images", "images": len(said), "classes": counts}
    scores = scorecard_fields(scorecard(found, shares, shares, 1.0))
    return lay_run(Path("runs"), found, data=data, baseline=max(counts.values()) / len(said), **scores)


class Tags(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "dt", "dd", "li"):
            self.texts.append(" ")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [values for name, values in self.tags if name == tag]

    @property
    def text(self) -> str:
        """The visible text, with normal spaces."""
        return " ".join("".join(self.texts).split())
