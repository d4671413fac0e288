from __future__ import annotations

import numpy as np
import pytest

from harness.data.turns import TURNS, UNDONE_BY, turned_by


@pytest.mark.parametrize("turn", TURNS)
def test_undone_by_undoes_a_turn(turn: str) -> None:
    images = np.random.default_rng(0).random((3, 6, 6)).astype(np.float32)
    turned = turned_by(images, [turn])
    assert np.array_equal(turned_by(turned, [UNDONE_BY[turn]]), images)
    assert np.array_equal(turned, images) == (turn == "")
