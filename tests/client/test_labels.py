"""Labels are those of the bundle that has answered, however often it changes; and what travels as what."""

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


def asked_for(found: Site, end: str) -> int:
    return sum(asked.path.endswith(end) for asked in found.asked)


def sent(found: Site) -> list[str]:
    """The datatypes of the tensors that have come."""
    heads = [
        json.loads(asked.body[: int(asked.headers[LENGTH.lower()])])
        for asked in found.asked
        if asked.path.endswith("/infer")
    ]
    return [tensor["datatype"] for head in heads for tensor in head["inputs"]]


def test_a_new_bundle_brings_its_own_labels():
    model = Model()
    with site(model) as found, Client(found.url) as client:
        for number in range(5):
            model.labels, model.digest = [f"{number}{letter}" for letter in "abc"], digest(number)
            assert [client.predict(image).label for image in images(0, 1, 2)] == list(model.labels)
        assert asked_for(found, "/card") == 5


def test_servers_with_different_bundles_never_mix_their_labels():
    one, other = Model(digest=digest(1)), Model(labels=("x", "y", "z"), digest=digest(2))
    with site(one) as first, site(other) as second, Client([first.url, second.url]) as client:
        found = [answer for _ in range(10) for answer in client.answers(images(2))]
        assert {(each.url, each.digest, each.prediction.label) for each in found} == {
            (first.url, digest(1), "c"),
            (second.url, digest(2), "z"),
        }
        assert asked_for(first, "/card") + asked_for(second, "/card") == 2


def test_a_bundle_that_is_replaced_between_answer_and_card_is_asked_again():
    model = Model(digest=digest(0))
    numbers = itertools.count(1)

    def answer(asked: Asked) -> Said:
        said = model(asked)
        if asked.path.endswith("/infer") and len(found.asked) < 12:  # gone by the time that anybody asks who it was
            number = next(numbers)
            model.labels, model.digest = [f"{number}{letter}" for letter in "abc"], digest(number)
        return said

    with site(answer) as found, Client(found.url) as client:
        client.card()
        for _ in range(3):
            (each,) = client.answers(images(1))
            number = int(each.digest, 16)
            assert each.prediction.label == (f"{number}b" if number else "b")


def test_a_server_whose_bundles_never_stay_is_given_up():
    model = Model()
    numbers = itertools.count()

    def answer(asked: Asked) -> Said:
        model.digest = digest(next(numbers))
        return model(asked)

    with site(answer) as found, Client(found.url) as client:
        with pytest.raises(ServerError, match="from bundles of which it did not say the labels any more"):
            client.predict(images(1)[0])
        assert asked_for(found, "/infer") == 5


def test_a_server_that_goes_after_its_answer_costs_no_answer():
    one, other = Model(digest=digest(1)), Model(labels=("x", "y", "z"), digest=digest(2))

    def last_words(asked: Asked) -> Said:
        return one(asked) if asked.path.endswith("/infer") else Said(b"", "reset")

    with site(one) as first, site(other) as second:
        with Client([first.url, second.url], model="m", retries=QUICK) as client:
            client.card()  # the turn is the second's, which describes itself
            first.answer = last_words
            assert {client.predict(images(1)[0]).label for _ in range(4)} == {"y"}
        assert asked_for(first, "/infer") >= 1


def test_an_answer_that_names_no_bundle_is_no_answer():
    model = Model()

    def answer(asked: Asked) -> Said:
        said = model(asked)
        return Said(said.content.replace(b"X-Bundle-Digest", b"X-Other"))

    with site(answer) as found, Client(found.url) as client:
        with pytest.raises(ServerError, match="X-Bundle-Digest"):
            client.predict(images(1)[0])
        assert client.logits(images(1)).argmax() == 1


@pytest.mark.parametrize("change", [{"image": [8, 8, 1]}, {"preprocessing": None}])
def test_a_model_that_takes_other_images_now_is_said_and_asked_about_anew(change: dict):
    class Changed(Model):
        def card(self) -> dict:
            return super().card() | (change if self.digest != digest(0) else {})

    model = Changed(digest=digest(0))
    with site(model) as found, Client(found.url) as client:
        assert client.predict(images(1)[0]).label == "b"
        model.digest = digest(1)
        with pytest.raises(ServerError, match="has another model now"):
            client.predict(images(1)[0])
        described = asked_for(found, "/config")
        with pytest.raises(EdgecnnError):  # the script decodes no files
            client.predict(images(1)[0])
        assert asked_for(found, "/config") == described + 1


def test_a_bundle_whose_labels_do_not_fit_its_logits_is_refused():
    refused = pytest.raises(ServerError, match="2 labels and gives 3 logits")
    with site(Model(labels=("a", "b"))) as found, Client(found.url) as client, refused:
        client.predict(images(1)[0])


RESIZED = {"mode": "L", "crop": None, "mean": [0.5], "std": [0.5], "resize": {"interpolation": "bilinear"}}


@pytest.mark.parametrize(
    ("preprocessing", "datatype"),
    [
        ({"mode": "L", "resize": None, "crop": None, "mean": [0.5], "std": [0.5]}, "UINT8"),
        (RESIZED | {"resize": {"size": [4], "interpolation": "bilinear"}}, "UINT8"),
        (RESIZED | {"resize": {"size": [4, 4], "interpolation": "bilinear"}, "crop": [4, 4]}, "UINT8"),
        # It would be scaled to 5 and cut to 4.
        (RESIZED | {"resize": {"size": [5], "interpolation": "bilinear"}, "crop": [4, 4]}, "BYTES"),
        (RESIZED | {"later": "versions may say more"}, "BYTES"),
        (None, "BYTES"),
    ],
)
def test_pixels_travel_as_they_are_only_where_the_model_would_take_them_so(preprocessing: dict | None, datatype: str):
    with site(Model(preprocessing=preprocessing)) as found, Client(found.url) as client:
        list(client.predictions(images(1)))
        list(client.predictions(images(1)[..., 0]))
        assert sent(found) == [datatype] * 2
        list(client.predictions([np.zeros((5, 4), np.uint8)]))
        assert sent(found)[2:] == ["BYTES"]


def test_a_file_travels_as_it_is_and_a_picture_without_loss():
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "JPEG")
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    with site(Model()) as found, Client(found.url) as client:
        list(client.predictions([file.getvalue(), pixels]))
        body = next(asked.body for asked in found.asked if asked.path.endswith("/infer"))
        assert file.getvalue() in body
        with Image.open(io.BytesIO(body[body.index(b"\x89PNG") :])) as picture:
            assert np.array_equal(np.asarray(picture), np.asarray(Image.fromarray(pixels).convert("L")))


def test_requests_hold_no_more_than_the_server_takes():
    with site(Model()) as found, Client(found.url) as client:
        assert len(client.predict(list(images(*range(3)).repeat(4, 0)))) == 12
        assert len(client.logits(images(0).repeat(9, 0))) == 9
        assert sent(found) == ["UINT8"] * 6


def test_a_server_that_takes_less_than_it_says_gets_less():
    model = Model()

    def answer(asked: Asked) -> Said:
        return reply(413, {"error": "too large"}) if len(asked.body) > 215 else model(asked)

    with site(answer) as found, Client(found.url) as client:
        classes = [0, 1, 2, 1, 0, 2]
        assert client.logits(images(*classes)).argmax(1).tolist() == classes
        assert [each.index for each in client.predict(list(images(*classes)))] == classes


# Other servers of the protocol


@pytest.mark.parametrize("in_json", [False, True])
def test_another_server_gives_logits_and_the_numbers_of_classes(in_json: bool):
    with site(Model(has_card=False, in_json=in_json)) as found, Client(found.url) as client:
        assert client.logits(images(0, 2)).tolist() == [[5, 0, 0], [0, 0, 5]]
        file = io.BytesIO()
        Image.fromarray(images(1)[0, :, :, 0]).save(file, "PNG")
        assert [each.label for each in client.predict([images(2)[0], file.getvalue()])] == ["2", "1"]
        with pytest.raises(ImageError, match=r"has \[5, 4, 1\]: the server does not say how images are resized"):
            client.predict(np.zeros((5, 4), np.uint8))
        with pytest.raises(ServerError, match="404"):
            client.card()


def test_a_model_for_other_tensors_is_a_usage_error():
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


def test_the_only_model_that_is_ready_is_asked():
    others = {"name": "x", "state": "UNAVAILABLE", "reason": "it was unloaded"}
    with site(with_index(others, {"name": "m", "state": "READY"})) as found, Client(found.url) as client:
        assert client.predict(images(1)[0]).label == "b"
        assert client.model == "m"


def test_of_several_models_one_must_be_named():
    with site(with_index({"name": "m"}, {"name": "n", "state": "READY"})) as found:
        with Client(found.url) as client, pytest.raises(UsageError, match=r"serves m, n: name one of them with model"):
            client.predict(images(1)[0])
        with Client(found.url, model="m") as client:
            assert client.predict(images(1)[0]).label == "b"


def test_without_a_model_that_is_ready_the_reasons_are_told():
    entry = {"name": "m", "state": "UNAVAILABLE", "reason": "a file is missing"}
    refused = pytest.raises(EdgecnnError, match=r"no model is ready at .*: m is unavailable: a file is missing")
    with site(with_index(entry)) as found, Client(found.url) as client, refused:
        client.predict(images(1)[0])
