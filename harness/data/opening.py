"""Opens an image file with an allowed plugin of Pillow, which reads the header."""

from __future__ import annotations

import io
import struct
import warnings
from functools import cache

from PIL import Image, ImageFile, PngImagePlugin

from harness.data.formats import UnreadableError, file_format, other_kind, pillow_formats
from harness.util.packages import install_command

# Pillow warns of damaged metadata, once per file. The pixels are valid, and `read` ignores the metadata.
for _message in ("Corrupt EXIF data", "Possibly corrupt EXIF data", "Metadata Warning", "Tag data larger than file"):
    warnings.filterwarnings("ignore", message=_message, category=UserWarning)
for _message in ("Truncated File Read", "Image appears to be a malformed MPO", "Invalid APNG"):
    warnings.filterwarnings("ignore", message=_message, category=UserWarning)
# Pillow refuses a PNG with a colour profile or comment of more than 1 MB. The limits are read while a file is opened,
# in any thread, so they cannot be raised for one file only.
PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, 64 * 2**20)
PngImagePlugin.MAX_TEXT_MEMORY = max(PngImagePlugin.MAX_TEXT_MEMORY, 256 * 2**20)


def opened(content: bytes) -> ImageFile.ImageFile:
    """Reads a file's header with the first of Pillow's plugins that accepts it.

    Image.open does the same. But it warns of a large image, or refuses it, before the size is known.
    """
    kind = file_format(content)
    formats = ("HEIF",) if kind == "HEIF" and _can_read_heif() else pillow_formats()
    message = ""
    for name in formats:
        factory, accepts = Image.OPEN[name]
        accepted = accepts is None or accepts(content[:16])
        if isinstance(accepted, str) or not accepted:
            continue
        try:
            return factory(io.BytesIO(content), "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:  # the file is not of this plugin's format
            has_message = isinstance(error, SyntaxError) and error.__cause__ is None
            message = message or (str(error) if has_message else "its header is incomplete")
    raise _unidentified(content, kind, message)


def _unidentified(content: bytes, kind: str, message: str) -> UnreadableError:
    """The error for bytes that no plugin accepts. `message` is from the first plugin that tried."""
    if kind == "HEIF" and not _can_read_heif():
        return UnreadableError(f"HEIC needs pillow-heif: {install_command('heic')}")
    if kind and kind not in (*pillow_formats(), "HEIF"):
        return UnreadableError(f"{kind} needs a newer Pillow: pip install -U pillow")
    reason = f"damaged, or an unusual {kind}: {message}" if kind else other_kind(content)
    return UnreadableError(reason, f"cannot identify an image: {reason}")


@cache
def _can_read_heif() -> bool:
    """Registers pillow-heif's plugin, if it is installed."""
    try:
        import pillow_heif  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True
