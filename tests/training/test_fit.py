from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from harness.config.experiment import Experiment
from harness.data.folders import list_images
from harness.data.loading import ImageSource
from harness.data.pixels import Pixels
from harness.data.splits import stratified_splits
from harness.data.transforms import Transform
from harness.engine.trainer import Callback, State
from harness.errors import TrainingError
from harness.training.batches import choose_workers
from harness.training.fit import train
from harness.training.prepared import prepare_model

SMALL = Experiment(model="small_cnn", weights=None, image_size=32, epochs=1, batch_size=8, precision="fp32")


def test_workers_are_as_many_as_are_asked_for_or_as_augmentation_for_a_gpu_needs(scenery: Path) -> None:
    pixels = Pixels(list_images(scenery), (), 16)
    still, augmented = (ImageSource(pixels, Transform(16), augment) for augment in (None, torch.flipud))
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert choose_workers(3, still, cpu) == 3
    assert [choose_workers("auto", source, cpu) for source in (still, augmented)] == [0, 0]
    assert choose_workers("auto", still, cuda) == 0
    assert 1 <= choose_workers("auto", augmented, cuda) <= 16 or sys.platform != "linux"


def test_a_fresh_model_is_a_function_of_the_seed_and_the_fold() -> None:
    def head(seed: int, fold: int) -> list[float]:
        prepared = prepare_model(SMALL.replace(seed=seed), ["a", "b"], fold)
        return list(prepared.model.state_dict()["head.bias"].tolist())

    assert head(0, 1) == head(0, 1)
    assert len({tuple(head(seed, fold)) for seed in (0, 1) for fold in (1, 2)}) == 4


def test_no_memory_left_says_which_batch_size_to_try(scenery: Path, tmp_path: Path) -> None:
    class Greedy(Callback):
        def on_batch_start(self, state: State) -> None:
            torch.empty(2**60)

    images = list_images(scenery)
    (split,) = stratified_splits(images, 0, 0)
    with pytest.raises(TrainingError, match="fold 1 ran out of memory on cpu") as caught:
        train(SMALL.replace(callbacks=[Greedy()]), images, split, checkpoints=tmp_path, device="cpu")
    assert caught.value.fix == "-s batch_size=4"
    assert (tmp_path / "fold1-last.pt").exists() is False  # no step was taken
