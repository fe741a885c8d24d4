"""Turn a decoded image upright, as its EXIF or XMP metadata says. The metadata is read, and never written again."""

import contextlib

from PIL import Image
from PIL.ExifTags import IFD

ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_XMP = {"xmp": bytes, "XML:com.adobe.xmp": str}


def orientation_of(picture: Image.Image) -> int:
    """Return the orientation by EXIF 2.32 (4.6.4 A), or 1 if there is none, or none that can be understood."""
    bare = Image.Image()  # has the XMP metadata alone: what does not concern the orientation may be damaged
    bare.info = {key: picture.info[key] for key, kind in _XMP.items() if isinstance(picture.info.get(key), kind)}
    value = None
    for source in (picture, bare):
        with contextlib.suppress(Exception):  # metadata is as odd as the programs that write it
            if (value := source.getexif().get(ORIENTATION)) is not None:
                break
    number = _whole(value)
    return number if number in _TURNS else 1


def drop_unreadable(picture: Image.Image) -> None:
    """Drop metadata of a TIFF file that Pillow would fail to read while it loads the pixels."""
    if not isinstance(picture.info.get("xmp", b""), bytes):
        del picture.info["xmp"]
    exif = picture.getexif()
    for tag in (IFD.Exif, IFD.GPSInfo, IFD.Interop):
        try:
            exif.get_ifd(tag)
        except Exception:
            exif.pop(tag, None)


def turned(picture: Image.Image, orientation: int) -> Image.Image:
    """Return a picture turned upright, without metadata that would turn it again."""
    if orientation == 1:
        return picture
    result = picture.transpose(_TURNS[orientation])
    for key in ("exif", "Raw profile type exif", *_XMP):
        result.info.pop(key, None)
    return result


def _whole(value: object) -> int | None:
    """Return the integer that a value of any EXIF type plainly is: 6, 6.0, (6,), "6", or the byte 6."""
    if isinstance(value, tuple | list):
        return _whole(value[0]) if len(value) == 1 else None
    if isinstance(value, bytes):
        stripped = value.strip(b"\0 ")
        return stripped[0] if len(stripped) == 1 and not stripped.isdigit() else _whole(stripped.decode("latin-1"))
    if isinstance(value, str):
        text = value.strip("\0 ")
        return int(text) if text in {"1", "2", "3", "4", "5", "6", "7", "8"} else None
    return next((number for number in _TURNS if number == value), None)
