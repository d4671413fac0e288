from __future__ import annotations

import pytest
import torch

from harness.models.pooling import pooled


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 3, 4), (2, 7, 5)])
def test_pooled_gives_one_row_per_image(shape: tuple[int, ...]) -> None:
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    rows = pooled(features)
    assert (rows.shape, rows.dtype.name) == ((2, 5), "float32")
    places = {2: (), 4: (2, 3), 3: (1,)}[len(shape)]
    expected = features.float().mean(places) if places else features.float()
    assert torch.equal(torch.from_numpy(rows), expected)
