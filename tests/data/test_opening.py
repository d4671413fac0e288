from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFile

from harness.data.formats import UnreadableError
from harness.data.opening import opened
from tests.data.files import file_of

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"])
def test_opened_reads_the_header_only(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    with opened(file_of(Image.fromarray(GREY).convert("RGB"), kind)) as file:
        assert (file.format, file.size) == (kind, (8, 8))


def test_opened_opens_no_format_that_starts_a_program() -> None:
    with pytest.raises(UnreadableError, match="a text file"):
        opened(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")


def test_opened_names_a_damaged_header() -> None:
    with pytest.raises(UnreadableError, match="damaged, or an unusual GIF: its header is incomplete"):
        opened(file_of(GREY, "GIF")[:9])
