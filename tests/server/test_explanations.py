"""Explanations over HTTP: `serve --explain`."""

import concurrent.futures
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from asking import encoded
from manifest_edits import edit_manifest
from PIL import Image
from repository import COMMITTED
from server_process import Reply, Server, serving, wait_for

from edgecnn.explaining.explain import Explainer
from edgecnn.explaining.memory import explaining_bytes
from edgecnn.files.schema import plain

PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def sibling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the committed bundle with another name."""
    path = Path(shutil.copytree(COMMITTED, tmp_path_factory.mktemp("sibling") / "sibling"))
    edit_manifest(path, lambda document: document.update(name="sibling"))
    return path


@pytest.fixture(scope="module")
def explaining(sibling: Path) -> Iterator[Server]:
    """A server with `--explain`."""
    with serving("--explain", bundles=(COMMITTED, sibling)) as server:
        yield server


def asked(server: Server, query: str = "", *, picture: np.ndarray | None = None) -> Reply:
    """Request an explanation of the first image of the self-test, or of another picture."""
    image = server.images[0][..., 0] if picture is None else picture
    path = f"/v2/models/{server.name}/explain{query}"
    return server.post(encoded(Image.fromarray(image), "PNG"), PNG, path=path)


def test_explains_as_the_library_does(explaining: Server):
    reply = asked(explaining)
    assert reply.status == 200, reply.body
    assert reply.headers["x-bundle-digest"] == explaining.bundle.digest
    explainer = Explainer(explaining.bundle, threads=1)
    expected = json.loads(json.dumps(plain(explainer.explain(explaining.images[0]))))
    explainer.close()
    found = reply.json
    assert found["logits"] == pytest.approx(explaining.logits(explaining.images[:1])[0].tolist(), abs=1e-4)
    assert [layer["id"] for layer in found["layers"]] == [layer["id"] for layer in expected["layers"]]
    assert found["layers"][2]["maps"] == expected["layers"][2]["maps"]
    assert found["compared"] is None


def test_returns_further_maps(explaining: Server):
    layers = {layer["name"]: layer for layer in asked(explaining).json["layers"]}
    conv = layers["conv2"]
    maps = asked(explaining, f"?layer={conv['id']}&first=1&count=2").json["maps"]
    assert [each["channel"] for each in maps] == [each["channel"] for each in conv["maps"][1:3]]


def test_returns_where_the_network_looks(explaining: Server):
    found = asked(explaining, "?class=3").json
    assert (found["method"], found["target"]) == ("occlusion", 3)


def test_compares_with_another_model(explaining: Server):
    found = asked(explaining, "?compare=sibling").json
    assert found["compared"] == "sibling"
    assert {layer["snr_db"] for layer in found["layers"] if layer["operation"] == "conv"} == {200.0}


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("?layer=nothing", 400, "nothing"),
        ("?class=10", 400, "class"),
        ("?class=00000000000009999999", 400, "class in the query: expected a number up to 1000000"),
        (f"?class={'9' * 5000}", 400, "class in the query: expected a number up to 1000000"),
        ("?class=x", 400, "class in the query: expected a number up to 1000000"),
        ("?layer=a&count=65", 400, "count in the query: expected a number up to 64"),
        ("?layer=a&first=-1", 400, "first in the query: expected a number"),
        ("?compare=none", 404, "compare in the query: model 'none' is not found"),
    ],
)
def test_rejects_a_wrong_query(explaining: Server, query: str, status: int, message: str):
    reply = asked(explaining, query)
    assert reply.status == status
    assert message in reply.json["error"]


def test_rejects_several_images_and_damaged_ones(explaining: Server):
    path = f"/v2/models/{explaining.name}/explain"
    pixels = {"name": "image", "datatype": "UINT8", "shape": [2, 32, 32, 1], "data": [0] * 2048}
    reply = explaining.post({"inputs": [pixels]}, path=path)
    assert (reply.status, reply.json["error"]) == (400, "expected one image to explain, found 2")
    assert explaining.post(b"\x89PNG nothing", PNG, path=path).status == 400


def test_is_off_by_default(server: Server):
    reply = asked(server)
    assert reply.status == 403
    assert reply.json["error"] == "images cannot be explained here: start the server with --explain"
    assert "explain" not in server.get("/v2").json["extensions"]
    described = server.get("/openapi.json").json["paths"]["/v2/models/{model}/explain"]["post"]
    assert described["summary"] == "Explain an image; not allowed without --explain."


def test_is_described(explaining: Server):
    assert "explain" in explaining.get("/v2").json["extensions"]
    described = explaining.get("/openapi.json").json["paths"]["/v2/models/{model}/explain"]["post"]
    assert "200" in described["responses"]


def held_bytes(server: Server) -> float:
    return next(each.value for each in server.samples() if each.name == "edgecnn_memory_held_bytes")


def test_its_memory_is_part_of_the_budget(explaining: Server):
    asked(explaining)
    wait_for(lambda: held_bytes(explaining) == explaining_bytes(explaining.bundle))
    with serving("--explain", "--memory-budget", "16M") as small:
        reply = asked(small)
        assert reply.status == 413
        assert "--memory-budget" in reply.json["error"]
        wait_for(lambda: held_bytes(small) == 0)
        assert np.isfinite(small.logits(small.images)).all()


def test_explains_one_image_at_a_time_and_serves_meanwhile(explaining: Server):
    barrier = threading.Barrier(6)

    def ask(number: int) -> int:
        barrier.wait()
        return asked(explaining, f"?class={number}").status

    with concurrent.futures.ThreadPoolExecutor(6) as threads, explaining.good_neighbour():
        statuses = set(threads.map(ask, range(6)))
    assert 200 in statuses
    assert statuses <= {200, 503}
    assert asked(explaining).status == 200


def test_does_not_count_as_inference(explaining: Server):
    path = f"/v2/models/{explaining.name}/stats"
    before = explaining.get(path).json
    asked(explaining)
    assert explaining.get(path).json == before
