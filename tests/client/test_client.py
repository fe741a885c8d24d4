"""A client of a real server returns the results of a `Classifier`, for each kind of image."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from repository import COMMITTED, REPOSITORY
from server_process import Server

import edgecnn
from edgecnn import Classifier, Client, Prediction
from edgecnn.errors import ImageError, ImageTooLarge, ServerError, UnknownFormat, UsageError
from edgecnn.host.child import child_environment

SAMPLES = sorted((REPOSITORY / "calibration" / "digits-sample").rglob("*.png"))


@pytest.fixture(scope="module")
def classifier() -> Iterator[Classifier]:
    with edgecnn.load(COMMITTED) as classifier:
        yield classifier


def same(found: Prediction, expected: Prediction) -> None:
    assert (found.label, found.index) == (expected.label, expected.index)
    assert [label for label, _ in found.top] == [label for label, _ in expected.top]
    assert np.allclose([p for _, p in found.top], [p for _, p in expected.top], rtol=0, atol=1e-6)


def saved(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def test_self_test_matches_a_classifier(client: Client, classifier: Classifier):
    self_test = classifier.bundle.self_test()
    images: list = [*self_test.images, *(each.content for each in self_test.encoded)]
    assert len(images) > 32  # more than one request
    for found, expected in zip(client.predict(images), classifier.predict(images), strict=True):
        same(found, expected)
    assert np.allclose(client.logits(self_test.images), classifier.logits(self_test.images), rtol=0, atol=1e-4)


def test_files_match_a_classifier(client: Client, classifier: Classifier):
    for found, expected in zip(client.predict(SAMPLES, top=3), classifier.predict(SAMPLES, top=3), strict=True):
        same(found, expected)
        assert len(found.top) == 3
    same(client.predict(str(SAMPLES[0])), classifier.predict(SAMPLES[0]))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16"])
@pytest.mark.parametrize("size", [(32, 32), (57, 40)])
def test_pillow_images_match_a_classifier(client: Client, classifier: Classifier, mode: str, size: tuple[int, int]):
    digit = Image.open(SAMPLES[7]).resize(size)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(digit.convert("L")).astype(np.uint16) * 255)
    else:
        coloured = Image.merge("RGB", (digit.convert("L"), digit.convert("L").rotate(9), digit.convert("L")))
        picture = coloured.convert(mode)
    picture.getexif()[0x0112] = 6  # rotated by 90 degrees
    same(client.predict(picture), classifier.predict(picture))


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 1), (32, 32, 3), (20, 31), (99, 45, 1), (64, 64, 3), (1, 1)])
def test_arrays_match_a_classifier(client: Client, classifier: Classifier, shape: tuple[int, ...]):
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for image in (array, array[::-1], np.asfortranarray(array)):
        same(client.predict(image), classifier.predict(image))


def test_keeps_the_order_of_mixed_inputs(client: Client, classifier: Classifier):
    images: list = []
    for index, path in enumerate(SAMPLES):
        with Image.open(path) as picture:
            kinds = (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), np.asarray(picture.convert("L")))
            images += [kinds[index % 5], picture.convert("RGB").resize((40, 50))]
    for found, expected in zip(client.predict(images), classifier.predict(images), strict=True):
        same(found, expected)


BROKEN = [b"", b"hello", b"\xff\xd8\xff\xe0 half a jpeg", b"GIF89a", SAMPLES[0].read_bytes()[:100]]


@pytest.mark.parametrize("content", BROKEN)
def test_rejects_a_broken_image(client: Client, tmp_path: Path, content: bytes):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(ImageError, match="the image"):
        client.predict(content)
    with pytest.raises(ImageError, match=r"bad\.png"):
        client.predict(tmp_path / "bad.png")


def test_names_the_formats_of_the_server(client: Client, tmp_path: Path):
    picture = tmp_path / "picture.webp"
    Image.open(SAMPLES[0]).save(picture)
    with pytest.raises(UnknownFormat, match=r"picture\.webp: expected a JPEG, PNG or BMP image, found WebP"):
        client.predict(picture)


def test_classifies_good_images_among_bad_ones(client: Client, classifier: Classifier):
    images: list = [*SAMPLES[:11], BROKEN[1], *SAMPLES[11:], Path("nowhere.png"), BROKEN[4], np.zeros(3), "\0"]
    found, expected = list(client.predictions(images)), list(classifier.predictions(images))
    assert [isinstance(each, ImageError) for each in found] == [isinstance(each, ImageError) for each in expected]
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, Prediction):
            assert isinstance(other, Prediction)
            same(one, other)
    assert str(found[31]) == str(expected[31]) == "cannot read nowhere.png: No such file or directory"
    assert str(found[11]) == "the image is not a JPEG, PNG or BMP image"
    with pytest.raises(ImageError):
        client.predict(images)


def test_rejects_too_many_pixels(client: Client):
    with pytest.raises(ImageTooLarge, match="pixels"):
        client.predict(saved(Image.new("1", (10_000, 10_000)), "PNG"))


def test_no_images_give_no_results(client: Client):
    assert client.predict([]) == []
    assert client.logits(np.empty((0, 32, 32, 1), np.uint8)).shape == (0, 10)


def test_logits_rejects_other_shapes(client: Client):
    for images in (np.zeros((1, 32, 32, 1)), np.zeros((32, 32, 1), np.uint8), np.zeros((1, 31, 32, 1), np.uint8)):
        with pytest.raises(UsageError, match=r"expected uint8 \[N, 32, 32, 1\], found"):
            client.logits(images)


def test_wrong_types_raise_as_in_a_classifier(client: Client, classifier: Classifier):
    anything: Any
    for asked in (client, classifier):
        for anything in ([[0]], "digit.png", None):
            with pytest.raises(
                UsageError, match=r"expected uint8 \[N, 32, 32, 1\], found (list|str|NoneType); predict"
            ):
                asked.logits(anything)
        for anything in (0, 2.5, "x", None):
            with pytest.raises(UsageError, match="top must be a whole number of at least 1"):
                asked.predict(SAMPLES[0], top=anything)
        for anything in ("digit.png", b"", 5, None):
            with pytest.raises(UsageError, match="put it into a list"):
                asked.predictions(anything)


def test_lists_models_and_cards(client: Client, server: Server):
    assert client.is_ready()
    assert client.model == server.name
    assert client.models() == [{"name": server.name, "version": "1", "state": "READY", "reason": ""}]
    card = client.card()
    assert card["digest"] == server.bundle.digest
    assert card["labels"] == list(server.bundle.manifest.labels)
    assert card["preprocessing"]["mode"] == "L"
    with pytest.raises(ServerError, match="'other' is not found"):
        client.card("other")
    with pytest.raises(UsageError, match="model must be the name of a model"):
        client.card(5)  # type: ignore[arg-type]


def test_answers_name_server_and_bundle(client: Client, server: Server):
    (found,) = client.answers(SAMPLES[:1])
    assert (found.url, found.digest) == (f"http://127.0.0.1:{server.port}", server.bundle.digest)


def test_reports_an_unknown_model(server: Server):
    url = f"http://127.0.0.1:{server.port}"
    refused = pytest.raises(ServerError, match=r"answers 404: model 'a/b c' is not found")
    with Client(url, model="a/b c") as client, refused:
        client.predict(SAMPLES[0])


def test_splits_large_batches(client: Client, classifier: Classifier):
    images = np.random.default_rng(1).integers(0, 256, (150, 32, 32, 1), np.uint8)
    assert np.allclose(client.logits(images), classifier.logits(images), rtol=0, atol=1e-4)


def test_forked_processes_use_own_connections(server: Server):
    code = (
        "import os, sys, edgecnn\n"
        f"client = edgecnn.Client('http://127.0.0.1:{server.port}')\n"
        f"path = {str(SAMPLES[0])!r}\n"
        "first = client.predict(path)\n"
        "children = []\n"
        "for _ in range(3):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os._exit(0 if all(client.predict(path) == first for _ in range(20)) else 1)\n"
        "    children.append(child)\n"
        "assert all(client.predict(path) == first for _ in range(20))\n"
        "assert all(os.waitpid(child, 0)[1] == 0 for child in children)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600, env=child_environment())


def test_loads_no_engine_and_no_server():
    code = (
        "import sys, edgecnn\nedgecnn.Client('http://127.0.0.1:1').close()\n"
        "loaded = {'onnxruntime', 'openvino', 'torch', 'onnx', 'orjson', 'httptools', 'prometheus_client', 'uvloop'}\n"
        "assert not loaded & set(sys.modules), loaded & set(sys.modules)\n"
        "assert not [name for name in sys.modules if name.startswith(('edgecnn.runtime', 'edgecnn.server'))]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600, env=child_environment())
