"""Labels of the bundle that answered, the encoding of images in requests, and the choice of the model."""

import io
import itertools
import json
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from scripted_server import LENGTH, Asked, Model, Said, Site, images, reply, site

from edgecnn import Client, Retries
from edgecnn.errors import EdgecnnError, ImageError, ServerError, UsageError

QUICK = Retries(first_rest_s=0.001, longest_rest_s=0.01)


def digest(number: int) -> str:
    return f"{number:064x}"


def count(found: Site, end: str) -> int:
    return sum(asked.path.endswith(end) for asked in found.asked)


def sent(found: Site) -> list[str]:
    """Return the datatypes of the received tensors."""
    heads = [
        json.loads(asked.body[: int(asked.headers[LENGTH.lower()])])
        for asked in found.asked
        if asked.path.endswith("/infer")
    ]
    return [tensor["datatype"] for head in heads for tensor in head["inputs"]]


def test_labels_follow_a_new_bundle():
    model = Model()
    with site(model) as found, Client(found.url) as client:
        for number in range(5):
            model.labels, model.digest = [f"{number}{letter}" for letter in "abc"], digest(number)
            assert [client.predict(image).label for image in images(0, 1, 2)] == list(model.labels)
        assert count(found, "/card") == 5


def test_labels_follow_each_server():
    one, other = Model(digest=digest(1)), Model(labels=("x", "y", "z"), digest=digest(2))
    with site(one) as first, site(other) as second, Client([first.url, second.url]) as client:
        found = [answer for _ in range(10) for answer in client.answers(images(2))]
        assert {(each.url, each.digest, each.prediction.label) for each in found} == {
            (first.url, digest(1), "c"),
            (second.url, digest(2), "z"),
        }
        assert count(first, "/card") + count(second, "/card") == 2


def test_repeats_when_the_bundle_was_replaced():
    model = Model(digest=digest(0))
    numbers = itertools.count(1)

    def answer(asked: Asked) -> Said:
        said = model(asked)
        if asked.path.endswith("/infer") and len(found.asked) < 12:  # replaced before the client reads the card
            number = next(numbers)
            model.labels, model.digest = [f"{number}{letter}" for letter in "abc"], digest(number)
        return said

    with site(answer) as found, Client(found.url) as client:
        client.card()
        for _ in range(3):
            (each,) = client.answers(images(1))
            number = int(each.digest, 16)
            assert each.prediction.label == (f"{number}b" if number else "b")


def test_gives_up_when_bundles_keep_changing():
    model = Model()
    numbers = itertools.count()

    def answer(asked: Asked) -> Said:
        model.digest = digest(next(numbers))
        return model(asked)

    with site(answer) as found, Client(found.url) as client:
        with pytest.raises(ServerError, match="replaced its bundle 5 times before the labels could be read"):
            client.predict(images(1)[0])
        assert count(found, "/infer") == 5


def test_repeats_when_the_server_went_away():
    one, other = Model(digest=digest(1)), Model(labels=("x", "y", "z"), digest=digest(2))

    def last_words(asked: Asked) -> Said:
        return one(asked) if asked.path.endswith("/infer") else Said(b"", "reset")

    with site(one) as first, site(other) as second:
        with Client([first.url, second.url], model="m", retries=QUICK) as client:
            client.logits(images(1))  # the second request of the description, for the card, goes to the second server
            first.answer = last_words
            assert {client.predict(images(1)[0]).label for _ in range(4)} == {"y"}
        assert count(first, "/infer") >= 1


def test_requires_the_digest_of_the_bundle():
    model = Model()

    def answer(asked: Asked) -> Said:
        said = model(asked)
        return Said(said.content.replace(b"X-Bundle-Digest", b"X-Other"))

    with site(answer) as found, Client(found.url) as client:
        with pytest.raises(ServerError, match="X-Bundle-Digest"):
            client.predict(images(1)[0])
        assert client.logits(images(1)).argmax() == 1


@pytest.mark.parametrize(("header", "stages"), [(b"fast", "fast"), (b"accurate", "accurate"), (b"slow", None)])
def test_reads_the_stages_of_a_cascade(header: bytes, stages: str | None):
    model = Model()

    def answer(asked: Asked) -> Said:
        said = model(asked)
        return Said(said.content.replace(b"X-Bundle-Digest", b"X-Stage: " + header + b"\r\nX-Bundle-Digest"))

    with site(answer) as found, Client(found.url) as client:
        if stages is None:
            with pytest.raises(ServerError, match="X-Stage: expected fast or accurate for each of 1 images"):
                client.predict(images(1)[0])
        else:
            assert client.predict(images(1)[0]).stage == stages


@pytest.mark.parametrize("change", [{"image": [8, 8, 1]}, {"preprocessing": None}])
def test_describes_a_changed_model_again(change: dict):
    class Changed(Model):
        def card(self) -> dict:
            return super().card() | (change if self.digest != digest(0) else {})

    model = Changed(digest=digest(0))
    with site(model) as found, Client(found.url) as client:
        assert client.predict(images(1)[0]).label == "b"
        model.digest = digest(1)
        with pytest.raises(ServerError, match="has a new model with other preprocessing"):
            client.predict(images(1)[0])
        described = count(found, "/config")
        with pytest.raises(EdgecnnError):  # the script decodes no files
            client.predict(images(1)[0])
        assert count(found, "/config") == described + 1


def test_rejects_labels_of_another_length():
    refused = pytest.raises(ServerError, match="2 labels and returned 3 logits")
    with site(Model(labels=("a", "b"))) as found, Client(found.url) as client, refused:
        client.predict(images(1)[0])


RESIZED = {"mode": "L", "crop": None, "mean": [0.5], "std": [0.5], "resize": {"interpolation": "bilinear"}}


@pytest.mark.parametrize(
    ("preprocessing", "datatype"),
    [
        ({"mode": "L", "resize": None, "crop": None, "mean": [0.5], "std": [0.5]}, "UINT8"),
        (RESIZED | {"resize": {"size": [4], "interpolation": "bilinear"}}, "UINT8"),
        (RESIZED | {"resize": {"size": [4, 4], "interpolation": "bilinear"}, "crop": [4, 4]}, "UINT8"),
        # The image would be resized to 5 and cropped to 4.
        (RESIZED | {"resize": {"size": [5], "interpolation": "bilinear"}, "crop": [4, 4]}, "BYTES"),
        (RESIZED | {"later": "versions may say more"}, "BYTES"),
        (None, "BYTES"),
    ],
)
def test_sends_pixels_only_if_not_resized(preprocessing: dict | None, datatype: str):
    with site(Model(preprocessing=preprocessing)) as found, Client(found.url) as client:
        list(client.predictions(images(1)))
        list(client.predictions(images(1)[..., 0]))
        assert sent(found) == [datatype] * 2
        list(client.predictions([np.zeros((5, 4), np.uint8)]))
        assert sent(found)[2:] == ["BYTES"]


def test_sends_files_unchanged_and_arrays_as_png():
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "JPEG")
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    with site(Model()) as found, Client(found.url) as client:
        list(client.predictions([file.getvalue(), pixels]))
        body = next(asked.body for asked in found.asked if asked.path.endswith("/infer"))
        assert file.getvalue() in body
        with Image.open(io.BytesIO(body[body.index(b"\x89PNG") :])) as picture:
            assert np.array_equal(np.asarray(picture), np.asarray(Image.fromarray(pixels).convert("L")))


def test_splits_by_the_limit_of_the_server():
    with site(Model()) as found, Client(found.url) as client:
        assert len(client.predict(list(images(*range(3)).repeat(4, 0)))) == 12
        assert len(client.logits(images(0).repeat(9, 0))) == 9
        assert sent(found) == ["UINT8"] * 6


def test_sends_refused_images_one_by_one():
    model = Model()

    def answer(asked: Asked) -> Said:
        return reply(413, {"error": "too large"}) if len(asked.body) > 215 else model(asked)

    with site(answer) as found, Client(found.url) as client:
        classes = [0, 1, 2, 1, 0, 2]
        assert client.logits(images(*classes)).argmax(1).tolist() == classes
        assert [each.index for each in client.predict(list(images(*classes)))] == classes
        assert count(found, "/infer") == 2 * (1 + 4 + 1 + 2)  # a chunk of four and one of two are refused


def test_describes_the_model_once():
    with site(Model()) as first, site(Model()) as second, Client([first.url, second.url], model="m") as client:
        for _ in range(3):
            assert client.predict(images(1)[0]).label == "b"
            assert client.logits(images(1)).argmax() == 1
        described = [asked.path for found in (first, second) for asked in found.asked if asked.method == "GET"]
        assert sorted(described) == ["/v2/models/m", "/v2/models/m/card", "/v2/models/m/config"]


def test_numbers_classes_if_cards_are_hidden():
    def hidden(asked: Asked) -> Said:
        return reply(404, {"error": "no"}) if asked.path.endswith("/card") else Model()(asked)

    with site(hidden) as found, Client(found.url, model="m") as client:
        assert [client.predict(image).label for image in images(2, 1)] == ["2", "1"]
        assert count(found, "/card") == 1


def test_requires_the_card_of_a_new_bundle():
    model = Model()

    def answer(asked: Asked) -> Said:
        is_hidden = asked.path.endswith("/card") and model.digest == digest(2)
        return reply(404, {"error": "no"}) if is_hidden else model(asked)

    with site(answer) as found, Client(found.url) as client:
        client.predict(images(1)[0])
        model.digest = digest(2)
        with pytest.raises(ServerError, match="reports the digest of a bundle, but no card"):
            client.predict(images(1)[0])


# Other servers of the protocol


@pytest.mark.parametrize("in_json", [False, True])
def test_server_of_another_make(in_json: bool):
    with site(Model(has_card=False, in_json=in_json)) as found, Client(found.url) as client:
        assert client.logits(images(0, 2)).tolist() == [[5, 0, 0], [0, 0, 5]]
        file = io.BytesIO()
        Image.fromarray(images(1)[0, :, :, 0]).save(file, "PNG")
        assert [each.label for each in client.predict([images(2)[0], file.getvalue()])] == ["2", "1"]
        with pytest.raises(ImageError, match=r"has \[5, 4, 1\]: the server does not report how images are resized"):
            client.predict(np.zeros((5, 4), np.uint8))
        with pytest.raises(ServerError, match="404"):
            client.card()


def test_rejects_a_model_for_other_tensors():
    def answer(asked: Asked) -> Said:
        image = {"name": "x", "datatype": "FP32", "shape": [-1, 3, 224, 224]}
        return reply(200, {"name": "m", "inputs": [image], "outputs": [image | {"shape": [-1, 10]}]})

    refused = pytest.raises(UsageError, match=r"takes FP32 \[-1, 3, 224, 224\]")
    with site(answer) as found, Client(found.url, model="m") as client, refused:
        client.logits(images(1))


# Which model


def with_index(*entries: dict) -> Callable[[Asked], Said]:
    model = Model()
    return lambda asked: reply(200, list(entries)) if asked.path.endswith("/index") else model(asked)


def test_uses_the_only_ready_model():
    others = {"name": "x", "state": "UNAVAILABLE", "reason": "it was unloaded"}
    with site(with_index(others, {"name": "m", "state": "READY"})) as found, Client(found.url) as client:
        assert client.predict(images(1)[0]).label == "b"
        assert client.model == "m"


def test_requires_a_name_for_several_models():
    with site(with_index({"name": "m"}, {"name": "n", "state": "READY"})) as found:
        with Client(found.url) as client, pytest.raises(UsageError, match=r"serves m, n: choose one with model"):
            client.predict(images(1)[0])
        with Client(found.url, model="m") as client:
            assert client.predict(images(1)[0]).label == "b"


def test_reports_why_no_model_is_ready():
    entry = {"name": "m", "state": "UNAVAILABLE", "reason": "a file is missing"}
    refused = pytest.raises(EdgecnnError, match=r"no model is ready at .*: m is unavailable: a file is missing")
    with site(with_index(entry)) as found, Client(found.url) as client, refused:
        client.predict(images(1)[0])
