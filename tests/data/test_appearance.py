from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from harness.data.appearance import ROW, Appearance, appearance_of, blur_of, row_of
from harness.data.decode import Raw, read
from tests.data.files import file_of, png, tiff

Grey = NDArray[np.uint8]
RAMP = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (80, 1))  # (80, 100), from 0 to 198


def seen(content: bytes, value_range: tuple[float, float] | None = None) -> list[float]:
    """The numbers of one file, without its blur."""
    columns = appearance_of(row_of(read(content))[None], value_range)
    return [float(column[0]) for column in columns[:-1]]


def scene(side: int = 128, sky: int = 200) -> Image.Image:
    """A sky with a slight gradient, and objects with sharp edges in front, some tilted and some upright."""
    image = Image.fromarray(np.linspace(sky, sky - 20, side).astype(np.uint8)[:, None].repeat(side, axis=1))
    draw, rng = ImageDraw.Draw(image), np.random.default_rng(0)
    for _ in range(12):
        x, y, size = [*rng.integers(0, side, 2).tolist(), side // 6]
        draw.polygon([(x, y), (x + size, y + 5), (x + size // 2, y + size)], fill=int(rng.integers(0, 160)))
        draw.rectangle((y, x, y + size // 3, x + size), fill=int(rng.integers(0, 160)))
    return image


def blurred(image: Image.Image, sigma: float) -> Grey:
    return np.asarray(image.filter(ImageFilter.GaussianBlur(sigma)))


def moved(image: Image.Image, down: int, right: int, steps: int) -> Grey:
    """The image of a camera that moves by `steps` pixels during the exposure."""
    values = np.asarray(image, np.float64)
    shifted = [np.roll(values, (down * step, right * step), (0, 1)) for step in range(steps)]
    return np.mean(shifted, axis=0).round().astype(np.uint8)


def test_row_of_measures_the_pixels() -> None:
    row = row_of(Raw(Image.fromarray(RAMP)))
    assert row.shape == (ROW,)
    assert row.dtype == np.float64
    assert row[:6].tolist() == pytest.approx([99, RAMP.std(), 0, 0, 196, 198])
    assert np.isnan(row[7:]).all()


def test_row_of_is_almost_the_same_at_every_size() -> None:
    small = row_of(Raw(scene(256)))
    for side in (400, 1024, 3000):
        large = row_of(Raw(scene(256).resize((side, side), Image.Resampling.BICUBIC).convert("RGB")))
        assert np.abs(large[[0, 1, 3, 4]] - small[[0, 1, 3, 4]]).max() < 6


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "CMYK", "1"])
def test_row_of_is_the_same_in_every_mode(mode: str) -> None:
    black_and_white = Image.fromarray(np.where(RAMP > 100, 255, 0).astype(np.uint8))
    expected = row_of(Raw(black_and_white))
    assert np.array_equal(row_of(Raw(black_and_white.convert(mode))), expected, equal_nan=True)


def test_row_of_takes_transparent_pixels_as_white() -> None:
    glyph = Image.new("RGBA", (80, 80), (0, 0, 0, 0))
    ImageDraw.Draw(glyph).rectangle((10, 10, 30, 70), fill=(0, 0, 0, 255))
    mean, contrast, lowest, _, high, _ = seen(file_of(glyph))
    assert (lowest, high) == (0, 255)
    assert contrast > 80
    assert 150 < mean < 250
    assert seen(file_of(Image.new("RGBA", (80, 80), (0, 0, 0, 0)))) == [255, 0, 255, 255, 255, 255]


@pytest.mark.parametrize("high", [1023, 4095, 65535])
def test_appearance_of_more_than_8_bits_equals_that_of_8_bits(high: int) -> None:
    expected = seen(file_of(RAMP))
    values = (RAMP.astype(np.float64) * high / 255).round().astype(np.uint16)
    for content in (png(values), tiff(values), png(np.dstack([values] * 3)), tiff(values.astype(np.float32))):
        assert np.abs(np.array(seen(content, (0, high))) - expected).max() < 1.5


def test_appearance_of_is_dark_if_few_of_16_bits_are_used() -> None:
    """All values are below 300 of 65535. That is dark if another image of the data set uses all values."""
    assert seen(tiff(RAMP.astype(np.uint16)), (0, 65535))[4] < 1
    assert seen(tiff(RAMP.astype(np.uint16)), (0, 255))[:2] == pytest.approx([99, RAMP.std()], abs=1)


def test_appearance_of_inverted_values() -> None:
    values = RAMP.astype(np.uint16) * 257
    shown, inverted = (seen(tiff(values, photometric=kind), (0, 65535)) for kind in (1, 0))
    assert inverted[0] == pytest.approx(255 - shown[0], abs=1)
    assert inverted[1] == pytest.approx(shown[1], abs=1)
    assert inverted[3] == pytest.approx(255 - shown[4], abs=3)
    assert inverted[2] <= inverted[3] <= inverted[0] <= inverted[4] <= inverted[5]


def test_row_of_ignores_hot_pixels() -> None:
    values = RAMP.astype(np.uint16)
    values[0, 0] = 65535
    assert seen(tiff(values), (0, 255))[:2] == pytest.approx([99, RAMP.std()], abs=1)


@pytest.mark.parametrize("value", [0, 1234, 65535])
def test_row_of_a_constant_image_of_16_bits(value: int) -> None:
    mean, contrast, *_ = seen(tiff(np.full((70, 70), value, np.uint16)), (0, 65535))
    assert (mean, contrast) == pytest.approx((value / 257, 0), abs=0.1)


def test_appearance_of_keeps_what_is_unknown() -> None:
    rows = np.full((3, ROW), np.nan)
    rows[1] = row_of(Raw(Image.fromarray(RAMP)))
    appearance = appearance_of(rows, (0, 4095))
    assert isinstance(appearance, Appearance)
    assert np.isnan(appearance.brightness).tolist() == [True, False, True]
    assert appearance.brightness[1] == 99
    assert len(appearance_of(rows[:0], None).blur) == 0


def test_blur_of_rises_with_the_radius() -> None:
    blurs = [blur_of(blurred(scene(), sigma)) for sigma in (0, 0.5, 1, 1.5, 2, 3, 5)]
    assert blurs == sorted(blurs)
    assert blurs[0] < 0.3
    assert blurs[-3] > 0.7


@pytest.mark.parametrize(("down", "right"), [(0, 1), (1, 0), (1, 1), (1, -1)])
def test_blur_of_finds_motion_blur(down: int, right: int) -> None:
    assert blur_of(moved(scene(), down, right, 1)) < 0.3
    assert blur_of(moved(scene(), down, right, 8)) > 0.67


def test_blur_of_does_not_call_a_smooth_subject_blurred() -> None:
    """In cleanlab/cleanvision#120 and tokenrove/blur-detection#14, uniform images and skies count as blurred."""
    sky = scene(sky=150).crop((0, 0, 128, 128))
    for image in (Image.new("L", (128, 128), 90), Image.fromarray(RAMP), Image.linear_gradient("L")):
        assert np.isnan(blur_of(np.asarray(image)))
    horizon = Image.new("L", (128, 128), 200)
    ImageDraw.Draw(horizon).rectangle((0, 70, 128, 128), fill=60)
    assert blur_of(np.asarray(horizon)) < 0.1
    assert blur_of(np.asarray(sky)) < 0.3


def test_blur_of_does_not_call_a_sharp_object_on_black_blurred() -> None:
    """In cleanlab/cleanvision#185, a sharp object on a black background counts as blurred: it has little detail."""
    image = Image.new("L", (128, 128))
    ImageDraw.Draw(image).ellipse((40, 40, 90, 90), fill=180)
    assert blur_of(np.asarray(image)) < 0.3
    assert blur_of(blurred(image, 3)) > 0.7


def test_blur_of_does_not_call_a_blurred_texture_sharp() -> None:
    """In deepchecks/deepchecks#1945, blurred leaves count as sharper than a sharp object on a plain background."""
    leaves = Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128), np.uint8))
    object_ = Image.new("L", (128, 128), 200)
    ImageDraw.Draw(object_).ellipse((40, 40, 90, 90), fill=60)
    assert blur_of(blurred(leaves, 1.5)) > blur_of(np.asarray(object_)) + 0.2


def test_blur_of_a_large_image_with_little_contrast() -> None:
    """In cleanlab/cleanvision#119, images of high resolution and low contrast count as blurred."""
    faint = scene(1600).point(lambda value: 100 + value // 4)
    assert row_of(Raw(faint.convert("RGB")))[6] < 0.5


def test_blur_of_an_image_that_is_too_small() -> None:
    assert np.isnan(blur_of(np.asarray(scene(63))))
    assert np.isnan(row_of(Raw(Image.new("L", (1, 1))))[6])
    assert np.isnan(row_of(Raw(Image.new("L", (5000, 1))))[6])


def test_blur_of_real_photographs(scenes: Path) -> None:
    images = [Image.open(path).convert("L") for path in sorted((scenes / "test").rglob("*.jpg"))]
    sharp, soft = ([blur_of(blurred(image, sigma)) for image in images] for sigma in (0, 3 * 100 / 224))
    assert sum(blur > 0.67 for blur in sharp) <= 1  # of 35: a close wave, which is slightly blurred
    assert np.quantile(soft, 0.1) > 0.67
