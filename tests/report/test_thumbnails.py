"""Thumbnails have the pixels of a photograph, but no metadata of its file."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from harness.report.thumbnails import Thumbnail, thumbnail, thumbnails, thumbnails_within
from tests.report.laid import picture

SECRETS = (b"Anna Smith", b"secret comment", b"secret xmp", b"CANON OF ANNA", b"2021:05:06")


def photograph(orientation: int = 1) -> bytes:
    """A JPEG like that of a phone, with place, time, author and camera in its metadata. Its left half is red."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30] = (220, 20, 20)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x013B], exif[0x0132] = orientation, "CANON OF ANNA", "Anna Smith", "2021:05:06"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    content = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(
        content, "jpeg", exif=exif, comment=b"secret comment", xmp=b"<x>secret xmp</x>", icc_profile=profile
    )
    assert all(secret in content.getvalue() for secret in SECRETS)
    return content.getvalue()


def bytes_of(small: Thumbnail | None) -> bytes:
    assert small is not None
    return base64.b64decode(small.address.partition(",")[2])


def test_thumbnails_have_no_metadata(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photograph())
    text = PngInfo()
    text.add_text("Author", "Anna Smith")
    Image.new("RGB", (30, 30)).save(tmp_path / "b.png", pnginfo=text)
    for small in thumbnails(tmp_path, ["a.jpg", "b.png"]):
        content = bytes_of(small)
        for secret in (*SECRETS, b"Exif", b"ICC_PROFILE", b"http:", b"Adobe"):
            assert secret not in content, secret
        opened = Image.open(io.BytesIO(content))
        assert not opened.getexif()
        assert {*opened.info} <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize(
    ("orientation", "size", "red"), [(1, (60, 40), (5, 20)), (6, (40, 60), (20, 5)), (3, (60, 40), (55, 20))]
)
def test_thumbnails_are_rotated_by_exif(
    tmp_path: Path, orientation: int, size: tuple[int, int], red: tuple[int, int]
) -> None:
    (tmp_path / "a.jpg").write_bytes(photograph(orientation))
    (small,) = thumbnails(tmp_path, ["a.jpg"])
    opened = Image.open(io.BytesIO(bytes_of(small)))
    assert opened.size == size
    assert opened.getpixel(red)[0] > 180  # type: ignore[index]


def test_thumbnails_of_missing_or_damaged_images_are_none(tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(photograph()[:-400])
    (tmp_path / "text.png").write_bytes(b"a letter")
    (tmp_path / "good.jpg").write_bytes(picture(1))
    found = list(thumbnails(tmp_path, ["gone.jpg", "text.png", "good.jpg", "cut.jpg"]))
    assert [small is None for small in found] == [True, True, False, True]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1", "I;16"])
def test_thumbnails_support_all_image_modes(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode in ("CMYK", "I;16") else "a.png")
    Image.new(mode, (300, 200)).save(path)
    (small,) = thumbnails(tmp_path, [path.name], side=100)
    assert Image.open(io.BytesIO(bytes_of(small))).size == (100, 67)


def test_thumbnail_is_not_larger_than_its_image() -> None:
    small = thumbnail(Image.new("RGB", (28, 28)))
    assert (small.width, small.height) == (28, 28)


def test_thumbnails_within_counts_repeated_images_each_time(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number))
    once = thumbnails_within(10_000, tmp_path, ["0.jpg", "1.jpg", "2.jpg", "gone.jpg"])
    assert list(once) == ["0.jpg", "1.jpg", "2.jpg", "gone.jpg"]
    assert once["gone.jpg"] is None
    sizes = [len(small.address) for small in once.values() if small is not None]
    # the page shows the second image three times, so there is no room for the third
    assert list(thumbnails_within(sum(sizes), tmp_path, ["0.jpg", *["1.jpg"] * 3, "2.jpg"])) == ["0.jpg"]
    most = sizes[0] + 3 * sizes[1]
    assert list(thumbnails_within(most, tmp_path, ["0.jpg", *["1.jpg"] * 3, "2.jpg"])) == ["0.jpg", "1.jpg"]
