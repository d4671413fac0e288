"""Runs one contender on one task in a separate process: `contenders.py floor a`. Prints its seconds as JSON.

`work` is the time from the first image to the last epoch, without the start and the end of the process. Some contenders
run only a part of a task that takes minutes; `share` is that part.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from task import FINE_TUNE, FOLDS, FROZEN, MEAN, SIZE, STD, Task, frozen, has_bf16, resnet18, task
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2


def floor_a(given: Task) -> dict[str, float]:
    """Fine-tuning in a bare loop, with tensors that were decoded before the clock starts."""
    inputs, labels, split = _decoded(given), torch.tensor(given.images.labels), given.splits[0]
    train, valid = list(split.train), list(split.valid)
    model = resnet18(given.weights).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), FINE_TUNE["lr"])
    started = time.perf_counter()
    for _ in range(int(FINE_TUNE["epochs"])):
        model.train()
        order = torch.randperm(len(train)).tolist()
        for indices in _cut([train[i] for i in order], int(FINE_TUNE["batch"])):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
                logits = model(inputs[indices])
            F.cross_entropy(logits.float(), labels[indices]).backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
            for indices in _cut(valid, int(FINE_TUNE["batch"])):
                model(inputs[indices])
    return {"work": time.perf_counter() - started}


def floor_b(given: Task) -> dict[str, float]:
    """Each image decoded, on all cores, and passed once through the bare model in the batch size that suits it best."""
    model = resnet18(given.weights).eval().to(memory_format=torch.channels_last)
    batch = max((16, 32, 64), key=lambda size: _inference(model, size, seconds=1.0))
    started = time.perf_counter()
    inputs = _decoded(given)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
        for part in inputs.split(batch):
            model(part)
    return {"work": time.perf_counter() - started}


def plain_a(given: Task) -> dict[str, float]:
    """The usual loop: fp32, every image decoded in every epoch."""
    model = resnet18(given.weights)
    return {"work": _plain(given, model, FINE_TUNE, int(FINE_TUNE["epochs"]))}


def plain_b(given: Task) -> dict[str, float]:
    """The same with a frozen body; one epoch of one fold, unless --full is set."""
    return _folds(given, _plain)


def lightning_a(given: Task) -> dict[str, float]:
    """Lightning with its fastest documented settings: mixed precision, channels last, no logger, no checkpoints."""
    return {"work": _lightning(given, resnet18(given.weights), FINE_TUNE, int(FINE_TUNE["epochs"]))}


def lightning_b(given: Task) -> dict[str, float]:
    """The same with a frozen body, in eval mode, without gradients; one epoch of one fold, unless --full is set."""
    return _folds(given, _lightning)


def inference(given: Task) -> dict[str, float]:
    """Images per second of a bare model, in the batch size that suits it best."""
    model = resnet18(given.weights).eval().to(memory_format=torch.channels_last)
    return {"rate": max(_inference(model, size, seconds=5.0) for size in (16, 32, 64))}


def extraction(given: Task) -> dict[str, float]:
    """Images per second through the frozen part in `harness`; the images are decoded before."""
    from harness.cache.store import Cache
    from harness.config.experiment import Experiment
    from harness.engine.trainer import Trainer
    from harness.models.prefix import cut
    from harness.training.features import feature_sources
    from harness.training.model import new_model
    from harness.util.memory import keep_freed_memory
    from harness.workflows.make_plan import make_plan

    keep_freed_memory()
    weights = None if given.weights is None else str(given.weights)
    plan = make_plan(Experiment(data=str(given.images.root), freeze=True, weights=weights), device="cpu")
    plan = dataclasses.replace(plan, cache=Cache(Path(tempfile.mkdtemp())))
    model, _ = new_model(plan.experiment, plan.model.weights, plan.images.classes, 1)
    trainer = Trainer(device="cpu", channels_last=plan.model.channels_last)
    started = time.perf_counter()
    prefix = cut(trainer.move_model(model), (3, SIZE, SIZE))
    feature_sources(plan, prefix, range(len(given.images)), trainer)
    return {"rate": len(given.images) / (time.perf_counter() - started)}


def _decoded(given: Task) -> Tensor:
    def one(path: Path) -> Any:
        return np.asarray(Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = torch.from_numpy(np.stack(list(pool.map(one, given.paths)))).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return images.float().div_(255).sub_(mean).div_(std)


def _cut(indices: list[int], batch: int) -> Iterator[list[int]]:
    return (indices[start : start + batch] for start in range(0, len(indices), batch))


def _inference(model: nn.Module, batch: int, seconds: float) -> float:
    images = torch.randn(batch, 3, SIZE, SIZE).to(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
        model(images)
        started, passes = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            model(images)
            passes += 1
        return passes * batch / (time.perf_counter() - started)


def _loaders(given: Task, batch: int, workers: int) -> tuple[Any, Any]:
    change = v2.Compose(
        [
            v2.Resize((SIZE, SIZE)),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    folder, split = ImageFolder(str(given.images.root), change), given.splits[0]
    options = {"num_workers": workers, "persistent_workers": workers > 0}
    return (
        DataLoader(Subset(folder, split.train), batch, shuffle=True, **options),
        DataLoader(Subset(folder, split.valid), batch, **options),
    )


def _folds(given: Task, train: Callable[..., float]) -> dict[str, float]:
    """Numbers of folds and epochs: all of the frozen task, or one of each."""
    full = bool(os.environ.get("HARNESS_BENCHMARK_FULL"))
    folds, epochs = (FOLDS, int(FROZEN["epochs"])) if full else (1, 1)
    work = 0.0
    for fold in range(folds):
        rotated = dataclasses.replace(given, splits=given.splits[fold:])
        work += train(rotated, frozen(resnet18(given.weights)), FROZEN, epochs)
    return {"work": work, "share": folds * epochs / (FOLDS * FROZEN["epochs"])}


def _plain(given: Task, model: nn.Module, settings: dict[str, float], epochs: int) -> float:
    train, valid = _loaders(given, int(settings["batch"]), workers=0)
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), settings["lr"])
    started = time.perf_counter()
    for _ in range(epochs):
        model.train()
        for images, targets in train:
            optimizer.zero_grad()
            F.cross_entropy(model(images), targets).backward()
            optimizer.step()
        model.eval()
        right, total = 0, 0.0
        with torch.no_grad():
            for images, targets in valid:
                logits = model(images)
                total += F.cross_entropy(logits, targets).item()
                right += (logits.argmax(1) == targets).sum().item()
    return time.perf_counter() - started


def lightning_fold(
    given: Task, fold: int, model: nn.Module, settings: dict[str, float], epochs: int, tuned: bool = True
) -> int:
    """Number of correct validation images in the best epoch."""
    return _fit_lightning(dataclasses.replace(given, splits=given.splits[fold:]), model, settings, epochs, tuned)[1]


def _lightning(given: Task, model: nn.Module, settings: dict[str, float], epochs: int) -> float:
    return _fit_lightning(given, model, settings, epochs)[0]


def _fit_lightning(
    given: Task, model: nn.Module, settings: dict[str, float], epochs: int, tuned: bool = True
) -> tuple[float, int]:
    """Seconds, and the highest number of correct images in an epoch. Unless `tuned`, uses Lightning's defaults."""
    import logging
    import warnings

    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    is_frozen = not next(model.parameters()).requires_grad
    head, right = model.fc, [0]
    layout = torch.channels_last if tuned else torch.contiguous_format

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.body = model.to(memory_format=layout)
            if is_frozen:
                self.body.fc = nn.Identity()
            self.head = head if is_frozen else nn.Identity()

        def forward(self, images: Tensor) -> Tensor:
            images = images.contiguous(memory_format=layout)
            if is_frozen:
                self.body.eval()
            with torch.set_grad_enabled(torch.is_grad_enabled() and not is_frozen):
                features = self.body(images)
            return self.head(features)

        def training_step(self, batch: Any, _: int) -> Tensor:
            return F.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch: Any, _: int) -> None:
            logits = self(batch[0])
            self.log("valid_loss", F.cross_entropy(logits, batch[1]))
            right[-1] += int((logits.argmax(1) == batch[1]).sum())

        def on_validation_epoch_start(self) -> None:
            right.append(0)

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam((p for p in self.parameters() if p.requires_grad), settings["lr"])

    train, valid = _loaders(given, int(settings["batch"]), workers=0)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        precision="bf16-mixed" if tuned and has_bf16() else "32-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    started = time.perf_counter()
    trainer.fit(Classifier(), train, valid)
    return time.perf_counter() - started, max(right)


def main() -> None:
    figures = globals()["_".join(sys.argv[1:])](task())
    print(json.dumps(figures), flush=True)
    os._exit(0)  # freeing torch's objects one by one belongs to no task


if __name__ == "__main__":
    main()
