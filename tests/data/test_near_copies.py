from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from harness.data.decode import Raw, decode
from harness.data.near_copies import STEPS, NearCopy, find_near_copies
from harness.data.sketch import sketch_of
from tests.data.files import file_of

Change = Callable[[Image.Image], Image.Image]


def near_copies(of: NDArray[np.uint8], **options: Any) -> list[NearCopy]:
    return list(find_near_copies(of, **options).pairs)


def saved(image: Image.Image, quality: int) -> Image.Image:
    return decode(file_of(image, "JPEG", quality=quality))


def cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    box = (0, 0.05 * height, 0.95 * width, height)
    return image.crop(tuple(map(round, box))).resize(image.size)


CHANGES: dict[str, Change] = {
    "saved again": lambda image: saved(image, quality=40),
    "resized": lambda image: image.resize((image.width * 2 // 3, image.height // 2)),
    "cropped": cropped,
    "mirrored": ImageOps.mirror,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "turned by 90°": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned by 270°": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "upside down": lambda image: image.transpose(Image.Transpose.ROTATE_180),
}
TURNS = ("mirrored", "turned by 90°", "turned by 270°", "upside down")


def textures(count: int, seed: int = 0) -> list[Image.Image]:
    """Images with structures of all sizes, like photographs: noise whose power decreases with its frequency."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(96), np.fft.rfftfreq(96), indexing="ij")) + 1 / 96
    spectra = rng.standard_normal((count, *frequency.shape)) + 1j * rng.standard_normal((count, *frequency.shape))
    fields = np.fft.irfft2(spectra / frequency**1.2, s=(96, 96))
    fields = 128 + 50 * (fields - fields.mean((1, 2), keepdims=True)) / fields.std((1, 2), keepdims=True)
    return [Image.fromarray(field.clip(0, 255).astype(np.uint8)).convert("RGB") for field in fields]


def sketches(images: list[Image.Image]) -> NDArray[np.uint8]:
    return np.stack([sketch_of(Raw(image=image)) for image in images])


@pytest.mark.parametrize("count", [12, 120])
@pytest.mark.parametrize("name", CHANGES)
def test_find_near_copies_finds_a_changed_copy_and_nothing_else(name: str, count: int) -> None:
    images = textures(count)
    found = near_copies(sketches([*images, *(CHANGES[name](image) for image in images[:10])]))
    pairs = {(pair.first, pair.second) for pair in found}
    assert pairs <= {(i, count + i) for i in range(10)}
    assert len(pairs) >= 9  # a crop may change too many bits of the hash
    assert {pair.turn for pair in found} == {name if name in TURNS else ""}
    assert all(0.7 < pair.agreement <= 1 for pair in found)


def test_find_near_copies_finds_nothing_among_different_images() -> None:
    assert near_copies(sketches(textures(400))) == []


def test_find_near_copies_ignores_patterns_that_all_images_share() -> None:
    """A caption and a round mask make all images of a microscope or of a wildlife camera similar."""

    def framed(image: Image.Image) -> Image.Image:
        mask = Image.new("L", image.size)
        ImageDraw.Draw(mask).ellipse((4, 4, 91, 91), fill=255)
        result = Image.composite(image, Image.new("RGB", image.size), mask)
        ImageDraw.Draw(result).rectangle((0, 86, 95, 95), fill="white")
        return result

    images = textures(200)
    copies = [saved(framed(image), quality=40) for image in images[:5]]
    found = near_copies(sketches([*map(framed, images), *copies]))
    assert [(pair.first, pair.second) for pair in found] == [(i, 200 + i) for i in range(5)]


def digits(count: int) -> list[Image.Image]:
    """Handwritten digits of 28 pixels, enlarged from the 8 pixels in scikit-learn."""
    from sklearn.datasets import load_digits

    values = (16 * load_digits().images[:count]).clip(0, 255).astype(np.uint8)
    return [Image.fromarray(value).resize((28, 28), Image.Resampling.BILINEAR) for value in values]


def test_find_near_copies_does_not_report_simple_shapes() -> None:
    """Two handwritten ones agree as well as copies that were saved again. Only a very high agreement is reported."""
    small = [image.convert("RGB") for image in digits(1200)]
    with_a_margin = [ImageOps.expand(image.resize((20, 20)), 4) for image in small]  # as in MNIST
    for images in (small, with_a_margin):
        found = near_copies(sketches([*images, ImageOps.mirror(images[400]), images[100].resize((40, 40))]))
        assert {(400, 1200), (100, 1201)} <= {(pair.first, pair.second) for pair in found}
        assert len(found) < 20  # of 720,600 pairs


def test_find_near_copies_does_not_report_screenshots_of_one_program() -> None:
    rng = np.random.default_rng(0)
    screens = []
    for _ in range(200):
        screen = Image.new("RGB", (320, 200), "#eeeeee")
        draw = ImageDraw.Draw(screen)
        draw.rectangle((0, 0, 320, 12), fill="#333355")
        draw.rectangle((0, 12, 70, 200), fill="#ccccdd")
        for y in range(20, 180, 14):
            draw.text((80, y), "".join(rng.choice(list("aeiounrst"), rng.integers(3, 36))), fill="black")
        screens.append(screen)
    assert len(near_copies(sketches(screens))) <= 1  # of 19,900 pairs


def test_find_near_copies_sets_is_cut_if_not_all_were_compared() -> None:
    one = textures(1)[0]
    rng = np.random.default_rng(0)
    noisy = [np.asarray(one, int) + rng.integers(-20, 21, (96, 96, 1)) for _ in range(400)]
    frames = sketches([Image.fromarray(values.clip(0, 255).astype(np.uint8)) for values in noisy])
    assert find_near_copies(frames[:300]).is_cut is False
    assert find_near_copies(frames).is_cut  # 79,800 pairs


def test_find_near_copies_does_not_report_pages_of_text() -> None:
    """As in idealo/imagededup#80 and #86: the layouts of all pages of text are similar."""
    rng = np.random.default_rng(0)
    pages = []
    for _ in range(60):
        page = Image.new("RGB", (210, 297), "white")
        for y in range(15, 280, 11):
            ImageDraw.Draw(page).text(
                (15, y), "".join(rng.choice(list("aeiou nrst"), rng.integers(8, 30))), fill="black"
            )
        pages.append(page)
    assert near_copies(sketches(pages)) == []


def test_find_near_copies_reports_consecutive_frames_of_a_video() -> None:
    """Consecutive frames are near copies. Frames of two scenes are not."""
    frames = []
    for scene in range(3):
        wide = textures(1, seed=100 + scene)[0].resize((300, 300))
        frames += [wide.crop((2 * number, 0, 2 * number + 200, 200)) for number in range(30)]
    found = near_copies(sketches(frames))
    assert all(pair.first // 30 == pair.second // 30 for pair in found)
    following = {(pair.first, pair.second) for pair in found if pair.second == pair.first + 1}
    assert len(following) > 0.9 * 3 * 29


def test_find_near_copies_is_the_same_in_several_blocks() -> None:
    """In elisemercury/Duplicate-Image-Finder#103, pairs are wrong as soon as one batch is full."""
    images = textures(30)
    few = sketches([*images[:20], *(saved(image, 50) for image in images[:10])])
    others = np.random.default_rng(0).integers(0, 256, (2500, 32, 32)).astype(np.uint8)
    found = near_copies(np.concatenate([few[:20], others, few[20:]]))
    assert [(pair.first, pair.second) for pair in found] == [(i, 2520 + i) for i in range(10)]


def test_find_near_copies_finds_all_pairs_of_many_copies() -> None:
    images = textures(60)
    found = near_copies(sketches([*images, saved(images[7], quality=50), saved(images[7], quality=20)]))
    assert {(pair.first, pair.second) for pair in found} == set(combinations((7, 60, 61), 2))


def test_find_near_copies_ignores_flat_images() -> None:
    flat = [Image.new("RGB", (50, 50), (level, level, level)) for level in range(100, 120)]
    assert near_copies(sketches(flat)) == []


def test_find_near_copies_finds_nothing_if_all_hashes_differ() -> None:
    assert near_copies(sketches(textures(2))) == []


@pytest.mark.parametrize("count", [0, 1])
def test_find_near_copies_of_too_few_images(count: int) -> None:
    assert near_copies(sketches(textures(2))[:count]) == []


def test_find_near_copies_among_photographs(scenes: Path) -> None:
    """Two true pairs are known in these photographs; 60 more are planted."""
    paths = sorted((scenes / "train").rglob("*.jpg"), key=lambda path: (path.name, str(path)))
    images = [Image.open(path).convert("RGB") for path in paths]
    changes = [CHANGES[name] for name in ("saved again", "resized", "cropped", "mirrored", "brighter")]
    planted = [int(i) for i in np.random.default_rng(0).choice(len(images), 60, replace=False)]
    copies = [changes[number % 5](images[i]) for number, i in enumerate(planted)]
    found = {(pair.first, pair.second) for pair in near_copies(sketches([*images, *copies]))}
    expected = {(i, len(images) + number) for number, i in enumerate(planted)}
    names = {path.name: number for number, path in enumerate(paths)}
    known = {tuple(sorted((names[a], names[b]))) for a, b in (("11846.jpg", "4371.jpg"), ("2012.jpg", "7369.jpg"))}
    assert len(found & expected) >= 59
    copies_of_known = {pair for pair in found - expected if pair[1] >= len(images)}
    assert found - expected - copies_of_known == known


@pytest.mark.parametrize("count", [30, 120])
def test_find_near_copies_across_finds_only_pairs_between_the_two_parts(count: int) -> None:
    images = textures(count)
    images += [saved(images[3], quality=40), Image.new("RGB", (50, 50)), saved(images[-1], quality=40)]
    pairs = {(pair.first, pair.second) for pair in near_copies(sketches(images))}
    assert pairs == {(3, count), (count - 1, count + 2)}
    for across in (count, 4):
        assert {(pair.first, pair.second) for pair in near_copies(sketches(images), across=across)} == {
            pair for pair in pairs if pair[0] < across <= pair[1]
        }
    for across in (0, len(images)):
        assert near_copies(sketches(images), across=across) == []


def test_find_near_copies_steps_a_hundred_times() -> None:
    images, steps = textures(150), []
    near_copies(sketches([*images, saved(images[0], quality=40)]), step=lambda: steps.append(1))
    assert len(steps) == STEPS
