"""Images that Python functions receive."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harness.data.decode import read, to_image
from harness.data.given import is_one, raw_of
from harness.errors import DataError, UsageError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def picture(given: Any) -> np.ndarray[Any, Any]:
    raw = raw_of(given)
    return np.array(to_image(raw, (0.0, 65535.0)))


def png(array: np.ndarray[Any, Any]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(array).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize(
    "given",
    [
        PIXELS,
        np.asfortranarray(PIXELS),
        PIXELS[:, ::-1][:, ::-1],
        PIXELS / 255,
        (PIXELS / 255).astype(np.float32),
        np.dstack([PIXELS, np.full((5, 7), 255, np.uint8)]),
        Image.fromarray(PIXELS),
        png(PIXELS),
        bytearray(png(PIXELS)),
        io.BytesIO(png(PIXELS)),
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        torch.from_numpy(PIXELS).permute(2, 0, 1) / 255,
    ],
    ids=[
        *("array", "fortran", "negative strides", "floats", "32 bits", "alpha", "pil", "bytes", "bytearray", "file"),
        *("tensor", "float tensor"),
    ],
)
def test_raw_of_gives_the_same_pixels_for_every_kind(given: Any) -> None:
    assert is_one(given)
    assert (picture(given) == PIXELS).all()


def test_raw_of_applies_the_exif_rotation_to_a_pil_image(tmp_path: Path) -> None:
    """A camera's rotation is in the file's EXIF block, which `Image.open` does not apply."""
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        turned = picture(image)
    assert turned.shape == (7, 5, 3)
    assert (turned == np.array(to_image(read((tmp_path / "turned.png").read_bytes()), None))).all()


def test_raw_of_keeps_more_than_8_bits(tmp_path: Path) -> None:
    deep = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    Image.fromarray(deep).save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as image:
        for given in (deep, image, tmp_path / "deep.png"):
            values = raw_of(given).values
            assert values is not None
            assert (values == deep).all()


@pytest.mark.parametrize("grey", [PIXELS[..., 0], PIXELS[..., :1], torch.from_numpy(PIXELS[..., 0])[None]])
def test_raw_of_takes_grey_images(grey: Any) -> None:
    assert (picture(grey) == PIXELS[..., :1]).all()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros((3, 5, 7), np.uint8), "transpose"),
        (torch.zeros(5, 7, 3), "permute"),
        (np.zeros((0, 7, 3), np.uint8), "not an image"),
        (PIXELS.astype(np.float32), "from 0 to 255"),
        ((PIXELS / 255 - 0.45) / 0.22, "normalisation"),
        (np.full((5, 7), np.nan), "nan"),
        (PIXELS.astype(np.int64), "uint8"),
        (3, "is not an image"),
        (None, "is not an image"),
    ],
    ids=["channels first", "channels last", "empty", "0 to 255", "normalised", "nan", "int64", "number", "none"],
)
def test_raw_of_refuses_values_without_a_known_range(given: Any, says: str) -> None:
    with pytest.raises(UsageError) as error:
        raw_of(given)
    assert says in str(error.value)


def test_raw_of_names_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    for path in (tmp_path / "none.jpg", str(tmp_path / "cut.jpg"), tmp_path):
        with pytest.raises(DataError) as error:
            raw_of(path)
        assert str(path) in error.value.what


def test_is_one_distinguishes_one_image_from_several() -> None:
    assert is_one("a.jpg")
    assert not is_one(["a.jpg"])
    assert not is_one(iter([]))
    assert not is_one(np.zeros((2, 5, 7, 3), np.uint8))
    assert not is_one(torch.zeros(2, 3, 5, 7))


def test_raw_of_takes_open_binary_files_and_refuses_text_and_closed_files(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (3, 2), (1, 2, 3)).save(path)
    with tempfile.NamedTemporaryFile() as upload:  # not an io.IOBase, like the uploads of web frameworks
        upload.write(path.read_bytes())
        upload.seek(0)
        assert is_one(upload)
        assert picture(upload)[0, 0].tolist() == [1, 2, 3]
    with path.open(encoding="utf-8") as text, pytest.raises(UsageError, match="returns no bytes"):
        raw_of(text)
    with pytest.raises(DataError, match=r"x\.png cannot be read"):
        raw_of(text)  # closed by now


def test_is_one_takes_an_array_of_paths_and_refuses_a_dictionary() -> None:
    assert not is_one(np.array(["a.jpg", "b.jpg"]))
    assert not is_one(np.array([Path("a.jpg")], object))
    with pytest.raises(UsageError, match="of type dict is not an image"):
        is_one({"path": "a.jpg"})


def test_raw_of_takes_values_in_either_byte_order() -> None:
    values = np.arange(12, dtype=np.uint16).reshape(3, 4) * 999
    assert np.array_equal(raw_of(values.astype(">u2")).colours, raw_of(values).colours)
