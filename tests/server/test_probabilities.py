"""Probabilities in place of logits, over HTTP and gRPC, equal to what `predict` returns."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import encoded
from manifest_edits import edit_manifest
from PIL import Image
from repository import COMMITTED
from server_process import Server, serving

import edgecnn
from edgecnn.prediction import prediction_of, softmax

ONLY = {"probabilities": True}


def outputs(server: Server, document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the outputs of a JSON request for two images."""
    pixels = {"name": "image", "datatype": "UINT8", "shape": [2, 32, 32, 1], "data": server.images[:2].ravel().tolist()}
    reply = server.post({"inputs": [pixels]} | document)
    assert reply.status == 200, reply.body
    return list(reply.json["outputs"])


@pytest.fixture
def logits(server: Server) -> np.ndarray:
    return server.logits(server.images[:2])


def test_returns_probabilities(server: Server, logits: np.ndarray):
    (found,) = outputs(server, {"parameters": ONLY})
    assert (found["name"], found["datatype"], found["shape"]) == ("probabilities", "FP32", [2, 10])
    assert np.array_equal(np.float32(found["data"]).reshape(2, 10), softmax(logits).astype(np.float32))
    (found,) = outputs(server, {"parameters": {"probabilities": False}})
    assert found["name"] == "logits"


def test_a_listed_output_keeps_its_name(server: Server, logits: np.ndarray):
    expected = softmax(logits).astype(np.float32)
    (found,) = outputs(server, {"parameters": ONLY, "outputs": [{"name": "logits"}]})
    assert found["name"] == "logits"
    assert np.array_equal(np.float32(found["data"]).reshape(2, 10), expected)
    both = [{"name": "probabilities"}, {"name": "logits"}]
    first, second = outputs(server, {"outputs": both})
    assert np.array_equal(np.float32(first["data"]).reshape(2, 10), expected)
    assert np.array_equal(np.float32(second["data"]).reshape(2, 10), logits)


@pytest.mark.parametrize("document", [{"parameters": ONLY, "name": "logits"}, {"name": "probabilities"}])
def test_best_classes_have_probabilities(document: dict[str, Any], server: Server, logits: np.ndarray):
    wanted = {"name": document["name"], "parameters": {"classification": 3}}
    (found,) = outputs(server, {**document, "outputs": [wanted]})
    labels = server.bundle.manifest.labels
    for row, entries in zip(logits, np.reshape(found["data"], (2, 3)), strict=True):
        for entry, (label, probability) in zip(entries, prediction_of(row, labels, top=3).top, strict=True):
            value, index, name = entry.split(":")
            assert (name, labels[int(index)]) == (label, label)
            assert float(value) == pytest.approx(probability, abs=1e-6)


@pytest.mark.parametrize("query", ["probabilities=true", "classification=2&probabilities=true"])
def test_the_query_selects_them_for_an_image(query: str, server: Server):
    file = encoded(Image.fromarray(server.images[0, :, :, 0]), "PNG")
    reply = server.request("POST", f"{server.infer_path}?{query}", file, {"Content-Type": "image/png"})
    (found,) = reply.json["outputs"]
    expected = softmax(server.logits(server.images[:1]))[0]
    best = found["data"][0].split(":")[0] if "classification" in query else max(found["data"])
    assert (found["name"], float(best)) == ("probabilities", pytest.approx(expected.max(), abs=1e-6))


def test_the_query_selects_them_for_raw_pixels(server: Server, logits: np.ndarray):
    path, headers = f"{server.infer_path}?probabilities=true", {"Inference-Header-Content-Length": "0"}
    reply = server.request("POST", path, server.images[:1].tobytes(), headers)
    raw = reply.body[int(reply.headers["inference-header-content-length"]) :]
    assert np.array_equal(np.frombuffer(raw, "<f4"), softmax(logits[:1]).astype(np.float32)[0])
    document = json.loads(reply.body[: -len(raw)])
    assert document["outputs"][0]["name"] == "probabilities"


@pytest.mark.parametrize("value", ["", "yes", "1", "True", "true "])
def test_refuses_another_value_in_the_query(value: str, server: Server):
    path = f"{server.infer_path}?probabilities={value.replace(' ', '%20')}"
    reply = server.request("POST", path, b"{}", {"Content-Type": "image/png"})
    assert (reply.status, reply.error) == (400, "probabilities in the query: expected true or false")


@pytest.mark.parametrize("value", [None, 1, "true", [], {}])
def test_refuses_another_value_in_json(value: object, server: Server):
    reply = server.post({"inputs": [], "parameters": {"probabilities": value}})
    assert reply.status == 400
    pixels = {"name": "image", "datatype": "UINT8", "shape": [1, 32, 32, 1], "data": [0] * 1024}
    reply = server.post({"inputs": [pixels], "parameters": {"probabilities": value}})
    assert reply.error.startswith("request: expected true or false as probabilities, found ")


@pytest.mark.parametrize("module", ["http", "grpc"])
def test_tritonclient_reads_them(module: str, server: Server, logits: np.ndarray):
    triton = pytest.importorskip(f"tritonclient.{module}")
    address = f"127.0.0.1:{server.port}" if module == "http" else server.grpc_address
    client = triton.InferenceServerClient(address)
    pixels = triton.InferInput("image", [2, 32, 32, 1], "UINT8")
    pixels.set_data_from_numpy(server.images[:2])
    expected = softmax(logits).astype(np.float32)
    found = client.infer(server.name, [pixels], parameters=ONLY).as_numpy("probabilities")
    assert np.array_equal(found, expected)
    wanted = [triton.InferRequestedOutput("logits", class_count=1), triton.InferRequestedOutput("probabilities")]
    answer = client.infer(server.name, [pixels], outputs=wanted)
    assert np.array_equal(answer.as_numpy("probabilities"), expected)
    assert answer.as_numpy("logits").shape == (2, 1)
    client.close()


@pytest.fixture(scope="module")
def doubting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a bundle that is unsure of every answer."""
    path = Path(shutil.copytree(COMMITTED, tmp_path_factory.mktemp("doubting") / COMMITTED.name))
    edit_manifest(path, lambda manifest: manifest["scores"].update(unsure_margin=1e6))
    with serving("--grpc-port", 0, bundles=[path]) as server:
        yield server


@pytest.mark.parametrize(
    ("document", "unsure"),
    [
        ({}, None),
        ({"parameters": ONLY}, "0,1"),
        ({"outputs": [{"name": "logits", "parameters": {"classification": 1}}]}, "0,1"),
    ],
)
def test_marks_unsure_answers(document: dict[str, Any], unsure: str | None, doubting: Server, server: Server):
    pixels = {"name": "image", "datatype": "UINT8", "shape": [2, 32, 32, 1], "data": server.images[:2].ravel().tolist()}
    for asked, expected in ((doubting, unsure), (server, None)):
        assert asked.post({"inputs": [pixels]} | document).headers.get("x-unsure") == expected
    assert doubting.get(f"/v2/models/{doubting.name}/card").json["scores"]["unsure_margin"] == 1e6


def test_a_client_marks_unsure_answers(doubting: Server):
    with edgecnn.Client(f"http://127.0.0.1:{doubting.port}") as client:
        assert client.predict(doubting.images[0, :, :, 0]).unsure
