from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.data.check import check_images
from harness.data.demo import draw
from harness.data.listing import list_images
from harness.data.loading import Batches, EpochSampler, ImageSource, Views, _ahead
from harness.data.prepare import Preparation
from harness.data.transforms import Transform, augmentation


def shake(image: Tensor) -> Tensor:
    return (image.float() + random.randint(-9, 9) + torch.randint(-9, 9, (1,))).clip(0, 255).byte()


def load(
    root: Path, *, augment: object = None, workers: int = 0, shuffle: bool = True, epochs: int = 2
) -> list[Tensor]:
    images = list_images(root)
    pixels = check_images(images, Preparation(24)).pixels
    assert pixels is not None
    source = ImageSource(pixels, Transform(Preparation(24)), augmentation(augment, Preparation(24)), seed=3)  # type: ignore[arg-type]
    batches = Batches(source, images.labels, EpochSampler(range(len(images)), 8, 3, shuffle), workers=workers)
    loaded = []
    for epoch in (1, 2):
        batches.set_epoch(epoch)
        parts = list(batches)
        assert len(parts) == len(batches)
        loaded.append(torch.cat([inputs.flatten(1) for inputs, _ in parts]))
        assert sorted(torch.cat([targets for _, targets in parts]).tolist()) == sorted(images.labels)
    batches.close()
    return loaded


@pytest.mark.parametrize("augment", ["standard", shake])
def test_batches_do_not_depend_on_the_number_of_workers(augment: object, scenery: Path) -> None:
    alone = load(scenery, augment=augment)
    helped = load(scenery, augment=augment, workers=2)
    assert all(torch.equal(one, other) for one, other in zip(alone, helped, strict=True))


def test_batches_change_order_and_augmentation_in_each_epoch(scenery: Path) -> None:
    first, second = load(scenery, augment="standard", shuffle=False)
    assert not torch.equal(first, second)
    ordered = load(scenery, shuffle=False)
    assert torch.equal(ordered[0], ordered[1])
    shuffled = load(scenery)
    assert not torch.equal(shuffled[0], shuffled[1])
    assert torch.equal(shuffled[0].sum(1).sort()[0], shuffled[1].sum(1).sort()[0])


def test_epoch_sampler_order_depends_only_on_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        sampler = EpochSampler(range(100), 8, seed, shuffle=True)
        sampler.epoch = epoch
        keys = [key for batch in sampler for key in batch]
        assert {asked for asked, _ in keys} == {epoch}
        return tuple(index for _, index in keys)

    assert order(1, 1) == order(1, 1)
    orders = {order(seed, epoch) for seed in (1, 2) for epoch in (1, 2)}
    assert len(orders) == 4
    assert {tuple(sorted(indices)) for indices in orders} == {tuple(range(100))}


def test_image_source_augmentation_depends_only_on_seed_epoch_and_index(tmp_path: Path) -> None:
    """All images are equal, so that only the augmentation differs."""
    for name in ("a/0.png", "a/1.png", "b/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        draw("train", "sea", 0).save(tmp_path / name)
    pixels = check_images(list_images(tmp_path), Preparation(24)).pixels
    assert pixels is not None

    def view(seed: int, epoch: int, index: int) -> bytes:
        source = ImageSource(pixels, Transform(Preparation(24)), augmentation("standard", Preparation(24)), seed)
        return source.load([(epoch, index)]).numpy().tobytes()

    keys = [(seed, epoch, index) for seed in (1, 2) for epoch in (1, 2) for index in (0, 1, 2)]
    views = [view(*key) for key in keys]
    assert len(set(views)) == len(keys)
    assert [view(*key) for key in reversed(keys)] == views[::-1]


def test_batches_do_not_change_the_global_random_generators(scenery: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    load(scenery, augment="standard")
    assert torch.equal(torch.rand(2), expected)


def test_epoch_sampler_joins_a_last_batch_of_one_only_in_training() -> None:
    training = EpochSampler(range(9), 4, seed=0, shuffle=True)
    assert [len(keys) for keys in training] == [4, 5]
    assert len(training) == 2
    judging = EpochSampler(range(9), 4, seed=0, shuffle=False)
    assert [[index for _, index in keys] for keys in judging] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    assert [len(keys) for keys in EpochSampler(range(1), 4, seed=0, shuffle=True)] == [1]


def test_views_are_the_augmentations_of_the_first_epochs(scenery: Path) -> None:
    pixels = check_images(list_images(scenery), Preparation(24)).pixels
    assert pixels is not None
    few = ImageSource(pixels, Transform(Preparation(24)), augmentation("standard", Preparation(24)), 3, views=2)
    all_new = ImageSource(pixels, Transform(Preparation(24)), augmentation("standard", Preparation(24)), 3)
    known = [all_new.load([(epoch, 5)]) for epoch in (1, 2)]
    seen = [few.load([(epoch, 5)]) for epoch in range(1, 20)]
    which = [[torch.equal(image, view) for view in known].index(True) for image in seen]
    assert set(which) == {0, 1}
    chosen = Views(4, 3, 1000)
    drawn = [chosen(1, index) for index in range(1000)]
    assert {drawn.count(view) > 180 for view in (1, 2, 3, 4)} == {True}
    assert drawn == [Views(4, 3, 1000)(1, index) for index in range(1000)] != [chosen(2, i) for i in range(1000)]
    assert drawn != [Views(4, 5, 1000)(1, index) for index in range(1000)]


def test_ahead_keeps_the_order_raises_errors_and_ends() -> None:
    def failing() -> Iterator[int]:
        yield from range(5)
        raise OSError("gone")

    assert list(_ahead(iter(range(20)))) == list(range(20))  # type: ignore[arg-type]
    read = _ahead(failing())  # type: ignore[arg-type]
    assert [next(read) for _ in range(5)] == list(range(5))  # type: ignore[comparison-overlap]
    with pytest.raises(OSError, match="gone"):
        next(read)
    threads = threading.active_count()
    read = _ahead(iter(range(10**9)))  # type: ignore[arg-type]
    next(read)
    read.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads
