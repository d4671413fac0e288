from __future__ import annotations

import pytest

from harness.evaluation.sampling import spread_evenly


@pytest.mark.parametrize(("count", "most"), [(1, 5), (5, 5), (7, 5), (1000, 200), (949, 2000)])
def test_spread_evenly_goes_from_the_first_to_the_last(count: int, most: int) -> None:
    places = spread_evenly(count, most).tolist()
    assert len(places) == min(count, most)
    assert (places[0], places[-1]) == (0, count - 1)
    assert places == sorted(set(places))
