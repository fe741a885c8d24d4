"""The image formats that edgecnn reads: their names and signatures. Imports no image library."""

import importlib.util
from collections.abc import Sequence

from edgecnn.hints import install_command

FORMATS = ("JPEG", "PNG", "BMP", "WebP", "TIFF", "GIF", "AVIF", "HEIF")
"""Formats of data folders, calibration, `predict` and the classifiers of Python. An animation is its first frame."""

SUFFIXES = tuple(
    f".{kind}"
    for kind in ["jpg", "jpeg", "jpe", "jfif", "png", "bmp", "webp", "gif", "tif", "tiff", "avif", "heic", "heif"]
)
"""Suffixes of image files in lower case. Files are read by their signatures; a suffix shows what was meant."""

SERVED = FORMATS[:3]
"""Formats that `serve` accepts by default, to reduce what an untrusted file can reach."""

_NEEDED = {"AVIF": "PIL._avif", "HEIF": "pillow_heif"}
"""The module without which a format cannot be read."""

SIGNATURE_BYTES = 256
"""Number of bytes from the beginning of a file that `identify` needs."""

_SIGNATURES = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "GIF": (b"GIF87a", b"GIF89a"),
}
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


def identify(start: bytes) -> str | None:
    """Return the name of a file's format, by its first `SIGNATURE_BYTES` bytes; None for all other files."""
    if start[8:11] == b"CR\2":  # a camera's raw file, which is laid out as TIFF
        return None
    for name, signatures in _SIGNATURES.items():
        if start.startswith(signatures):
            return name
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WebP"
    if start.startswith(b"BM") and int.from_bytes(start[14:18], "little") in _BMP_HEADERS:  # "BM" begins texts as well
        return "BMP"
    if start[4:8] == b"ftyp":  # ISO/IEC 14496-12, 4.3: size, "ftyp", major brand, version, compatible brands
        major, size = start[8:12], int.from_bytes(start[:4], "big")
        compatible = {start[at : at + 4] for at in range(16, min(size, len(start)), 4)}
        if major in _AVIF_BRANDS or (major in {b"mif1", b"msf1"} and compatible & _AVIF_BRANDS):
            return "AVIF"
        return "HEIF" if major in _HEIF_BRANDS else None
    return None


def can_read(name: str) -> bool:
    """Return whether a format can be read with what is installed."""
    return name not in _NEEDED or importlib.util.find_spec(_NEEDED[name]) is not None


def needed(name: str) -> str:
    """Return what a format needs that cannot be read."""
    return f"pillow-heif ({install_command('heif')})" if name == "HEIF" else f"a build of Pillow with {name}"


def listed(formats: Sequence[str]) -> str:
    """Return names as in a sentence: `JPEG, PNG or BMP`."""
    return " or ".join(part for part in (", ".join(formats[:-1]), formats[-1]) if part)


def media_type(name: str) -> str:
    """Return the media type of a format, such as `image/jpeg`."""
    return f"image/{name.lower()}"
