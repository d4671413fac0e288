from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f_oneway, ncf

from harness.evaluation.variance_share import variance_share

NONE = np.zeros((30, 0))


def test_variance_share_of_a_choice_is_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(0)
    places = np.arange(30) % 3
    values = np.array([0.0, 1.0, 3.0])[places] + rng.standard_normal(30)
    found = variance_share(values, np.eye(3)[places][:, 1:], NONE, 0.025)
    assert found is not None
    test = f_oneway(*(values[places == place] for place in range(3)))
    assert found.p == pytest.approx(test.pvalue, rel=1e-9)
    explained = 2 * test.statistic / (2 * test.statistic + 27)  # R²
    assert found.share == pytest.approx(1 - (1 - explained) * 29 / 27)
    for end, tail in ((found.low, 0.975), (found.high, 0.025)):
        assert ncf.cdf(test.statistic, 2, 27, 30 * end / (1 - end)) == pytest.approx(tail, abs=1e-6)


def test_variance_share_excludes_what_earlier_parameters_explain() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.standard_normal((2, 30, 1))
    values = (2 * first + second).ravel() + 0.1 * rng.standard_normal(30)
    alone, beyond = (variance_share(values, second, before, 0.025) for before in (NONE, first))
    again = variance_share(values, second, np.column_stack([first, second]), 0.025)
    assert alone is not None
    assert beyond is not None
    assert alone.p > 0.001 > beyond.p
    assert 0 < beyond.low < beyond.share < 0.5  # a fraction of all differences, although it explains all of the rest
    assert again is None  # it explains nothing in addition


def test_variance_share_interval_covers_the_true_share() -> None:
    rng = np.random.default_rng(2)
    column = rng.standard_normal((20, 1))
    column = (column - column.mean()) / column.std()
    held = 0
    for _ in range(200):
        found = variance_share(column.ravel() + rng.standard_normal(20), column, np.zeros((20, 0)), 0.025)
        assert found is not None
        held += found.low <= 0.5 <= found.high
    assert 180 <= held <= 198


def test_variance_share_is_none_without_variation_or_degrees_of_freedom() -> None:
    rng = np.random.default_rng(3)
    values, columns = rng.standard_normal(5), rng.standard_normal((5, 2))
    assert variance_share(values, columns, NONE[:5], 0.025) is not None
    assert variance_share(values[:4], columns[:4], NONE[:4], 0.025) is None
    assert variance_share(np.ones(5), columns, NONE[:5], 0.025) is None
    assert variance_share(values, np.ones((5, 1)), NONE[:5], 0.025) is None


def test_variance_share_of_a_parameter_that_explains_all_or_nothing() -> None:
    column = np.linspace(-1, 1, 20)[:, None]
    whole = variance_share(3 * column.ravel() + 1, column, np.zeros((20, 0)), 0.025)
    nothing = variance_share(np.tile([1.0, -1.0, -1.0, 1.0], 5), column, np.zeros((20, 0)), 0.025)
    assert whole is not None
    assert nothing is not None
    assert whole.low > 0.999
    assert (nothing.share, nothing.low) == (0, 0)
    assert nothing.p > 0.9
