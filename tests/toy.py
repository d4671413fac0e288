"""Small real things: a fit of a linear layer on points in a plane, which takes a millisecond, and a record."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.config.experiment import Experiment
from harness.engine.trainer import Callback, State, Trainer
from harness.runs.record_parts import DataRecord, SplitSizes, Status
from harness.runs.records import RunRecord
from harness.runs.run_folder import now

Batch = tuple[Tensor, Tensor]
SMALL = Experiment(
    name="small",
    model="small_cnn",
    weights=None,
    image_size=32,
    batch_size=8,
    precision="fp32",
    epochs=2,
    folds=3,
    trackers=[],
)


def examples(count: int = 40, size: int = 16) -> list[Batch]:
    """Points that a line tells apart, in batches of `size`, the last one shorter."""
    points = torch.randn(count, 4, generator=torch.Generator().manual_seed(0))
    targets = (points[:, 0] > 0).long()
    return list(zip(points.split(size), targets.split(size), strict=True))


def fit(
    *callbacks: Callback,
    epochs: int = 2,
    train: object = None,
    valid: object = None,
    inner: object = None,
    **options: object,
) -> State:
    """A fit; `valid=False` has no validation."""
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    trainer = Trainer(callbacks=callbacks, device="cpu", **{"precision": "fp32", **options})  # type: ignore[arg-type]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    validation = None if valid is False else valid or examples(20)
    return trainer.fit(model, optimizer, train or examples(), validation, epochs, inner)  # type: ignore[arg-type]


def run_record(name: str = "trial", **fields: object) -> RunRecord:
    """The record of a run that has just begun, of one fold and two classes."""
    values: dict[str, object] = {
        "name": name,
        "status": Status.RUNNING,
        "started": now(),
        "experiment": {},
        "data": DataRecord("images", 100, {"forest": 50, "sea": 50}, "0" * 32 + ".dir"),
        "splits": {"1": SplitSizes(1, 1)},
    }
    return RunRecord(**values | fields)  # type: ignore[arg-type]
