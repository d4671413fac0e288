from __future__ import annotations

import numpy as np

from harness.evaluation.multiple import holm


def test_holm_multiplies_by_the_number_of_remaining_tests() -> None:
    assert np.allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert len(holm(np.zeros(0))) == 0


def test_holm_limits_the_chance_of_any_false_finding() -> None:
    rng = np.random.default_rng(0)
    found = [holm(rng.random(10)).min() < 0.05 for _ in range(2000)]
    assert 0.035 < np.mean(found) < 0.065
