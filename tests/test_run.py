from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.data.folders import list_images
from harness.data.splits import stratified_splits
from harness.engine import Callback, State
from harness.errors import TrainingError
from harness.experiment import Experiment
from harness.run import choose_workers, prepare_model, train

SMALL = Experiment(model="small_cnn", weights=None, image_size=32, epochs=1, batch_size=8, precision="fp32")


def test_workers_are_none_on_a_cpu_and_as_many_as_are_asked_for() -> None:
    assert choose_workers("auto", torch.device("cpu")) == 0
    assert choose_workers(3, torch.device("cpu")) == 3
    assert choose_workers("auto", torch.device("cuda")) <= 8


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
