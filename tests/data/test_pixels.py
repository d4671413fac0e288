from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from harness.cache.store import Cache
from harness.data import pixels as module
from harness.data.check import check_images
from harness.data.decode import read
from harness.data.listing import list_images
from harness.data.pixels import Pixels
from harness.data.prepare import Preparation
from harness.errors import DataError
from harness.util.parallel import in_threads


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A mark for each image that is decoded."""
    marks: list[int] = []

    def counting(content: bytes) -> object:
        marks.append(len(content))
        return read(content)

    monkeypatch.setattr("harness.data.prepare.read", counting)
    monkeypatch.setattr("harness.data.check.read", counting)
    return marks


def pixels_of(root: Path, memory: int = module.MEMORY) -> Pixels:
    images = list_images(root)
    return Pixels(images, check_images(images).hashes, Preparation(24), memory)


@pytest.mark.parametrize("memory", [module.MEMORY, 0], ids=["held", "not held"])
def test_take_returns_the_pixels_of_the_files(scenery: Path, memory: int) -> None:
    pixels = pixels_of(scenery, memory)
    taken = pixels.take([5, 0, 5])
    assert taken.shape == (3, 3, 24, 24)
    assert taken.dtype == torch.uint8
    assert taken.is_contiguous(memory_format=torch.channels_last)
    for row, index in enumerate([5, 0, 5]):
        expected = Preparation(24).decode((scenery / pixels.images.paths[index]).read_bytes())
        assert torch.equal(taken[row].permute(1, 2, 0), torch.from_numpy(expected))
    taken.zero_()  # a copy: changing it must not change the stored pixels
    assert pixels.take([5]).any()


def test_keep_in_stores_images_in_memory_or_on_disk(scenery: Path, tmp_path: Path, decoded: list[int]) -> None:
    held, cached, live = pixels_of(scenery), pixels_of(scenery, memory=1000), pixels_of(scenery, memory=1000)
    decoded.clear()  # what the checks decoded
    assert (held.held, cached.held) == (True, False)
    held.keep_in(Cache(tmp_path), range(33))
    assert list(tmp_path.iterdir()) == []
    cached.keep_in(Cache(tmp_path), range(33))
    assert len(decoded) == 66
    live.keep_in(None, range(33))
    for _ in range(3):
        assert torch.equal(held.take(range(33)), cached.take(range(33)))
    assert len(decoded) == 66
    again = pixels_of(scenery, memory=1000)
    decoded.clear()
    again.keep_in(Cache(tmp_path), range(33))  # as another run would
    assert torch.equal(again.take([7, 3]), live.take([7, 3]))
    assert len(decoded) == 2


def test_keep_in_decodes_again_for_another_size_or_decoder(
    scenery: Path, tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = list_images(scenery)
    hashes = check_images(images).hashes

    def keep(size: int) -> int:
        """The number of images that had to be decoded."""
        decoded.clear()
        pixels = Pixels(images, hashes, Preparation(size), memory=1000)
        pixels.keep_in(Cache(tmp_path), range(33))
        assert pixels.take([0]).shape == (1, 3, size, size)
        return len(decoded)

    assert [keep(24), keep(24), keep(16), keep(16)] == [33, 0, 33, 0]
    monkeypatch.setitem(module.DECODER, "pillow", "another version")
    assert keep(24) == 33


def test_check_images_stores_decoded_pixels_and_uses_the_cache(
    scenery: Path, tmp_path: Path, decoded: list[int]
) -> None:
    images, cache = list_images(scenery), Cache(tmp_path)
    check_images(images.take(range(30)), cache=cache)
    decoded.clear()
    check = check_images(images, Preparation(24))
    assert check.pixels is not None
    check.pixels.take(range(33))
    assert len(decoded) == 33
    known = check_images(images, Preparation(24), cache)
    assert len(decoded) == 36
    assert known.pixels is not None
    assert torch.equal(known.pixels.take(range(33)), check.pixels.take(range(33)))
    assert len(decoded) == 66


def test_without_removes_images(scenery: Path) -> None:
    pixels = pixels_of(scenery)
    pixels.take([0])
    rest = pixels.without([pixels.images.paths[1]])
    assert torch.equal(rest.take(range(32)), pixels.take([0, *range(2, 33)]))
    assert rest.hashes == (pixels.hashes[0], *pixels.hashes[2:])


def test_take_raises_if_an_image_changes_during_a_run(scenery: Path, tmp_path: Path) -> None:
    shutil.copytree(scenery, tmp_path / "copy")
    pixels = pixels_of(tmp_path / "copy")
    path = tmp_path / "copy" / pixels.images.paths[0]
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DataError, match="has changed"):
        pixels.take([0])
    path.unlink()
    with pytest.raises(DataError, match="cannot be read any more"):
        pixels.take([0])


def test_in_threads_keeps_the_order_and_stays_only_a_few_ahead() -> None:
    begun: list[int] = []

    def square(number: int) -> int:
        begun.append(number)
        return number * number

    squares = in_threads(square, range(10_000))
    assert [next(squares) for _ in range(3)] == [0, 1, 4]
    assert len(begun) < 2000
    squares.close()  # type: ignore[attr-defined]
    assert list(in_threads(square, [])) == []
