"""Servers that do not serve the same: one lacks the model, is of another kind, or has another bundle."""

import contextlib
import json
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scripted_server import LENGTH, Asked, Model, Said, Site, images, nobody, reply, site

from edgecnn import Client, Retries
from edgecnn.errors import EdgecnnError, ServerError, ServerUnavailable, UsageError

QUICK = Retries(first_rest_s=0.001, longest_rest_s=0.01)
Answering = Callable[[Asked], Said]


@contextlib.contextmanager
def both(
    one: Answering, other: Answering, model: str | None = "m", retries: Retries = QUICK
) -> Iterator[tuple[Client, list[Site]]]:
    with contextlib.ExitStack() as stack:
        sites = [stack.enter_context(site(each)) for each in (one, other)]
        urls = [found.url for found in sites]
        yield stack.enter_context(Client(urls, model=model, retries=retries)), sites


def paths(found: Site) -> list[str]:
    return [asked.path for asked in found.asked]


def test_a_server_that_lacks_the_model_is_passed_over():
    with both(Model(name="other"), Model(), retries=Retries(longest_rest_s=600)) as (client, (first, _)):
        found = [client.predict(image).label for _ in range(5) for image in images(0, 1, 2)]
        assert found == ["a", "b", "c"] * 5
        assert client.logits(images(2)).argmax() == 2
        assert paths(first) == ["/v2/models/m", "/v2/models/m/infer"]  # each is tried there once


def test_a_model_that_comes_later_is_asked_there_too():
    with both(Model(name="other"), Model()) as (client, (first, _)):
        client.predict(images(1)[0])
        first.answer = Model(digest="2" * 64, labels=("x", "y", "z"))
        seen: set[str] = set()
        while "y" not in seen:
            seen.add(client.predict(images(1)[0]).label)


def test_a_model_that_no_server_has_is_an_error_of_one_of_them():
    with both(Model(), Model(), model="n") as (client, sites):
        for _ in range(2):
            with pytest.raises(ServerError, match="answers 404: nothing there") as caught:
                client.predict(images(1)[0])
            assert caught.value.status == 404
        assert [len(found.asked) for found in sites] == [2, 2]


def test_a_model_that_one_server_lacks_while_the_other_is_gone_is_said_of_both():
    gone = nobody()
    with site(Model()) as found, Client([found.url, gone], model="n", retries=QUICK) as client:
        with pytest.raises(ServerUnavailable) as caught:
            client.predict(images(1)[0])
        assert f"{gone}: Connection refused; {found.url} answers 404" in str(caught.value)
        assert "gave up on 2 servers after 12 attempts" in str(caught.value)


@pytest.mark.parametrize("strange", [reply(404, body=b"<html>nginx</html>"), reply(404, {"detail": "Not Found"})])
def test_a_server_of_something_else_is_passed_over(strange: Said):
    with both(lambda _: strange, Model(), model=None) as (client, _):
        assert client.predict(list(images(0, 1, 2)))[2].label == "c"
        assert client.model == "m"


def unready(asked: Asked) -> Said:
    entry = {"name": "m", "state": "UNAVAILABLE", "reason": "damaged"}
    return reply(200, [entry]) if asked.path.endswith("/index") else reply(404, {"error": "nothing there"})


def test_where_one_server_has_no_model_that_is_ready_the_other_names_it():
    with both(unready, Model(), model=None) as (client, _):
        assert client.predict(images(1)[0]).label == "b"


def test_where_no_server_has_a_model_that_is_ready_the_reason_is_told():
    refused = pytest.raises(EdgecnnError, match=r"no model is ready at .*, .*: m is unavailable: damaged")
    with both(unready, unready, model=None) as (client, _), refused:
        client.predict(images(1)[0])


@pytest.mark.parametrize("models", [(Model(has_card=False), Model()), (Model(), Model(has_card=False))])
def test_a_description_is_one_servers_alone(models: tuple[Model, Model]):
    with both(*models) as (client, (first, second)):
        assert client.logits(images(1)).argmax() == 1
        assert paths(first)[:3] == ["/v2/models/m", "/v2/models/m/card", "/v2/models/m/config"]
        assert paths(second) == ["/v2/models/m/infer"]


def test_beside_a_server_of_another_kind_each_answer_has_the_labels_of_whom_it_is_of():
    with both(Model(has_card=False), Model()) as (client, (foreign, ours)):
        found = {each.url: each.prediction for _ in range(4) for each in client.answers(images(1))}
        labels = {at: None if isinstance(each, Exception) else each.label for at, each in found.items()}
        assert labels == {foreign.url: "1", ours.url: "b"}
        assert paths(ours).count("/v2/models/m/card") == 1


def test_an_answer_without_a_bundle_where_one_was_described_is_an_error_that_names_both():
    with both(Model(), Model(has_card=False)) as (client, (ours, foreign)):
        expected = f"{foreign.url} does not say .*another kind of server than {ours.url}"
        with pytest.raises(ServerError, match=expected):
            client.predict(images(1)[0])


def test_cards_that_somebody_hides_leave_numbers():
    def hidden(asked: Asked) -> Said:
        return reply(404, {"error": "no"}) if asked.path.endswith("/card") else Model()(asked)

    with site(hidden) as found, Client(found.url, model="m") as client:
        assert [client.predict(image).label for image in images(2, 1)] == ["2", "1"]
        assert paths(found).count("/v2/models/m/card") == 2  # for the description, and for the bundle that answered


def test_servers_whose_models_take_other_images_are_both_named():
    class Wide(Model):
        def card(self) -> dict:
            return super().card() | {"image": [8, 8, 1]}

    with both(Model(), Wide(digest="2" * 64)) as (client, (first, second)):
        expected = rf"{second.url} takes other images for 'm', \[8, 8, 1\], than {first.url}, \[4, 4, 1\]"
        with pytest.raises(ServerError, match=expected):
            client.predict(images(1)[0])


def test_a_server_whose_model_has_other_classes_answers_with_its_own_labels():
    class More(Model):
        def infer(self, asked: Asked) -> Said:
            count = json.loads(asked.body[: int(asked.headers[LENGTH.lower()])])["inputs"][0]["shape"][0]
            output = {"name": "logits", "datatype": "FP32", "shape": [count, 4], "data": [0, 0, 0, 9] * count}
            return reply(200, {"outputs": [output]}, X_Bundle_Digest=self.digest)

    with both(Model(), More(labels=("q", "r", "s", "t"), digest="2" * 64)) as (client, _):
        assert {client.predict(images(1)[0]).label for _ in range(4)} == {"b", "t"}
        with pytest.raises(EdgecnnError, match="different numbers of classes"):
            client.logits(np.concatenate([images(1)] * 8))


def test_servers_that_serve_several_models_want_one_named():
    def index(asked: Asked) -> Said:
        return reply(200, [{"name": "m"}, {"name": "n"}]) if asked.path.endswith("/index") else Model()(asked)

    with both(index, Model(), model=None) as (client, _), pytest.raises(UsageError, match="serves m, n"):
        client.predict(images(1)[0])
