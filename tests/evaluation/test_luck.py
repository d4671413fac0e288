from __future__ import annotations

import numpy as np
import pytest

from harness.evaluation.luck import expected_maximum, luck_of_best


def test_expected_maximum_has_the_known_values() -> None:
    """Tippett's table has 0.5642 for two numbers, 1.5388 for ten and 2.5076 for a hundred."""
    known = {1: 0.0, 2: 0.56419, 10: 1.53875, 100: 2.50759}
    assert {m: round(expected_maximum(m), 5) for m in known} == pytest.approx(known, abs=2e-5)


@pytest.mark.parametrize("own", [1.0, 0.3])
def test_luck_of_best_matches_simulated_equal_models(own: float) -> None:
    """7 models have 90 %. Only one model makes a fraction `own` of its errors; all models share the other errors."""
    rng, luck, promised, n = np.random.default_rng(0), [], [], 100
    for _ in range(600):
        alone, common = rng.random((7, n)) < 0.1, rng.random(n) < 0.1
        wrong = np.where(rng.random(n) < own, alone, common)
        right = 1 - wrong.mean(1)
        luck.append(right.max() - 0.9)
        pairs = [(wrong[i] != wrong[j]).mean() for i in range(7) for j in range(i)]
        promised.append(luck_of_best(7, float(np.mean(pairs)), n))
    assert np.mean(promised) == pytest.approx(np.mean(luck), rel=0.12)


def test_luck_of_best_is_0_for_one_model_or_equal_answers() -> None:
    assert luck_of_best(1, 0.2, 35) == luck_of_best(9, 0.0, 35) == 0.0
