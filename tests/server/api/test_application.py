"""Tests of the protocol's paths over HTTP."""

import pytest
from server_process import Server, serving


def test_serves_the_server_metadata(server: Server):
    found = server.get("/v2").json
    assert found["name"] == "edgecnn"
    assert "binary_tensor_data" in found["extensions"]


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_serves_the_model_metadata(version: str, server: Server):
    found = server.get(f"/v2/models/{server.name}{version}").json
    assert found["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 32, 32, 1]}]
    assert found["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}]


def test_logits_match_the_self_test(server: Server):
    self_test = server.bundle.self_test()
    assert abs(server.logits(self_test.images) - self_test.logits).max() <= self_test.tolerance


def test_decodes_an_image_file(server: Server):
    encoded = server.bundle.self_test().encoded[0]
    kind = f"image/{encoded.format.lower()}"
    path = f"{server.infer_path}?classification=2"
    reply = server.request("POST", path, encoded.content, {"Content-Type": kind})
    assert reply.status == 200
    (output,) = reply.json["outputs"]
    assert output["shape"] == [1, 2]
    assert output["data"][0].split(":")[2] == server.bundle.manifest.labels[int(encoded.logits.argmax())]


def test_times_are_finer_than_a_millisecond(server: Server):
    server.infer(server.images[:1])
    (found,) = server.get(f"/v2/models/{server.name}/stats").json["model_stats"]
    for what in ("queue", "compute_input", "compute_infer"):
        took = found["inference_stats"][what]
        assert took["count"] == found["inference_stats"]["success"]["count"]
        assert took["ns"] > 0
        assert took["ns"] % 1_000_000 > 0, "expected a fraction of a millisecond, found libuv's clock, which is cached"


@pytest.mark.parametrize("name", ["lenet-digits-int8", "other", "..%2f..%2fetc"])
@pytest.mark.parametrize("action", ["load", "unload"])
def test_clients_cannot_load_or_unload(action: str, name: str, server: Server):
    path = f"/v2/repository/models/{name}/{action}"
    reply = server.post({}, path=path)
    assert reply.status == 403
    assert reply.error.startswith("models cannot be loaded or unloaded here")
    assert (server.get(path).status, server.get(path).headers["allow"]) == (405, "POST")
    assert server.post({}, path=f"{path}/more").status == 404


@pytest.mark.slow
def test_a_queue_of_one_accepts_one_request():
    with serving("--max-queue", 1) as server:
        for _ in range(3):
            assert server.infer(server.images[:3]).body == server.golden


def test_index_lists_all_or_ready_models(server: Server):
    def names(body: bytes) -> list[str]:
        return [each["name"] for each in server.request("POST", "/v2/repository/index", body).json]

    for body in (b"", b"{}", b'{"ready": false}', b'{"ready": true}'):
        assert names(body) == [server.name]
    for body in (b"[]", b"{", b'{"ready": 1}'):
        assert server.request("POST", "/v2/repository/index", body).status == 400
