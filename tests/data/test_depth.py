from __future__ import annotations

import numpy as np
import pytest

from harness.data.depth import Depth, clipped_text, infer_range
from harness.errors import DataError

RNG = np.random.default_rng(0)


def values(high: float, dtype: str = "u2", size: int = 20_000) -> Depth:
    return Depth.of((RNG.random(size) * high).astype(dtype))


@pytest.mark.parametrize(
    ("high", "expected"),
    [(200, 255), (255, 255), (300, 1023), (1023, 1023), (4095, 4095), (4080, 4095), (16000, 16383), (65535, 65535)],
)
def test_infer_range_is_the_smallest_range_that_contains_whole_numbers(high: int, expected: float) -> None:
    assert infer_range(values(high)) == (0, expected)
    assert infer_range(values(high, "f4")) == (0, expected)


def test_infer_range_uses_all_files_together() -> None:
    assert infer_range(values(200) + values(4000)) == (0, 4095)


def test_infer_range_ignores_a_few_hot_pixels() -> None:
    image = (RNG.random(20_000) * 250).astype(np.uint16)
    image[:5] = 65535
    assert infer_range(Depth.of(image)) == (0, 255)
    assert clipped_text(Depth.of(image), (0, 255)) == "0.025 % of the values are outside 0 to 255 and are clipped"
    image[:100] = 4000  # five in a thousand are more than noise
    assert infer_range(Depth.of(image)) == (0, 4095)


def test_infer_range_of_floats() -> None:
    assert infer_range(values(1, "f4")) == (0, 1)
    assert infer_range(values(255, "f4")) == (0, 255)


@pytest.mark.parametrize(
    ("depth", "why"),
    [
        (values(2, "f8"), "fit neither"),
        (Depth.of(RNG.normal(0, 300, 1000)), "negative"),
        (values(1e6, "u4"), "above 65535"),
        (values(0.01, "f8"), "black"),
    ],
)
def test_infer_range_raises_if_the_range_depends_on_the_meaning(depth: Depth, why: str) -> None:
    with pytest.raises(DataError, match=why) as caught:
        infer_range(depth)
    assert caught.value.fix.startswith(f"-s value_range={depth.minimum:.9g},{depth.maximum:.9g}")


def test_depth_can_be_added_and_restored_from_an_array() -> None:
    image = RNG.random((50, 40)).astype(np.float32) * 3000 - 5
    whole = Depth.of(image)
    assert Depth.of(image[:20]) + Depth.of(image[20:]) == whole
    assert Depth.from_array(whole.to_array()) == whole
    assert Depth.from_array(Depth().to_array()) == Depth()


def test_depth_does_not_count_nan_and_infinity() -> None:
    assert Depth.of(np.array([0.5, np.nan, np.inf])).values == 1
    assert Depth.of(np.full(3, np.nan)) == Depth()
    assert clipped_text(Depth.of(np.arange(10)), (0, 255)) == ""
