"""Loading and unloading by clients: off by default, and never allowed for a page of another site.

The number in a comment is a row in the project's table of faults.
"""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import refusal
from held_engine import Engine
from model_versions import NAME, put, put_with_another_class
from repository import COMMITTED
from server_process import Reply, Server, serving, wait_for
from triton_client import Triton, error_of

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.api.control_requests import check_control
from edgecnn.server.http.message import Head

GRPC = ("--grpc-port", 0)


@pytest.fixture
def controlled(one_version: Path) -> Iterator[Server]:
    """Yield a server with model control and without watching."""
    with serving("--model-control", "--watch-s", 0, *GRPC, bundles=[one_version.parent], name=NAME) as server:
        yield server


def order(server: Server, action: str, name: str = NAME, **headers: str) -> Reply:
    return server.request("POST", f"/v2/repository/models/{name}/{action}", b"", headers)


def loads(server: Server) -> int:
    """Return how many times a version became ready, according to the log."""
    return sum("ready" in line and "version=" in line for line in server.lines)


@pytest.mark.slow
def test_loads_the_newest_version(controlled: Server, one_version: Path):
    put(one_version, 2)
    reply = order(controlled, "load")
    assert reply.json == {"name": NAME, "version": "2", "state": "READY", "reason": ""}
    assert controlled.get(f"/v2/models/{NAME}").json["versions"] == ["2"]
    wait_for(lambda: loads(controlled) == 2)  # another thread reads the log
    assert order(controlled, "load").status == 200  # it is already loaded
    assert order(controlled, "unload").status == 200
    wait_for(lambda: any("unloaded" in line for line in controlled.lines))
    assert loads(controlled) == 2


@pytest.mark.slow
def test_an_unloaded_model_is_unavailable(controlled: Server):
    assert order(controlled, "unload").json["state"] == "UNAVAILABLE"
    refused = controlled.infer(controlled.images[:1])
    assert refused.status == 503
    assert refused.error == f"model '{NAME}' is unavailable: it was unloaded"
    assert controlled.get("/v2/health/ready").status == 503
    assert order(controlled, "load").status == 200
    assert controlled.infer(controlled.images[:3]).body == controlled.golden
    assert order(controlled, "unload").status == 200
    assert order(controlled, "load").status == 200
    controlled.unharmed()


@pytest.mark.slow
def test_an_unloaded_model_may_change_its_tensors(controlled: Server, one_version: Path):
    put_with_another_class(one_version, 2)
    assert "found logits float32 [-1,11]" in refusal(order(controlled, "load"))
    assert order(controlled, "unload").status == 200
    assert order(controlled, "load").status == 200
    assert controlled.get(f"/v2/models/{NAME}").json["outputs"][0]["shape"] == [-1, 11]


def test_a_bad_version_keeps_the_old_one_served(controlled: Server, one_version: Path):  # 78
    put(one_version, 2)
    (one_version / "2" / "model.onnx").write_bytes(b"")
    for _ in range(2):
        text = refusal(order(controlled, "load"))
        assert text == f"failed to load '{NAME}': version 2 was refused: it is not an intact bundle"
    assert controlled.index()[NAME]["reason"] == "version 2 was refused: it is not an intact bundle"
    controlled.unharmed()


@pytest.mark.slow
def test_loading_a_deleted_bundle_fails(controlled: Server, one_version: Path):  # 79
    shutil.rmtree(one_version)
    assert "has no bundle on disk: the current version stays" in refusal(order(controlled, "load"))
    controlled.unharmed()


def test_loads_a_model_added_to_the_folder(controlled: Server, one_version: Path):
    assert order(controlled, "load", COMMITTED.name).status == 404
    shutil.copytree(COMMITTED, one_version.parent / "newcomer")
    assert order(controlled, "load", COMMITTED.name).status == 200
    assert controlled.get(f"/v2/models/{COMMITTED.name}/ready").status == 200
    assert controlled.index()[COMMITTED.name]["state"] == "READY"


@pytest.mark.slow
def test_unloading_a_model_never_loaded_is_404(controlled: Server, one_version: Path):
    shutil.copytree(COMMITTED, one_version.parent / "newcomer")
    before = controlled.index()
    text = refusal(order(controlled, "unload", COMMITTED.name), 404)
    assert text == f"model '{COMMITTED.name}' was not loaded"
    assert controlled.index() == before


@pytest.mark.slow
def test_loads_a_bundle_that_became_a_version_folder(tmp_path: Path):
    where = tmp_path / "models"
    shutil.copytree(COMMITTED, where / COMMITTED.name)
    with serving("--model-control", "--watch-s", 0, bundles=[where], name=COMMITTED.name) as server:
        (where / COMMITTED.name).rename(where / ".7")
        (where / COMMITTED.name).mkdir()
        (where / ".7").rename(where / COMMITTED.name / "7")
        assert order(server, "load", COMMITTED.name).json["version"] == "7"
        assert list(server.index()) == [COMMITTED.name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "text"),
    [("load", "was not found in the served folders"), ("unload", "was not loaded")],
)
def test_an_unknown_model_is_404(action: str, text: str, controlled: Server):
    for name in ("other", "..%2f..%2fetc", "%00"):
        assert text in refusal(order(controlled, action, name), 404)
    assert {sample.labels["model"] for sample in controlled.samples() if "model" in sample.labels} == {NAME}


@pytest.mark.parametrize("action", ["load", "unload"])
def test_rejects_foreign_sites_and_hosts(action: str, controlled: Server):  # 58
    for headers in ({"Host": "evil.example:80"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        refusal(order(controlled, action, **headers), 403)
    assert controlled.index()[NAME]["state"] == "READY"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8080"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost.evil.example"},
        {"host": "user@127.0.0.1"},
        {"host": ""},
        {},
        {"host": "localhost", "origin": "http://evil.example"},
        {"host": "localhost", "origin": "null"},
        {"host": "localhost", "origin": "http://[::1"},
        {"host": "localhost:8080", "origin": "http://localhost"},  # another port is another origin
        {"host": "localhost", "sec-fetch-site": "cross-site"},
        {"host": "localhost", "sec-fetch-site": "same-site"},
    ],
)
def test_rejects_cross_site_headers(headers: dict[str, str]):  # 58
    with pytest.raises(Refusal) as caught:
        check_control(Head("POST", "/", "", headers), b"", trusted_hosts=("models.example",))
    assert caught.value.status == 403


@pytest.mark.slow
def test_accepts_orders_from_its_own_page(controlled: Server):
    here = f"127.0.0.1:{controlled.port}"
    assert order(controlled, "load", Host=here, Origin=f"http://{here}").status == 200
    assert order(controlled, "load", Host="localhost", Origin="http://localhost").status == 200


@pytest.mark.parametrize(
    "host", ["localhost:1", "LOCALHOST", "127.0.0.1", "[::1]:8080", "10.1.2.3", "models.example:1"]
)
def test_trusts_ip_addresses_and_named_hosts(host: str):
    check_control(Head("POST", "/", "", {"host": host}), b"", trusted_hosts=("models.example",))


@pytest.mark.parametrize(
    "body",
    [
        b'{"parameters": {"config": "{}"}}',
        b'{"parameters": {"file:1/model.onnx": "AAAA"}}',
        b"[]",
        b"{",
        b'{"parameters": 1}',
    ],
)
def test_rejects_configs_and_files_from_clients(body: bytes):
    with pytest.raises(Refusal) as caught:
        check_control(Head("POST", "/", "", {"host": "localhost"}), body, trusted_hosts=())
    assert caught.value.status == 400


def test_requires_the_api_key(one_version: Path, tmp_path: Path):  # 58
    key = tmp_path / "key"
    key.write_text("0123456789abcdef")
    options = ("--model-control", "--api-key-file", key)
    bearing = {"Authorization": "Bearer 0123456789abcdef"}
    with serving(*options, bundles=[one_version], name=NAME, headers=bearing) as server:
        assert order(server, "load").status == 200
        assert order(server, "unload", Authorization="").status == 401
        assert order(server, "load").json["state"] == "READY"


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_tritonclient_loads_and_unloads(controlled: Server, protocol: str):
    triton = Triton(protocol, controlled)
    with triton.client as client:
        client.unload_model(NAME)
        assert not client.is_model_ready(NAME)
        assert error_of(lambda: triton.infer(controlled.images[:1]))[0] == "unavailable"
        (entry,) = triton.index()
        assert (entry["state"], entry["reason"]) == ("UNAVAILABLE", "it was unloaded")
        client.load_model(NAME)
        assert client.is_model_ready(NAME)
        assert error_of(lambda: client.load_model("other"))[0] == "not found"
        kind, text = error_of(lambda: client.load_model(NAME, config="{}"))
        assert kind == "invalid"
        assert "parameter 'config'" in text
        assert "the server loads its own bundles only" in text
    controlled.unharmed()


@pytest.mark.slow
def test_a_shutdown_answers_a_waiting_load(one_version: Path, tmp_path: Path):
    (tmp_path / "engine").mkdir()
    engine = Engine(tmp_path / "engine")
    options = ("--model-control", "--watch-s", 0, "--engine", "openvino")
    with serving(*options, bundles=[one_version], name=NAME, environment=engine.environment) as server:
        engine.set("hold-2")  # blocks the preflight
        put(one_version, 2)
        before = len(engine.runs())
        replies: list[Reply] = []
        thread = threading.Thread(target=lambda: replies.append(order(server, "load")))
        thread.start()
        wait_for(lambda: len(engine.runs()) > before)
        assert server.stop() == 0
        thread.join()
        assert "shutting down" in refusal(replies[0], 503)
        assert not any("Traceback" in line for line in server.lines)


@pytest.mark.slow
def test_watching_and_orders_do_not_interfere(one_version: Path):
    with serving("--model-control", "--watch-s", 0.1, bundles=[one_version], name=NAME) as server:
        for number in (2, 3):
            put(one_version, number)
            assert order(server, "load").json["version"] == str(number)
        assert order(server, "unload").status == 200
        put(one_version, 4)
        wait_for(lambda: server.index()[NAME]["state"] == "UNAVAILABLE")
        assert order(server, "load").json["version"] == "4"
