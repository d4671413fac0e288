"""Outputs and targets for which accuracy is undefined or examples are hard to count. Reproduces public reports."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.engine.counts import count_examples
from harness.engine.metrics import accuracy
from harness.engine.trainer import Trainer
from harness.errors import UsageError
from tests.toy import examples

POINTS = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))


def fit_one(loss: Any, batches: list[Any], model: nn.Module | None = None, **options: Any) -> dict[str, float]:
    model = model or nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Trainer(loss, device="cpu", precision="fp32", **options).fit(model, optimizer, batches, None, 1).history[0]


def test_accuracy_refuses_a_single_output() -> None:
    """https://github.com/PaddlePaddle/Paddle/issues/33657, https://github.com/meta-pytorch/captum/issues/1122"""
    batches = [(points, targets.float()[:, None]) for points, targets in examples()]
    with pytest.raises(UsageError, match=r"accuracy is not defined for outputs \(16, 1\)") as caught:
        fit_one(nn.BCEWithLogitsLoss(), batches)
    assert "two outputs and use cross_entropy" in caught.value.fix
    flat = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    with pytest.raises(UsageError, match=r"accuracy is not defined for outputs \(16,\)"):
        fit_one(nn.BCEWithLogitsLoss(), [(p, t.float()) for p, t in examples()], flat)


def test_accuracy_metric_suggested_by_the_error_works() -> None:
    def right(logits: Tensor, targets: Tensor) -> Tensor:
        return ((logits > 0) == (targets > 0.5)).float().view(-1)

    batches = [(points, targets.float()[:, None]) for points, targets in examples(40, 16)]
    row = fit_one(nn.BCEWithLogitsLoss(), batches, metrics={"accuracy": right})
    assert row["train_examples"] == 40
    assert 0 < row["train_accuracy"] < 1


@pytest.mark.parametrize(
    ("logits", "targets"),
    [((10, 3), (10, 1)), ((10, 3), (10, 2)), ((10, 3), (1,)), ((10, 3), ()), ((10, 1), (10,)), ((10,), (10,))],
)
def test_accuracy_refuses_shapes_that_would_broadcast(logits: tuple[int, ...], targets: tuple[int, ...]) -> None:
    """https://github.com/pytorch/pytorch/issues/1939, https://github.com/deepset-ai/FARM/issues/229"""
    with pytest.raises(UsageError, match="accuracy is not defined for outputs") as caught:
        accuracy(torch.zeros(logits), torch.zeros(targets, dtype=torch.long))
    assert str(caught.value).count("\n") == 2


def mixed(logits: Tensor, targets: Any) -> Tensor:
    first, second, share = targets
    entropy = nn.functional.cross_entropy
    return share * entropy(logits, first) + (1 - share) * entropy(logits, second)


def test_count_examples_counts_rows_of_targets_in_a_tuple() -> None:
    """Mixup gives such targets: (targets, other targets, share)."""
    batches = [(points, (targets, targets, torch.tensor(0.5))) for points, targets in examples(40, 16)]
    row = fit_one(mixed, batches, nn.Linear(4, 2), metrics={})
    assert row["train_examples"] == 40
    whole = fit_one(nn.CrossEntropyLoss(), examples(40, 16), nn.Linear(4, 2), metrics={})
    assert whole["train_examples"] == row["train_examples"]


def test_means_are_exact_for_targets_in_a_dict() -> None:
    model = nn.Linear(4, 2)
    batches = [({"x": p}, {"weight": torch.tensor(1.0), "y": t}) for p, t in examples(40, 16)]
    named = nn.Module()
    named.inner = model
    named.forward = lambda inputs: model(inputs["x"])  # type: ignore[method-assign]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    trainer = Trainer(
        lambda logits, t: nn.functional.cross_entropy(logits, t["y"]), metrics={}, device="cpu", precision="fp32"
    )
    row = trainer.fit(named, optimizer, batches, None, 1).history[0]
    points, targets = (torch.cat(parts) for parts in zip(*examples(40, 16), strict=True))
    assert row["train_loss"] == pytest.approx(nn.functional.cross_entropy(model(points), targets).item(), rel=1e-6)


def test_count_examples_refuses_targets_without_rows() -> None:
    logits = torch.zeros(10, 2)
    assert count_examples(POINTS, [0] * 10, logits) == 10  # targets are numbers, so the inputs are counted
    assert count_examples(None, (torch.tensor(0.3), torch.zeros(10)), logits) == 10
    boxes = [{"boxes": torch.zeros(3, 4)}, {"boxes": torch.zeros(1, 4)}]  # targets of a detector
    for inputs, targets in ((POINTS, boxes), ("text", ["a"] * 10), (None, torch.tensor(1))):
        with pytest.raises(UsageError, match="cannot be counted"):
            count_examples(inputs, targets, logits)
