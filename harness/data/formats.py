"""Image formats that can be read, file names that count as images, and descriptions of other kinds of files."""

from __future__ import annotations

import io
import re
import struct
from functools import cache
from pathlib import PurePosixPath

from PIL import Image, TiffImagePlugin

# Pillow's image formats that are safe to open. EPS and WMF are left out, because Pillow gives them to Ghostscript and
# to Windows, whatever the file's name is. PSD is left out, because without Photoshop's compatibility option its image
# is white. TGA is last, because it cannot be recognised by its first bytes.
READABLE = (
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "SGI", "SUN"),
    *("TIFF", "WEBP", "XBM", "XPM", "TGA"),
)

_READABLE_SUFFIXES = (
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .avif .avifs .bmp .dib .gif .tif .tiff .jp2 .j2k .j2c .jpc .jpf .jpx "
    ".pbm .pgm .ppm .pnm .pfm .tga .icb .vda .vst .dds .pcx .ico .icns .qoi .sgi .rgb .rgba .bw .ras .xbm .xpm"
)
# These need an extra package or a conversion. They count as images, so that an error reports them.
_OTHER_SUFFIXES = (
    ".heic .heif .hif .jxl .cr2 .cr3 .crw .nef .nrw .arw .sr2 .srf .dng .orf .rw2 .raf .pef .srw .x3f .dcm .dicom"
)
SUFFIXES = frozenset(f"{_READABLE_SUFFIXES} {_OTHER_SUFFIXES}".split())  # lower case

# (offset, bytes) -> description of files that are never opened as an image
_UNREADABLE: dict[tuple[int, bytes], str] = {
    (0, b"%PDF"): "a PDF",
    (0, b"%!PS"): "an EPS",
    (0, b"\xc5\xd0\xd3\xc6"): "an EPS",
    (0, b"\xd7\xcd\xc6\x9a"): "a Windows metafile (WMF)",
    (40, b" EMF"): "a Windows metafile (EMF)",
    (0, b"8BPS"): "a Photoshop file",
    (0, b"gimp xcf"): "a GIMP file",
    (0, b"\xff\x0a"): "a JPEG XL picture",
    (0, b"\0\0\0\x0cJXL \r\n\x87\n"): "a JPEG XL picture",
    (0, b"II\xbc\x01"): "a JPEG XR picture",
    (0, b"v/1\x01"): "an OpenEXR picture",
    (0, b"#?RADIANCE"): "a Radiance picture (HDR)",
    (0, b"AT&TFORM"): "a DjVu document",
    (8, b"CR\x02\0"): "a camera raw file (CR2)",
    (6, b"HEAPCCDR"): "a camera raw file (CRW)",
    (0, b"IIRO"): "a camera raw file (ORF)",
    (0, b"IIRS"): "a camera raw file (ORF)",
    (0, b"MMOR"): "a camera raw file (ORF)",
    (0, b"IIU\0"): "a camera raw file (RW2)",
    (0, b"FUJIFILMCCD-RAW"): "a camera raw file (RAF)",
    (0, b"FOVb"): "a camera raw file (X3F)",
    (128, b"DICM"): "a DICOM",
    (0, b"SIMPLE  ="): "a FITS file",
    (0, b"\x93NUMPY"): "a NumPy array",
    (0, b"\x89HDF\r\n"): "an HDF5 file",
    (0, b"MATLAB 5.0"): "a MATLAB file",
    (0, b"SQLite format 3"): "an SQLite database",
    (0, b"PK\x03\x04"): "a ZIP archive",
    (0, b"PK\x05\x06"): "a ZIP archive",
    (0, b"Rar!\x1a\x07"): "a RAR archive",
    (0, b"7z\xbc\xaf\x27\x1c"): "a 7z archive",
    (0, b"\x1f\x8b\x08"): "a gzip archive",
    (0, b"\xfd7zXZ\0"): "an xz archive",
    (257, b"ustar"): "a tar archive",
    (8, b"AVI LIST"): "an AVI video",
    (8, b"WAVEfmt "): "a WAV sound",
    (0, b"\x1a\x45\xdf\xa3"): "a Matroska or WebM video",
    (0, b"\0\0\x01\xba"): "an MPEG video",
    (0, b"ID3"): "an MP3 sound",
    (0, b"OggS"): "an Ogg sound or video",
    (0, b"\x7fELF"): "a program",
    (0, b"\0\x05\x16\x07"): "a macOS AppleDouble file, without the picture",
    (0, b"\0\0\0\x01Bud1"): "a macOS folder setting (.DS_Store)",
    (0, b"L\0\0\0\x01\x14\x02\0"): "a Windows shortcut",
    (0, b"version https://git-lfs"): "a Git LFS pointer: git lfs pull",
    (0, b"/annex/objects/"): "a git-annex pointer: git annex get",
}
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2"))
_READABLE_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\xff\x4f\xff\x51": "JPEG2000",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
    b"\x01\xda": "SGI",
}


class UnreadableError(OSError):
    """A file is not decoded, for a known reason. `reason` is a few words, such as "a PDF"."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason


def is_image_name(name: str) -> bool:
    """Whether a file is an image by its name. Files that begin with a dot are not: systems store metadata in them."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES and not name.startswith(".")


@cache
def pillow_formats() -> tuple[str, ...]:
    """The formats of READABLE that this Pillow can open; AVIF came with 11.3, QOI with 9.5."""
    Image.init()
    return tuple(name for name in READABLE if name in Image.OPEN)


def file_format(content: bytes) -> str:
    """The format of a file by its first bytes: HEIF, AVIF, WEBP or a value of `_READABLE_STARTS`; "" for the others."""
    brands = _brands(content)
    if brands and brands[0] in (b"avif", b"avis"):
        return "AVIF"
    if brands and brands[0] in _HEIF_BRANDS:  # mif1 is any image; the next brands say which format
        return "AVIF" if {b"avif", b"avis"} & set(brands) and not {b"heic", b"heix"} & set(brands) else "HEIF"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    return next((name for start, name in _READABLE_STARTS.items() if content.startswith(start)), "")


def unreadable_kind(content: bytes) -> str:
    """Describes a file that must not be opened as an image: "a PDF", "an MP4 video". Returns "" for other files."""
    for (offset, start), name in _UNREADABLE.items():
        if content.startswith(start, offset):
            return name
    brands = _brands(content)
    if brands and not file_format(content):
        if brands[0] == b"crx ":
            return "a camera raw file (CR3)"
        return "a QuickTime video" if brands[0] == b"qt  " else "an MP4 video"
    if file_format(content) == "TIFF" and _is_camera_raw(content):
        return "a camera raw file (DNG, NEF, ARW or similar)"
    return _markup(content[:4096])


def other_kind(content: bytes) -> str:
    """Describes a file that no decoder accepts, by its bytes: "a text file", "only zero bytes"."""
    start = content[:4096]
    if not content.strip(b"\0"):
        return "only zero bytes"
    try:
        text = start.decode("utf-8") if len(content) <= len(start) else start[:-3].decode("utf-8", "ignore")
    except UnicodeDecodeError:
        return "not an image"
    if "\0" in text or "\ufffd" in text or not all(letter.isprintable() or letter.isspace() for letter in text):
        return "not an image"
    return "a JSON text" if text.lstrip()[:1] in ("{", "[") else "a text file"


def tiff_tags(content: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The tags of a TIFF's first page. Raises an error of Pillow if they are damaged."""
    header = content[: 16 if content[2:4] in (b"+\0", b"\0+") else 8]  # a BigTIFF's header has 16 bytes
    tags = TiffImagePlugin.ImageFileDirectory_v2(header)
    file = io.BytesIO(content)
    file.seek(tags.next)
    tags.load(file)  # type: ignore[no-untyped-call,unused-ignore]
    return tags


def _brands(content: bytes) -> list[bytes]:
    """The brands in the `ftyp` box that HEIC, AVIF and MP4 begin with: the main one, then the compatible ones."""
    if content[4:8] != b"ftyp":
        return []
    end = min(struct.unpack(">I", content[:4])[0], 256)
    rest = content[16:end]
    return [content[8:12], *(rest[i : i + 4] for i in range(0, len(rest), 4))]


def _is_camera_raw(content: bytes) -> bool:
    """Whether a TIFF is a DNG, NEF, ARW or PEF. Their first page is a thumbnail, which Pillow would return."""
    try:
        tags = tiff_tags(content)
    except Exception:  # a damaged TIFF; the decoder reports it
        return False
    thumbnail = bool(tags.get(254, 0) & 1) and 330 in tags  # NewSubfileType "reduced resolution", with SubIFDs
    return 50706 in tags or tags.get(262) in (32803, 34892) or thumbnail  # DNGVersion; colour filter array, linear raw


def _markup(start: bytes) -> str:
    """Describes HTML, SVG or XML. A failed download often saves an HTML page under an image's name."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not text.startswith(b"<"):
        return ""
    if re.match(rb"<(!doctype\s+html|html|head|body|title|meta|script)\b", text) or b"<html" in text:
        return "an HTML page"
    if b"<svg" in text:
        return "an SVG picture"
    return "an XML text" if text.startswith((b"<?xml", b"<!--", b"<error")) else ""
