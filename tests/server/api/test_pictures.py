"""Tests of image files in requests: preprocessing, and the status of each kind of faulty file."""

import dataclasses
import io
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from edgecnn.bundle.limits import MAX_PIXELS
from edgecnn.bundle.store import Bundle
from edgecnn.protocol.refusal import Refusal
from edgecnn.server.api.pictures import Pictures
from edgecnn.server.api.suspects import DecodingGuard
from edgecnn.server.decoding_record import DecodingRecord
from edgecnn.server.memory import MemoryBudget
from edgecnn.server.models.version import Bounds


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


BOUNDS = Bounds(max_batch=1, max_pending=1, max_delay_s=0, max_pixels=MAX_PIXELS)


def pictures_of(
    files: Sequence[bytes],
    committed: Bundle,
    bounds: Bounds = BOUNDS,
    *,
    budget: MemoryBudget | None = None,
    begin_image: Callable[[], object] = lambda: None,
) -> Pictures:
    claim = (budget or MemoryBudget(1 << 30)).claim()
    version = SimpleNamespace(bundle=committed, bounds=bounds)
    guard = DecodingGuard(DecodingRecord(None))
    return Pictures(files, version, claim=claim, guard=guard, begin_image=begin_image)


def pixels_of(files: Sequence[bytes], committed: Bundle, bounds: Bounds = BOUNDS) -> np.ndarray:
    found = pictures_of(files, committed, bounds).decode(is_large=True)
    assert found is not None
    return found


def refused(file: bytes, committed: Bundle, bounds: Bounds = BOUNDS) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        pixels_of([file], committed, bounds)
    return caught.value.status, str(caught.value)


def test_decodes_the_self_test_files(committed: Bundle):
    self_test = committed.self_test()
    pngs = [each for each in self_test.encoded if each.format.upper() == "PNG"]
    assert pngs
    found = pixels_of([each.content for each in pngs], committed, BOUNDS)
    assert np.array_equal(found, np.stack([each.pixels for each in pngs]))


@pytest.mark.parametrize("file", [b"", b"\xff", b"<html><body>502</body></html>"], ids=["empty", "byte", "html"])
def test_rejects_a_file_that_is_not_an_image(file: bytes, committed: Bundle):
    status, text = refused(file, committed)
    assert status == 400
    assert "image" in text


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_rejects_a_truncated_file(file_format: str, committed: Bundle):
    whole = encoded(Image.effect_noise((200, 200), 80), file_format)
    status, text = refused(whole[: len(whole) // 2], committed)
    assert status == 400
    assert "cannot decode" in text


@pytest.mark.parametrize(("file_format", "name"), [("GIF", "GIF"), ("TIFF", "TIFF"), ("WEBP", "WebP"), ("ICO", "icon")])
def test_rejects_other_formats(file_format: str, name: str, committed: Bundle):
    status, text = refused(encoded(Image.new("RGB", (32, 32)), file_format), committed)
    assert status == 415
    assert name in text


@pytest.mark.parametrize("file", [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"SIMPLE  =                    T", b"<svg xmlns='http"])
def test_rejects_formats_with_risky_parsers(file: bytes, committed: Bundle):
    assert refused(file, committed)[0] == 415


def test_rejects_too_many_pixels(committed: Bundle):
    few = dataclasses.replace(BOUNDS, max_pixels=300 * 299)
    status, text = refused(encoded(Image.new("1", (300, 300)), "PNG"), committed, few)
    assert status == 413
    assert "89,700" in text
    assert text.endswith("(this server's --max-pixels is lower than the default)")
    many = encoded(Image.new("1", (8001, 8000)), "PNG")
    assert "max-pixels" not in refused(many, committed)[1]


@pytest.mark.parametrize("name", ["JPEG", "PNG", "BMP", "WebP", "TIFF", "GIF", "AVIF", "HEIF"])
def test_decodes_the_chosen_formats(name: str, committed: Bundle):
    if name == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    file = encoded(Image.new("RGB", (40, 40), "white"), name)
    chosen = dataclasses.replace(BOUNDS, formats=(name,))
    assert pixels_of([file], committed, chosen).min() > 250
    other = dataclasses.replace(BOUNDS, formats=("GIF",) if name == "PNG" else ("PNG",))
    assert refused(file, committed, other) == (415, f"expected a {other.formats[0]} image, found {name}")
    assert refused(b"", committed, chosen) == (400, f"expected a {name} image, found an empty file")
    assert refused(b"text", committed, chosen) == (400, f"cannot decode: the image is not a {name} image")


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1)])
def test_resizes_an_image_of_any_shape(size: tuple[int, int], committed: Bundle):
    file = encoded(Image.new("L", size, 128), "PNG")
    found = pixels_of([file], committed, BOUNDS)
    assert found.shape == (1, *committed.manifest.image_shape)


def test_limits_the_pixels_of_a_request(committed: Bundle):
    file = encoded(Image.new("L", (300, 200)), "PNG")
    few = dataclasses.replace(BOUNDS, max_request_pixels=120_000)
    assert pixels_of([file] * 2, committed, few).shape[0] == 2
    expected = r"at most 120,000 pixels .* 180,000 in the first 3: .* --max-request-pixels"
    with pytest.raises(Refusal, match=expected) as found:
        pixels_of([file] * 4, committed, few)
    assert found.value.status == 413


def test_claims_the_memory_of_an_image_while_it_is_decoded(committed: Bundle):
    large = encoded(Image.new("RGB", (2000, 1500)), "PNG")
    budget = MemoryBudget(20 << 20)
    pictures = pictures_of([large], committed, budget=budget)
    found = pictures.decode(is_large=True)
    assert found is not None
    assert budget.held_bytes == found.nbytes  # until the request ends
    assert 15_000_000 < budget.peak_bytes < 18_000_000  # RGB and grey
    other = budget.claim()
    other.take(10 << 20)
    with pytest.raises(Refusal, match="in use") as busy:
        pictures_of([large], committed, budget=budget).decode(is_large=True)
    assert busy.value.status == 503
    small = MemoryBudget(14 << 20)
    with pytest.raises(Refusal, match=r"needs 14 MiB of memory, and one request may use 12 MiB") as too_large:
        pictures_of([large], committed, budget=small).decode(is_large=True)
    assert too_large.value.status == 413
    assert small.held_bytes < 10_000


def test_continues_with_a_large_image_in_another_thread(committed: Bundle):
    small, large = encoded(Image.new("L", (32, 32), 7), "PNG"), encoded(Image.new("RGBA", (3000, 2500), "white"), "PNG")
    images: list[None] = []
    pictures = pictures_of([small, large, small], committed, begin_image=lambda: images.append(None))
    assert pictures.decode(is_large=False) is None
    found = pictures.decode(is_large=True)
    assert found is not None
    assert [int(image.max()) for image in found] == [7, 255, 7]
    assert len(images) == 4  # the small images once


def test_stops_between_two_images(committed: Bundle):
    file = encoded(Image.new("L", (32, 32)), "PNG")
    begun: list[None] = []

    def begin() -> None:
        if begun:
            raise Refusal("late", "the client has disconnected")
        begun.append(None)

    with pytest.raises(Refusal, match="disconnected"):
        pictures_of([file] * 3, committed, begin_image=begin).decode(is_large=False)
