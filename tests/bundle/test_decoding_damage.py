"""Tests of 600 files with random damage or random metadata: an image, or one line that says what is wrong."""

import random

import numpy as np
import pytest
from image_files import GREY, LEVELS, PICTURE, PIXELS, encoded, exif, orientation
from PIL import Image

from edgecnn.bundle.decoding import decode, read_header
from edgecnn.bundle.formats import can_read
from edgecnn.errors import ImageError

PALETTE = PICTURE.quantize(16)
FILES = [
    encoded(PICTURE, "JPEG", exif=exif(orientation(6))),
    encoded(PICTURE, "JPEG", progressive=True),
    encoded(PICTURE, "MPO", save_all=True, append_images=[GREY]),
    encoded(PICTURE, "PNG", exif=exif(orientation(6))),
    encoded(PALETTE, "PNG", transparency=3),
    encoded(Image.fromarray(LEVELS.astype(np.uint16) * 257), "PNG"),
    encoded(PICTURE, "WEBP", exif=exif(orientation(6))),
    encoded(PICTURE, "TIFF"),
    encoded(PICTURE, "TIFF", compression="tiff_lzw"),
    encoded(GREY.convert("F"), "TIFF"),
    encoded(PALETTE, "GIF", transparency=3),
    encoded(PALETTE, "BMP"),
    encoded(PICTURE, "BMP"),
]
if can_read("AVIF"):
    FILES.append(encoded(PICTURE, "AVIF"))


def damaged(chance: random.Random) -> bytes:
    content = bytearray(chance.choice(FILES))
    if chance.random() < 0.2:
        return bytes(content[: chance.randrange(len(content))])
    for _ in range(chance.choice([1, 1, 3, 20])):  # mostly in the header, where a byte matters most
        place = chance.randrange(min(len(content), chance.choice([40, 200, 10**6])))
        content[place] = chance.choice([0, 1, 255, chance.randrange(256)])
    return bytes(content)


@pytest.mark.parametrize("seed", range(6))
def test_decodes_or_refuses_random_damage(seed: int, recwarn: pytest.WarningsRecorder):
    chance = random.Random(seed)
    decoded, messages = 0, []
    for _ in range(50):
        content = damaged(chance)
        for read in (lambda file: decode(file, "RGB"), lambda file: decode(file, "L"), read_header):
            try:
                read(content)
                decoded += 1
            except ImageError as error:
                messages.append(str(error))
    assert decoded > 20
    assert all(text.startswith("the image ") and "\n" not in text for text in messages)
    assert not recwarn.list


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_random_metadata_costs_no_image(kind: str, seed: int, recwarn: pytest.WarningsRecorder):
    chance = random.Random(seed)
    for _ in range(17):
        entries = sorted(
            (chance.randrange(1 << 16), chance.randrange(14), chance.choice([0, 1, 1, 3, 1 << 31]), chance.randbytes(8))
            for _ in range(chance.randrange(6))
        )
        metadata = bytearray(exif(*entries, order=chance.choice("<>")))
        if chance.random() < 0.5:
            metadata[chance.randrange(6, len(metadata))] = chance.randrange(256)
        content = encoded(PICTURE, kind, exif=bytes(metadata), **({"lossless": True} if kind == "WEBP" else {}))
        found = np.asarray(decode(content, "RGB"))
        assert sorted(found.shape) == sorted(PIXELS.shape)
        assert found.std() > 30
        assert read_header(content).width == found.shape[1]
    assert not recwarn.list


@pytest.mark.parametrize("missing", [1, 2, 5, 50])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_truncated_by_a_few_bytes(kind: str, missing: int):
    content = encoded(PICTURE, kind)[:-missing]
    ends_before_the_pixels = {"PNG": missing > 16, "GIF": missing > 2}.get(kind, True)
    if ends_before_the_pixels:
        with pytest.raises(ImageError, match=r"^the image is damaged: "):
            decode(content, "RGB")
    else:
        assert decode(content, "RGB").size == PICTURE.size
