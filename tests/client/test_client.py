"""A client of a real server: what a `Classifier` of the same bundle answers, for every kind of image."""

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
from edgecnn.errors import ImageError, ImageTooLarge, ServerError, UsageError
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


def test_the_self_test_is_answered_as_by_a_classifier(client: Client, classifier: Classifier):
    self_test = classifier.bundle.self_test()
    images: list = [*self_test.images, *(each.content for each in self_test.encoded)]
    assert len(images) > 32  # more than one request
    for found, expected in zip(client.predict(images), classifier.predict(images), strict=True):
        same(found, expected)
    assert np.allclose(client.logits(self_test.images), classifier.logits(self_test.images), rtol=0, atol=1e-4)


def test_files_are_answered_as_by_a_classifier(client: Client, classifier: Classifier):
    for found, expected in zip(client.predict(SAMPLES, top=3), classifier.predict(SAMPLES, top=3), strict=True):
        same(found, expected)
        assert len(found.top) == 3
    same(client.predict(str(SAMPLES[0])), classifier.predict(SAMPLES[0]))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16"])
@pytest.mark.parametrize("size", [(32, 32), (57, 40)])
def test_pictures_are_answered_as_by_a_classifier(
    client: Client, classifier: Classifier, mode: str, size: tuple[int, int]
):
    digit = Image.open(SAMPLES[7]).resize(size)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(digit.convert("L")).astype(np.uint16) * 255)
    else:
        coloured = Image.merge("RGB", (digit.convert("L"), digit.convert("L").rotate(9), digit.convert("L")))
        picture = coloured.convert(mode)
    picture.getexif()[0x0112] = 6  # it lies on its side
    same(client.predict(picture), classifier.predict(picture))


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 1), (32, 32, 3), (20, 31), (99, 45, 1), (64, 64, 3), (1, 1)])
def test_arrays_are_answered_as_by_a_classifier(client: Client, classifier: Classifier, shape: tuple[int, ...]):
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for image in (array, array[::-1], np.asfortranarray(array)):
        same(client.predict(image), classifier.predict(image))


def test_one_kind_and_another_are_answered_in_their_order(client: Client, classifier: Classifier):
    images: list = []
    for index, path in enumerate(SAMPLES):
        with Image.open(path) as picture:
            kinds = (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), np.asarray(picture.convert("L")))
            images += [kinds[index % 5], picture.convert("RGB").resize((40, 50))]
    for found, expected in zip(client.predict(images), classifier.predict(images), strict=True):
        same(found, expected)


BROKEN = [b"", b"hello", b"\xff\xd8\xff\xe0 half a jpeg", b"GIF89a", SAMPLES[0].read_bytes()[:100]]


@pytest.mark.parametrize("content", BROKEN)
def test_an_image_that_is_none_is_an_image_error(client: Client, tmp_path: Path, content: bytes):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(ImageError, match="the image"):
        client.predict(content)
    with pytest.raises(ImageError, match=r"bad\.png"):
        client.predict(tmp_path / "bad.png")


def test_those_that_are_none_are_told_apart_and_the_others_are_answered(client: Client, classifier: Classifier):
    images: list = [*SAMPLES[:11], BROKEN[1], *SAMPLES[11:], Path("nowhere.png"), BROKEN[4], np.zeros(3), "\0"]
    found, expected = list(client.predictions(images)), list(classifier.predictions(images))
    assert [type(each) for each in found] == [type(each) for each in expected]
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, Prediction):
            assert isinstance(other, Prediction)
            same(one, other)
    assert str(found[31]) == str(expected[31]) == "cannot read nowhere.png: No such file or directory"
    assert str(found[11]) == str(expected[11]) == "the image is not a JPEG, PNG or BMP image"
    with pytest.raises(ImageError):
        client.predict(images)


def test_an_image_of_too_many_pixels_is_too_large(client: Client):
    with pytest.raises(ImageTooLarge, match="pixels"):
        client.predict(saved(Image.new("1", (10_000, 10_000)), "PNG"))


def test_no_images_are_no_answers(client: Client):
    assert client.predict([]) == []
    assert client.logits(np.empty((0, 32, 32, 1), np.uint8)).shape == (0, 10)


def test_what_is_no_batch_of_images_is_a_usage_error(client: Client):
    for images in (np.zeros((1, 32, 32, 1)), np.zeros((32, 32, 1), np.uint8), np.zeros((1, 31, 32, 1), np.uint8)):
        with pytest.raises(UsageError, match=r"expected uint8 \[N, 32, 32, 1\], found"):
            client.logits(images)


def test_what_the_types_forbid_is_an_error_of_one_line_and_the_same_as_a_classifiers(
    client: Client, classifier: Classifier
):
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
            with pytest.raises(UsageError, match="put the one into a list"):
                asked.predictions(anything)


def test_what_the_server_says_of_its_models(client: Client, server: Server):
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


def test_each_answer_says_who_gave_it(client: Client, server: Server):
    (found,) = client.answers(SAMPLES[:1])
    assert (found.url, found.digest) == (f"http://127.0.0.1:{server.port}", server.bundle.digest)


def test_a_model_that_is_not_there_is_said(server: Server):
    url = f"http://127.0.0.1:{server.port}"
    refused = pytest.raises(ServerError, match=r"answers 404: model 'a/b c' is not found")
    with Client(url, model="a/b c") as client, refused:
        client.predict(SAMPLES[0])


def test_more_than_a_request_may_hold_is_asked_for_in_parts(client: Client, classifier: Classifier):
    images = np.random.default_rng(1).integers(0, 256, (150, 32, 32, 1), np.uint8)
    assert np.allclose(client.logits(images), classifier.logits(images), rtol=0, atol=1e-4)


def test_a_forked_process_asks_on_connections_of_its_own(server: Server):
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
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=child_environment())


def test_a_client_loads_no_engine_and_nothing_of_the_server():
    code = (
        "import sys, edgecnn\nedgecnn.Client('http://127.0.0.1:1').close()\n"
        "loaded = {'onnxruntime', 'openvino', 'torch', 'onnx', 'orjson', 'httptools', 'prometheus_client', 'uvloop'}\n"
        "assert not loaded & set(sys.modules), loaded & set(sys.modules)\n"
        "assert not [name for name in sys.modules if name.startswith(('edgecnn.runtime', 'edgecnn.server.http'))]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=child_environment())
