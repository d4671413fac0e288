"""Tests of watching a folder for new images."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.named_images import NamedImages
from harness.workflows.predict.watch import new_images


class EndedError(Exception):
    pass


def test_new_images_yields_each_complete_image_once(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    steps = iter(
        [
            lambda: None,  # a.jpg stays as it is
            lambda: (tmp_path / "b.jpg").write_bytes(b"1"),
            lambda: (tmp_path / "b.jpg").write_bytes(b"12"),  # still being written
            lambda: None,
            lambda: (tmp_path / "a.jpg").write_bytes(b"another"),
            lambda: (tmp_path / "b.jpg").unlink(),
            lambda: None,
        ]
    )

    def wait(_seconds: float) -> None:
        step = next(steps, None)
        if step is None:
            raise EndedError
        step()

    found: list[str] = []

    def look() -> None:
        for some in new_images(NamedImages([str(tmp_path)]), wait):
            found.extend(path.name for path in some)

    with pytest.raises(EndedError):
        look()
    assert found == ["a.jpg", "b.jpg", "a.jpg"]
