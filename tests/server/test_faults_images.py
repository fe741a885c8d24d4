"""Faults in images (rows 59 to 65 of the table of faults), as plain files and as elements of a BYTES tensor."""

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from asking import LENGTH, elements, encoded, refusal
from PIL import Image, PngImagePlugin
from server_process import Reply, Server

Send = Callable[[bytes], Reply]
RANDOM = np.random.default_rng(0)
NOISE = Image.fromarray(RANDOM.integers(0, 256, (48, 64, 3), dtype=np.uint8))
GREY = NOISE.convert("L")
DEEP = Image.fromarray(RANDOM.integers(0, 65536, (48, 64), dtype=np.uint16))
JPEG, PNG = encoded(NOISE, "JPEG"), encoded(NOISE, "PNG")


@pytest.fixture(autouse=True)
def _neighbour(server: Server) -> Iterator[None]:
    with server.good_neighbour():
        yield


@pytest.fixture(params=["plain", "element"])
def send(request: pytest.FixtureRequest, server: Server) -> Send:
    """Return a function that requests the logits of one file, in JSON."""

    def plain(file: bytes) -> Reply:
        kind = "image/png" if file.startswith(b"\x89PNG") else "image/jpeg"
        return server.request("POST", server.infer_path, file, {"Content-Type": kind})

    def element(file: bytes) -> Reply:
        return as_elements(server, file)

    return plain if request.param == "plain" else element


def as_elements(server: Server, *files: bytes) -> Reply:
    raw = elements(*files)
    given = (
        b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [%d], "parameters": {"binary_data_size": %d}}]}'
    )
    header = given % (len(files), len(raw))
    return server.post(header + raw, {LENGTH: str(len(header))})


def logits(reply: Reply) -> np.ndarray:
    assert reply.status == 200, reply.body
    (output,) = reply.json["outputs"]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def prepared(server: Server, file: bytes) -> np.ndarray:
    """Return the logits of a file that this process preprocesses and sends as pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about unusual files
        pixels = server.bundle.manifest.preprocessing.image(file)
    return server.logits(pixels[None])


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def announced(width: int, height: int, size: int) -> bytes:
    """Return a PNG with `size` extra bytes whose header declares width × height pixels."""
    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + chunk(b"IDAT", zlib.compress(bytes(10)) + bytes(size)) + chunk(b"IEND", b"")


def behind_start(segment: bytes) -> bytes:
    """Return a JPEG with `segment` before all other segments."""
    return JPEG[:2] + segment + JPEG[2:]


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def exif(orientation: int) -> bytes:
    found = Image.Exif()
    found[0x0112] = orientation
    return found.tobytes()


# 59


@pytest.mark.parametrize("file", [b"\xff", b"\x89PNG", b"<html><body>502</body></html>", b"\0" * 1000])
def test_rejects_a_file_that_is_not_an_image(file: bytes, send: Send):
    assert refusal(send(file)) == "cannot decode: the image is not a JPEG, PNG or BMP image"


def test_rejects_an_empty_file(server: Server, send: Send):
    assert refusal(send(b"")) in {
        "request body is empty",
        "expected a JPEG, PNG or BMP image, found an empty file",
    }


@pytest.mark.parametrize(
    "file", [JPEG, PNG, encoded(GREY, "JPEG", progressive=True)], ids=["JPEG", "PNG", "progressive"]
)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.9])
def test_rejects_a_truncated_file(part: float, file: bytes, send: Send):
    assert refusal(send(file[: int(part * len(file))])).startswith("cannot decode: the image is")


@pytest.mark.parametrize("kind", [None, "application/octet-stream", "application/x-www-form-urlencoded"])
def test_explains_how_to_send_an_image(kind: str | None, server: Server):
    for file in (PNG, JPEG, encoded(GREY, "BMP")):
        headers = {} if kind is None else {"Content-Type": kind}
        said = refusal(server.request("POST", f"{server.infer_path}?classification=3", file, headers))
        assert said.startswith(
            f"found an image sent as '{kind}': " if kind else "found an image sent without a Content-Type: "
        )
        assert said.endswith("send it with Content-Type: image/jpeg, image/png or image/bmp (curl -H)")


def test_explains_curl_mistakes(server: Server):
    for kind in ("image/png", "application/x-www-form-urlencoded"):
        said = refusal(
            server.request(
                "POST", server.infer_path, PNG.replace(b"\r", b"").replace(b"\n", b""), {"Content-Type": kind}
            )
        )
        assert "Content-Type: image/jpeg" in said if kind != "image/png" else "not -d" in said
    form = b"--x\r\nContent-Disposition: form-data; name=image\r\n\r\n" + PNG + b"\r\n--x--\r\n"
    said = refusal(server.request("POST", server.infer_path, form, {"Content-Type": "multipart/form-data; boundary=x"}))
    assert (
        said == "expected JSON or an image, found a form: send the image as the body (curl --data-binary @FILE, not -F)"
    )


def test_one_damaged_file_fails_the_request(server: Server):
    assert refusal(as_elements(server, PNG, JPEG[:-200], PNG)).startswith("cannot decode: the image is damaged")


# 60, 61


@pytest.mark.parametrize(
    ("width", "height"), [(60_000, 60_000), (8_001, 8_000), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1)]
)
def test_rejects_too_many_pixels_before_decoding(width: int, height: int, send: Send):
    assert "expected at most 64,000,000 pixels, found" in refusal(send(announced(width, height, 100_000)), 413)


@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
def test_rejects_a_jpeg_with_too_many_scans(kind: str, send: Send):
    content = encoded(GREY, "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    bomb = content[:last] + content[last:-2] * 3000 + content[-2:]
    if kind == "MPO":  # a JPEG that announces further pictures
        several = encoded(GREY, "MPO", save_all=True, append_images=[GREY])
        start = several.index(b"\xff\xe2")
        bomb = bomb[:2] + several[start : start + 2 + int.from_bytes(several[start + 2 : start + 4], "big")] + bomb[2:]
    assert "JPEG scans, expected at most" in refusal(send(bomb))


# 62

FOREIGN = {
    "GIF": encoded(NOISE, "GIF"),
    "TIFF": encoded(NOISE, "TIFF"),
    "WebP": encoded(NOISE, "WEBP"),
    "HEIF": struct.pack(">I", 40) + b"ftypheic" + bytes(100),
    "AVIF": struct.pack(">I", 40) + b"ftypavif" + bytes(100),
    "ISO media": struct.pack(">I", 24) + b"ftypmp42" + bytes(100),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/x) (w) file\n",
    "PDF": b"%PDF-1.7\n",
    "FITS": b"SIMPLE  =                    T".ljust(2880),
    "SVG": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
    "icon": encoded(NOISE, "ICO"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_rejects_other_formats_with_415(name: str, send: Send):
    assert refusal(send(FOREIGN[name]), 415) == f"expected a JPEG, PNG or BMP image, found {name}"


# 63, 64

UNUSUAL: dict[str, bytes] = {
    "CMYK": encoded(NOISE.convert("CMYK"), "JPEG"),
    "YCCK": encoded(NOISE.convert("CMYK"), "JPEG", quality=30, subsampling=2),
    "colour": PNG,
    "progressive": encoded(NOISE, "JPEG", progressive=True),
    "16 bits": encoded(DEEP, "PNG"),
    "palette": encoded(NOISE.quantize(16), "PNG"),
    "palette with one transparent colour": encoded(NOISE.quantize(16), "PNG", transparency=3),
    "palette with alpha": encoded(NOISE.quantize(16), "PNG", transparency=bytes([0, 128] + [255] * 14)),
    "alpha": encoded(Image.merge("RGBA", [*NOISE.split(), GREY]), "PNG"),
    "grey and alpha": encoded(Image.merge("LA", [GREY, GREY.rotate(180)]), "PNG"),
    "1 bit": encoded(GREY.convert("1"), "PNG"),
    "ICC": encoded(NOISE, "JPEG", icc_profile=b"\0\0\2\x0c" + b"lcms" + bytes(500)),
    "several pictures": encoded(NOISE, "MPO", save_all=True, append_images=[NOISE.rotate(180)]),
    "moving": encoded(NOISE, "PNG", save_all=True, append_images=[NOISE.rotate(180)]),
    "bitmap": encoded(NOISE, "BMP"),
    "1 × 1": encoded(GREY.resize((1, 1)), "PNG"),
    "1 × 10,000": encoded(GREY.resize((1, 10_000)), "PNG"),
    "10,000 × 1": encoded(GREY.resize((10_000, 1)), "JPEG"),
} | {f"EXIF orientation {number}": encoded(NOISE, "JPEG", exif=exif(number)) for number in range(1, 9)}


@pytest.mark.parametrize("name", UNUSUAL)
def test_decodes_unusual_images(name: str, server: Server, send: Send):
    assert np.array_equal(logits(send(UNUSUAL[name])), prepared(server, UNUSUAL[name]))


def test_applies_every_exif_orientation(server: Server):
    turned = [UNUSUAL[f"EXIF orientation {number}"] for number in range(1, 9)]
    found = logits(as_elements(server, *turned))
    assert len(np.unique(found, axis=0)) == 8


def test_accepts_mixed_images_in_one_request(server: Server):
    preprocessing = server.bundle.manifest.preprocessing
    expected = server.logits(np.stack([preprocessing.image(file) for file in UNUSUAL.values()]))
    assert np.array_equal(logits(as_elements(server, *UNUSUAL.values())), expected)


# 65


def long_text() -> bytes:
    """Return a PNG of 64 kB that inflates to 64 MB of text."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a" * (64 << 20), zip=True)
    return encoded(NOISE, "PNG", pnginfo=text)


CORRUPT: dict[str, tuple[bytes, Any]] = {
    "EXIF of garbage": (encoded(NOISE, "JPEG", exif=b"Exif\0\0" + bytes(range(256))), 200),
    "EXIF cut off": (encoded(NOISE, "JPEG", exif=exif(6)[:-8]), 200),
    "EXIF with a wild offset": (encoded(NOISE, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), 200),
    "EXIF with 65,535 entries": (encoded(NOISE, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(3000)), 200),
    "EXIF orientation 99": (encoded(NOISE, "JPEG", exif=exif(99)), 200),
    "ICC of garbage": (behind_start(segment(0xE2, b"ICC_PROFILE\0\x07\x02" + b"\xff" * 3000)), 200),
    "ICC in a PNG of garbage": (PNG[:33] + chunk(b"iCCP", b"x\0\0" + b"\xff" * 100) + PNG[33:], {200, 400}),
    "APP segment that is too short": (behind_start(b"\xff\xe1\x00\x01"), {200, 400}),
    "APP segment that is too long": (JPEG[:2] + b"\xff\xe0\xff\xff" + JPEG[2:], 400),
    "MPF of garbage": (behind_start(segment(0xE2, b"MPF\0" + b"II*\0" + b"\xff" * 60)), {200, 400}),
    "8 MB of comments": (behind_start(segment(0xFE, b"a" * 65_533) * 128), 200),
    "64 MB of text in 64 kB": (long_text(), 200),
}


@pytest.mark.parametrize("name", CORRUPT)
def test_ignores_or_rejects_corrupt_segments(name: str, server: Server, send: Send):
    file, status = CORRUPT[name]
    reply = send(file)
    assert reply.status in (status if isinstance(status, set) else {status}), reply.body
    if reply.status == 200:
        assert np.array_equal(logits(reply), prepared(server, file))
    else:
        assert refusal(reply).startswith("cannot decode: the image is")


def test_logs_nothing_about_unusual_images(server: Server, send: Send):
    before = len(server.lines)
    for length in range(1, 9):
        send(encoded(NOISE, "JPEG", exif=exif(6)[:-length]))
    assert server.lines[before:] == []


def test_releases_large_files_after_the_answer(server: Server, send: Send):
    large, damaged = behind_start(segment(0xFE, b"a" * 65_533) * 64), bytes(4 << 20)
    for _ in range(15):  # 120 MB: reference cycles would keep it until a collection, and fail `unharmed`
        assert send(large).status == 200
        assert send(damaged).status == 400
