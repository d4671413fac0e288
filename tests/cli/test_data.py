from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import Outcome


def test_the_demo_data_is_drawn_once(call: Callable[..., Outcome], project: Path) -> None:
    assert "images drawn" in call("data", "demo").out
    assert len(list((project / "data/train/sea").iterdir())) == 475
    outcome = call("data", "demo")
    assert (outcome.code, "are there already" in outcome.out) == (0, True)
    (project / "data/mine.jpg").write_bytes(b"x")
    assert call("data", "demo").code == 4
    assert call("data", "demo", "--force").code == 0
    assert not (project / "data/mine.jpg").exists()
