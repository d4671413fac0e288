from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from harness.data.appearance import ROW, appearance_of, row_of
from harness.data.decode import Raw
from harness.data.file_facts import FileFacts
from harness.data.images import Images
from harness.data.odd_images import Oddity, odd_images
from harness.runs.data_check_record import OddKind

Change = Callable[[Image.Image], Image.Image]


def found_in(pictures: Sequence[Image.Image], problems: dict[str, str] | None = None) -> tuple[list[Oddity], list[str]]:
    paths = tuple(f"{place:04}.png" for place in range(len(pictures)))
    images = Images(Path(), ("a",), paths, (0,) * len(paths))
    broken = [path in (problems or {}) for path in paths]
    rows = [np.full(ROW, np.nan) if bad else row_of(Raw(image)) for image, bad in zip(pictures, broken, strict=True)]
    facts = [FileFacts() if bad else FileFacts(width=image.width, height=image.height)
             for image, bad in zip(pictures, broken, strict=True)]  # fmt: skip
    return odd_images(images, facts, appearance_of(np.array(rows).reshape(-1, ROW), None), problems or {})


def kinds_of(pictures: Sequence[Image.Image]) -> list[tuple[int, str]]:
    return [(position, kind) for position, kind, _ in found_in(pictures)[0]]


def picture(seed: int, side: int = 96) -> Image.Image:
    """Shapes of many shades on a background."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (side, side), tuple(rng.integers(60, 200, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(15):
        x, y, *size = rng.integers(0, side, 4).tolist()
        color = tuple(rng.integers(0, 256, 3).tolist())
        draw.polygon([(x, y), (size[0], y), (x, size[1])], fill=color)
    draw.rectangle((0, 0, 20, 20), fill="black")
    draw.rectangle((70, 70, 90, 90), fill="white")
    return image


def scaled(factor: float, offset: float) -> Change:
    return lambda image: image.point(lambda value: round(value * factor + offset))


def resized(width: int, height: int) -> Change:
    return lambda image: image.resize((width, height))


CHANGES: dict[str, Change] = {
    "blank": lambda image: Image.new("RGB", image.size, (200, 100, 0)),
    "dark": scaled(0.15, 0),
    "bright": scaled(0.15, 215),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(3)),
    "small": resized(20, 20),
    "large": resized(450, 450),
    "narrow": resized(96, 24),
}


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [picture(seed) for seed in range(40)]


def test_odd_images_finds_nothing_among_usual_images(pictures: list[Image.Image]) -> None:
    assert found_in(pictures) == ([], [])
    assert found_in([]) == ([], [])


@pytest.mark.parametrize("kind", CHANGES)
def test_odd_images_finds_a_kind(kind: str, pictures: list[Image.Image]) -> None:
    changed = [CHANGES[kind](image) if place in (3, 30) else image for place, image in enumerate(pictures)]
    assert kinds_of(changed) == [(3, kind), (30, kind)]


def test_odd_images_finds_nothing_if_all_are_nearly_black(pictures: list[Image.Image]) -> None:
    assert found_in([image.point(lambda value: value // 20) for image in pictures]) == ([], [])


@pytest.mark.parametrize("kind", ["dark", "bright", "blurred", "small", "large", "narrow"])
def test_odd_images_finds_nothing_if_all_are_of_the_kind(kind: str, pictures: list[Image.Image]) -> None:
    assert found_in([CHANGES[kind](image) for image in pictures]) == ([], [])


def test_odd_images_ignores_a_difference_of_a_few_pixels(pictures: list[Image.Image]) -> None:
    """cleanlab/cleanvision#247: if most images have one size, the quartiles are equal, and all others count as odd."""
    changed = [image.resize((95 + place, 98)) if place < 3 else image for place, image in enumerate(pictures)]
    assert found_in(changed) == ([], [])


@pytest.mark.parametrize("side", [28, 32])
def test_odd_images_finds_nothing_in_a_set_of_small_images(side: int) -> None:
    """MNIST has images of 28 pixels, CIFAR of 32."""
    assert found_in([picture(seed, 96).resize((side, side)) for seed in range(40)]) == ([], [])


def test_odd_images_gives_the_value_and_the_median(pictures: list[Image.Image]) -> None:
    changed = [*pictures, *(CHANGES[kind](pictures[0]) for kind in ("blank", "dark", "small", "narrow"))]
    reasons = [reason for _, _, reason in found_in(changed)[0]]
    assert reasons[0].startswith("contrast 0.0 of 255; median of the data set ")
    assert reasons[1].startswith("99 % of the pixels are at most 38 of 255; median of the data set 2")
    assert reasons[2] == "20 x 20 pixels; median of the data set 96 x 96"
    assert reasons[3] == "96 x 24 pixels; median of the data set 96 x 96"


def test_odd_images_names_undecodable_images(pictures: list[Image.Image]) -> None:
    found, notes = found_in(pictures, {"0002.png": "truncated", "0005.png": "a PDF"})
    assert found == [Oddity(2, "cannot be decoded", "truncated"), Oddity(5, "cannot be decoded", "a PDF")]
    assert notes == []
    broken = {f"{place:04}.png": "empty" for place in range(len(pictures))}
    assert len(found_in(pictures, broken)[0]) == len(pictures)


def test_odd_images_uses_the_kinds_of_the_record() -> None:
    assert {*CHANGES, "cannot be decoded"} == {kind.value for kind in OddKind}


def test_odd_images_notes_a_kind_that_is_too_common(pictures: list[Image.Image]) -> None:
    """A third of the images is small: they are another source of images, not exceptions."""
    changed = [CHANGES["small"](image) if place % 3 == 0 else image for place, image in enumerate(pictures)]
    found, notes = found_in(changed)
    assert [odd.kind for odd in found] == []
    assert notes == ["small: 14 of 40 images, too many to be exceptions, and not listed one by one"]


def test_odd_images_does_not_list_a_class_of_dark_images(pictures: list[Image.Image]) -> None:
    """Nine of ten images of the night are dark, and one image of the forest."""
    night = [CHANGES["dark"](image) if place else image for place, image in enumerate(pictures[:10])]
    forest = [*pictures, *pictures, CHANGES["dark"](pictures[0])]
    paths = tuple(map(str, range(len(night) + len(forest))))
    images = Images(Path(), ("forest", "night"), paths, (1,) * len(night) + (0,) * len(forest))
    rows = np.array([row_of(Raw(image)) for image in [*night, *forest]])
    facts = [FileFacts(width=96, height=96)] * len(paths)
    found, notes = odd_images(images, facts, appearance_of(rows, None), {})
    assert [(odd.position, odd.kind) for odd in found] == [(len(paths) - 1, "dark")]
    assert notes == ["dark: 9 of 10 images of night, too many to be exceptions, and not listed one by one"]


def test_odd_images_lists_many_blank_images(pictures: list[Image.Image]) -> None:
    changed = [CHANGES["blank"](image) if place % 3 == 0 else image for place, image in enumerate(pictures)]
    assert Counter(kind for _, kind in kinds_of(changed)) == {"blank": 14}
    whole = "40 of 40 images, too many to be exceptions, and not listed one by one"
    assert found_in([CHANGES["blank"](image) for image in pictures]) == ([], [f"blank: {whole}"])


def test_odd_images_compares_nothing_in_a_few_images(pictures: list[Image.Image]) -> None:
    assert kinds_of([*pictures[:5], CHANGES["dark"](pictures[5]), CHANGES["large"](pictures[6])]) == []
    assert kinds_of([*pictures[:5], CHANGES["blank"](pictures[5])]) == [(5, "blank")]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "LA"])
def test_odd_images_ignores_another_mode(mode: str, pictures: list[Image.Image]) -> None:
    assert kinds_of([*pictures, *(image.convert(mode) for image in pictures[:3])]) == []


def test_odd_images_does_not_call_a_transparent_drawing_dark(pictures: list[Image.Image]) -> None:
    """elisemercury/Duplicate-Image-Finder#30: black lines before a transparent background are read as all black."""
    drawing = Image.new("RGBA", (96, 96), (0, 0, 0, 0))
    for place in range(5, 90, 10):
        ImageDraw.Draw(drawing).line((place, 0, 90 - place, 90), fill=(0, 0, 0, 255), width=2)
    assert kinds_of([*pictures, drawing]) == []


def test_odd_images_does_not_call_a_cut_out_object_bright(pictures: list[Image.Image]) -> None:
    cut_out = pictures[0].convert("RGBA")
    alpha = Image.new("L", cut_out.size)
    ImageDraw.Draw(alpha).rectangle((0, 0, 40, 30), fill=255)
    cut_out.putalpha(alpha)
    assert kinds_of([*pictures, cut_out]) == []


def test_odd_images_does_not_call_stars_on_black_blank(pictures: list[Image.Image]) -> None:
    sky = Image.new("RGB", (96, 96))
    sky.putpixel((40, 40), (255, 255, 255))
    assert kinds_of([*pictures, sky]) == [(40, "dark")]
    skies = []
    for seed in range(40):
        stars = np.random.default_rng(seed).integers(0, 96, (8, 2))
        night = Image.new("L", (96, 96), 3)
        for x, y in stars.tolist():
            night.putpixel((x, y), 120)
        skies.append(night)
    assert found_in(skies) == ([], [])


def test_odd_images_among_real_photographs(scenes: Path) -> None:
    """Finds at most 1 % of normal photographs of sea and forest, and at least 90 % of changed ones."""
    paths = sorted((scenes / "train").rglob("*.jpg"))[::8]
    photographs = [Image.open(path).convert("RGB") for path in paths]
    assert len(found_in(photographs)[0]) <= 0.01 * len(photographs)
    for kind, change in CHANGES.items():
        changed = [change(image) if place % 12 == 0 else image for place, image in enumerate(photographs)]
        found = {position for position, name in kinds_of(changed) if name == kind and position % 12 == 0}
        assert len(found) >= 0.9 * len(range(0, len(photographs), 12)), kind
