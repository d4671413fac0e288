from __future__ import annotations

import numpy as np
import pytest

from harness.evaluation.fact_values import fact_values


def test_fact_values_of_categories_are_their_names() -> None:
    values = fact_values("format", ["PNG", "JPEG", "", None, "PNG"])
    assert (values.fact, values.names, values.is_number) == ("format", ("JPEG", "PNG", "none"), False)
    assert values.codes.tolist() == [1, 0, 2, 2, 1]


def test_fact_values_of_few_numbers_are_the_numbers() -> None:
    values = fact_values("width", np.repeat([640, 800, 1024], 10))
    assert (values.names, values.is_number) == (("640", "800", "1024"), True)
    assert values.codes.tolist() == np.repeat([0, 1, 2], 10).tolist()


def test_fact_values_puts_numbers_into_bins_of_about_a_tenth() -> None:
    column = np.random.default_rng(0).permutation(1000) + 200
    values = fact_values("width", column)
    assert values.names[:2] == ("200 to 299", "300 to 399")
    assert np.bincount(values.codes).tolist() == [100] * 10
    low = [column[values.codes == k].min() for k in range(10)]
    assert low == sorted(low)


def test_fact_values_gives_a_frequent_number_its_own_bin() -> None:
    column = np.concatenate([np.arange(100, 180), np.full(20, 150)])
    values = fact_values("height", column)
    assert "150" in values.names
    assert (column[values.codes == values.names.index("150")] == 150).all()
    neighbours = [name.split(" to ") for name in values.names]
    assert not [bounds for bounds in neighbours if len(bounds) == 2 and int(bounds[0]) < 150 < int(bounds[1])]


def test_fact_values_puts_unknown_numbers_last() -> None:
    values = fact_values("quality", [75, None, 95, float("nan"), 95.5, np.int64(75)])
    assert values.names == ("75", "95", "95.5", "none")
    assert values.codes.tolist() == [0, 3, 1, 3, 2, 0]


@pytest.mark.parametrize("column", [[True, False], [1, "1"], ["", None], [(3, 4), (4, 4)]])
def test_fact_values_treats_booleans_and_mixtures_as_categories(column: list[object]) -> None:
    values = fact_values("fact", column)
    assert not values.is_number
    assert len(values.codes) == 2


def test_fact_values_of_no_images_is_empty() -> None:
    assert fact_values("fact", []).names == ()
