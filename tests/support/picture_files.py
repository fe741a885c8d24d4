"""One picture in every kind of file that edgecnn reads, with the pixels that each file must show."""

import struct

import numpy as np
from image_files import (
    GREY,
    HEIGHT,
    LEVELS,
    PICTURE,
    PIXELS,
    SHORT,
    WIDTH,
    bmp,
    chunk,
    encoded,
    interlaced_png,
    packed,
    png,
    short,
    tiff,
    with_chunk,
)
from PIL import Image

from edgecnn.bundle.formats import can_read

ALPHA = Image.merge("RGBA", [*PICTURE.split(), GREY])
PALETTE = PICTURE.quantize(16)
COLOURS = np.asarray(PALETTE.convert("RGB"))
GREY_RGB = np.repeat(LEVELS[:, :, None], 3, axis=2)
BITS = LEVELS >= 128
BLACK_AND_WHITE = np.repeat(BITS[:, :, None] * np.uint8(255), 3, axis=2)
DEEP = LEVELS.astype(np.uint16) * 257
FOUR_BITS = LEVELS >> 4
FOUR_BIT_GREY = np.repeat((FOUR_BITS * 17)[:, :, None], 3, axis=2)
INDICES = np.asarray(PALETTE)
BMP_PALETTE = b"".join(bytes([*PALETTE.getpalette()[at : at + 3][::-1], 0]) for at in range(0, 48, 3))


def samples(pixels: np.ndarray, kind: str) -> bytes:
    return pixels.astype(kind).tobytes()


def compressed(mode: str, kind: str) -> bytes:
    return encoded(PICTURE.convert(mode), "TIFF", compression=kind)


PNGS = {
    "grey": (encoded(GREY, "PNG"), GREY_RGB),
    "grey of 1 bit": (png(WIDTH, HEIGHT, 1, 0, packed(BITS, 1)), BLACK_AND_WHITE),
    "grey of 4 bits": (png(WIDTH, HEIGHT, 4, 0, packed(FOUR_BITS, 4)), FOUR_BIT_GREY),
    "grey of 16 bits": (png(WIDTH, HEIGHT, 16, 0, [samples(row, ">u2") for row in DEEP]), GREY_RGB),
    "colour": (encoded(PICTURE, "PNG"), PIXELS),
    "colour of 16 bits": (png(WIDTH, HEIGHT, 16, 2, [samples(row * 257, ">u2") for row in PIXELS.astype(int)]), PIXELS),
    "grey and alpha": (encoded(Image.merge("LA", [GREY, GREY]), "PNG"), GREY_RGB),
    "grey and alpha of 16 bits": (
        png(WIDTH, HEIGHT, 16, 4, [samples(np.stack([row, row], 1), ">u2") for row in DEEP]),
        GREY_RGB,
    ),
    "alpha": (encoded(ALPHA, "PNG"), PIXELS),
    "alpha of 16 bits": (
        png(WIDTH, HEIGHT, 16, 6, [samples(row.astype(int) * 257, ">u2") for row in np.asarray(ALPHA)]),
        PIXELS,
    ),
    "palette": (encoded(PALETTE, "PNG"), COLOURS),
    "palette of 8 bits": (encoded(PALETTE, "PNG", bits=8), COLOURS),
    "palette with one transparent colour": (encoded(PALETTE, "PNG", transparency=3), COLOURS),
    "palette with alpha": (encoded(PALETTE, "PNG", transparency=bytes(range(0, 160, 10))), COLOURS),
    "grey with a transparent level": (with_chunk(encoded(GREY, "PNG"), chunk(b"tRNS", b"\0\x80")), GREY_RGB),
    "colour with a transparent colour": (with_chunk(encoded(PICTURE, "PNG"), chunk(b"tRNS", bytes(6))), PIXELS),
    "interlaced": (interlaced_png(PIXELS), PIXELS),
    "animated": (encoded(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(180)]), PIXELS),
    "two animation headers": (with_chunk(encoded(PICTURE, "PNG"), chunk(b"acTL", struct.pack(">II", 0, 0))), PIXELS),
}
TIFFS = {
    "grey": (tiff(LEVELS.tobytes()), GREY_RGB),
    "white is zero": (tiff((255 - LEVELS).tobytes(), photometric=0), GREY_RGB),
    "1 bit": (tiff(b"".join(packed(BITS, 1)), bits=(1,)), BLACK_AND_WHITE),
    "1 bit, white is zero": (tiff(b"".join(packed(~BITS, 1)), bits=(1,), photometric=0), BLACK_AND_WHITE),
    "4 bits": (tiff(b"".join(packed(FOUR_BITS, 4)), bits=(4,)), FOUR_BIT_GREY),
    "12 bits": (tiff(b"".join(packed(DEEP >> 4, 12)), bits=(12,)), GREY_RGB),
    "16 bits": (tiff(samples(DEEP, "<u2"), bits=(16,)), GREY_RGB),
    "16 bits, big endian": (tiff(samples(DEEP, ">u2"), bits=(16,), order=">"), GREY_RGB),
    "16 bits, white is zero": (tiff(samples(65535 - DEEP, "<u2"), bits=(16,), photometric=0), GREY_RGB),
    "16 bits, signed": (
        tiff(samples(DEEP >> 1, "<i2"), bits=(16,), tags={339: (339, SHORT, 1, short(2))}),
        GREY_RGB,
    ),
    "16 bits, compressed": (encoded(Image.fromarray(DEEP), "TIFF", compression="tiff_lzw"), GREY_RGB),
    "32 bits": (encoded(GREY.convert("I"), "TIFF"), GREY_RGB),
    "float, 0..255": (encoded(GREY.convert("F"), "TIFF"), GREY_RGB),
    "float, 0..1": (encoded(Image.fromarray(LEVELS.astype(np.float32) / 255), "TIFF"), GREY_RGB),
    "float, white is zero": (
        tiff(samples(1 - LEVELS / 255, "<f4"), bits=(32,), photometric=0, tags={339: (339, SHORT, 1, short(3))}),
        GREY_RGB,
    ),
    "colour": (tiff(PIXELS.tobytes(), bits=(8, 8, 8), photometric=2), PIXELS),
    "colour, big endian": (tiff(PIXELS.tobytes(), bits=(8, 8, 8), photometric=2, order=">"), PIXELS),
    "colour of 16 bits": (tiff(samples(PIXELS.astype(int) * 257, "<u2"), bits=(16,) * 3, photometric=2), PIXELS),
    "alpha": (encoded(ALPHA, "TIFF"), PIXELS),
    "CMYK": (encoded(PICTURE.convert("CMYK"), "TIFF"), PIXELS),
    "YCbCr": (encoded(PICTURE.convert("YCbCr"), "TIFF"), PIXELS),
    "LAB": (encoded(PICTURE.convert("LAB"), "TIFF"), PIXELS),
    "palette": (encoded(PALETTE, "TIFF"), COLOURS),
    "several pages": (encoded(PICTURE, "TIFF", save_all=True, append_images=[GREY.resize((3, 3))]), PIXELS),
    "BigTIFF": (encoded(PICTURE, "TIFF", big_tiff=True), PIXELS),
    "planes": (
        tiff(
            np.moveaxis(PIXELS, 2, 0).tobytes(),
            bits=(8, 8, 8),
            photometric=2,
            parts=3,
            tags={284: (284, SHORT, 1, short(2))},
        ),
        PIXELS,
    ),
    "tiles": (
        tiff(
            np.concatenate([np.pad(LEVELS[:, at : at + 16], ((0, 8), (0, 0))) for at in (0, 16)]).tobytes(),
            parts=2,
            tags={322: (322, SHORT, 1, short(16)), 323: (323, SHORT, 1, short(32))},
        ),
        GREY_RGB,
    ),
    **{kind: (compressed("RGB", kind), PIXELS) for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits")},
    "jpeg": (encoded(PICTURE, "TIFF", compression="jpeg"), PIXELS),
    "group4": (encoded(Image.fromarray(BITS), "TIFF", compression="group4"), BLACK_AND_WHITE),
}
BMPS = {
    "1 bit": (encoded(Image.fromarray(BITS), "BMP"), BLACK_AND_WHITE),
    "4 bits": (bmp(packed(INDICES[::-1], 4), 4, palette=BMP_PALETTE), COLOURS),
    "8 bits": (encoded(GREY, "BMP"), GREY_RGB),
    "palette": (encoded(PALETTE, "BMP"), COLOURS),
    "16 bits": (
        bmp([samples((row.astype(int) >> 3) @ [1 << 10, 1 << 5, 1], "<u2") for row in PIXELS[::-1]], 16),
        ((PIXELS.astype(int) >> 3) * 255 // 31).astype(np.uint8),
    ),
    "24 bits": (encoded(PICTURE, "BMP"), PIXELS),
    "32 bits": (encoded(ALPHA, "BMP"), PIXELS),
    "from the top": (bmp([row[:, ::-1].tobytes() for row in PIXELS], 24, height=-HEIGHT), PIXELS),
    "OS/2": (bmp([row[:, ::-1].tobytes() for row in PIXELS[::-1]], 24, core=True), PIXELS),
    "run lengths": (
        bmp(
            b"".join(b"".join(bytes([1, index]) for index in row) + b"\0\0" for row in INDICES[::-1]) + b"\0\1",
            8,
            palette=BMP_PALETTE.ljust(1024, b"\0"),
            compression=1,
        ),
        COLOURS,
    ),
}


GIFS = {
    "palette": (encoded(PALETTE, "GIF"), COLOURS),
    "grey": (encoded(GREY, "GIF"), GREY_RGB),
    "transparent": (encoded(PALETTE, "GIF", transparency=3), COLOURS),
    "animated": (encoded(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(180)]), COLOURS),
    "not interlaced": (encoded(PALETTE, "GIF", interlace=0), COLOURS),
}
OTHERS = {
    "WebP, lossless": (encoded(PICTURE, "WEBP", lossless=True), PIXELS),
    "WebP, alpha": (encoded(ALPHA, "WEBP", lossless=True, exact=True), PIXELS),
    "WebP, animated": (
        encoded(PICTURE, "WEBP", lossless=True, save_all=True, append_images=[PICTURE.rotate(180)]),
        PIXELS,
    ),
}
LOSSY = {
    "JPEG": encoded(PICTURE, "JPEG"),
    "JPEG, progressive": encoded(PICTURE, "JPEG", progressive=True),
    "JPEG, restarts": encoded(PICTURE, "JPEG", restart_marker_blocks=1),
    "JPEG, CMYK": encoded(PICTURE.convert("CMYK"), "JPEG"),
    "JPEG, several pictures": encoded(PICTURE, "MPO", save_all=True, append_images=[PICTURE.rotate(180)]),
    "JPEG, a bad list of pictures": b"\xff\xd8\xff\xe2\0\x10MPF\0II*\0\x08\0\0\0\xff\xff"
    + encoded(PICTURE, "JPEG")[2:],
    "JPEG, a film behind it": encoded(PICTURE, "JPEG") + b"\0\0\0\x18ftypmp42" + b"\xff\xda" * 5000,
    "JPEG, a preview in front": b"\xff\xd8\xff\xe3\x27\x12" + b"\xff\xda" * 5000 + encoded(PICTURE, "JPEG")[2:],
    "WebP": encoded(PICTURE, "WEBP"),
}
if can_read("AVIF"):
    LOSSY |= {
        "AVIF": encoded(PICTURE, "AVIF"),
        "AVIF, animated": encoded(PICTURE, "AVIF", save_all=True, append_images=[PICTURE.rotate(180)]),
    }
EXACT = {
    f"{kind}, {name}": case
    for kind, cases in {"PNG": PNGS, "TIFF": TIFFS, "BMP": BMPS, "GIF": GIFS}.items()
    for name, case in cases.items()
} | OTHERS
LOSSY_INSIDE = {"TIFF, jpeg", "TIFF, CMYK", "TIFF, YCbCr", "TIFF, LAB", "JPEG, CMYK"}
