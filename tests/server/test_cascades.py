"""A served cascade: which graph answers, runs of several requests, deadlines, clients that leave, and new versions."""

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from asking import encoded
from cascades import FACTOR
from grpc_asking import asking
from held_engine import Held, holding
from model_versions import NAME, put
from PIL import Image
from reloading import QUICK, wait_for_digest
from repository import COMMITTED
from server_process import Server, binary_request, serving, wait_for
from transports import Transport

import edgecnn
from edgecnn.bundle.finding import ACCURATE
from edgecnn.bundle.store import Bundle


@pytest.fixture(scope="module")
def running(cascade_bundle: Bundle) -> Iterator[Server]:
    """A server of a cascade and of the bundle with its fast graph."""
    with serving("--explain", "--grpc-port", 0, bundles=[cascade_bundle.path, COMMITTED]) as server:
        yield server


@pytest.fixture(scope="module")
def runs_again(cascade_bundle: Bundle) -> np.ndarray:
    """Which images of the self-test run again."""
    stages = cascade_bundle.self_test().stages
    assert stages is not None
    return stages.runs_again


@pytest.fixture(scope="module")
def expected(running: Server, runs_again: np.ndarray) -> np.ndarray:
    """The logits of the self-test: those of the fast graph, doubled for images that run again."""
    with edgecnn.Client(f"http://127.0.0.1:{running.port}", model=COMMITTED.name) as client:
        fast = client.logits(running.images)
    return np.where(runs_again[:, None], FACTOR * fast, fast)


def text(runs_again: np.ndarray) -> str:
    return ",".join("accurate" if each else "fast" for each in runs_again)


def test_both_graphs_answer_their_images(
    transport: Transport, server: Server, expected: np.ndarray, runs_again: np.ndarray
):
    with transport(server) as client:
        assert np.allclose(client.infer(server.images).logits, expected, atol=1e-5)
        for again in (True, False):  # alone, each image gets the same answer
            place = int(np.flatnonzero(runs_again == again)[0])
            assert np.allclose(client.infer(server.images[place : place + 1]).logits, expected[place], atol=1e-5)


def test_many_requests_at_once_get_their_own_answers(server: Server, expected: np.ndarray):
    places = np.arange(200) % len(expected)
    with ThreadPoolExecutor(16) as clients:
        found = list(clients.map(lambda place: server.logits(server.images[place : place + 1])[0], places))
    assert np.allclose(found, expected[places], atol=1e-5)


def test_a_header_names_the_stages(server: Server, runs_again: np.ndarray):
    assert server.infer(server.images).headers["x-stage"] == text(runs_again)
    assert server.infer(server.images[~runs_again]).headers["x-stage"] == "fast"
    assert server.infer(server.images[runs_again]).headers["x-stage"] == "accurate"
    picture = encoded(Image.fromarray(server.images[np.argmax(runs_again), :, :, 0]), "PNG")
    assert server.post(picture, {"Content-Type": "image/png"}).headers["x-stage"] == "accurate"
    path = f"/v2/models/{COMMITTED.name}/infer"
    body, length = binary_request(server.images[:1])
    plain = server.request("POST", path, body, {"Inference-Header-Content-Length": str(length)})
    assert (plain.status, "x-stage" in plain.headers) == (200, False)


def test_trailing_metadata_name_the_stages(server: Server, runs_again: np.ndarray):
    with asking(server) as asker:
        _, metadata = asker.ask("ModelInfer", asker.request(server.images))
    assert metadata["x-stage"] == text(runs_again)


def test_the_client_returns_the_stages(server: Server, runs_again: np.ndarray):
    with edgecnn.Client(f"http://127.0.0.1:{server.port}", model=server.name) as client:
        stages = [each.stage for each in client.predict(list(server.images[..., 0]))]
    assert ",".join(map(str, stages)) == text(runs_again)
    with edgecnn.Client(f"http://127.0.0.1:{server.port}", model=COMMITTED.name) as client:
        assert client.predict(server.images[0, :, :, 0]).stage is None


def test_counts_the_images_of_each_stage(server: Server, runs_again: np.ndarray):
    def counts() -> dict[str, float]:
        name = "edgecnn_cascade_images_total"
        return {s.labels["stage"]: s.value for s in server.samples() if s.name == name}

    before = counts()
    server.infer(server.images)
    again = int(runs_again.sum())
    assert counts() == {
        "fast": before["fast"] + len(runs_again) - again,
        "accurate": before["accurate"] + again,
    }


def test_counts_each_answer_once(server: Server, expected: np.ndarray):
    def counts() -> np.ndarray:
        found = {
            s.labels["class"]: s.value
            for s in server.samples()
            if s.name == "edgecnn_predictions_total" and s.labels["model"] == server.name
        }
        return np.array([found[label] for label in server.bundle.manifest.labels])

    before = counts()
    server.infer(server.images)
    assert np.array_equal(counts() - before, np.bincount(expected.argmax(axis=1), minlength=10))


def test_describes_the_cascade(server: Server, cascade_bundle: Bundle):
    card = server.get(f"/v2/models/{server.name}/card").json
    cascade = cascade_bundle.manifest.cascade
    assert cascade is not None
    sealed = {"threshold": cascade.threshold, "fast": cascade.fast, "accurate": cascade.accurate, "share": None}
    assert (card["cascade"], card["precision"], card["macs"]) == (sealed, "int8+int8", None)
    config = server.get(f"/v2/models/{server.name}/config").json
    assert config["parameters"]["cascade_threshold"]["string_value"] == str(cascade.threshold)
    components = server.get("/openapi.json").json["components"]
    for found, schema in ((card, "Card"), (config, "Configuration")):
        jsonschema.validate(found, {"components": components, "$ref": f"#/components/schemas/{schema}"})
    assert server.get(f"/v2/models/{COMMITTED.name}/card").json["cascade"] is None


def test_refuses_to_explain_a_cascade(server: Server):
    picture = encoded(Image.fromarray(server.images[0, :, :, 0]), "PNG")
    headers = {"Content-Type": "image/png"}
    for path in (f"{server.name}/explain", f"{COMMITTED.name}/explain?compare={server.name}"):
        reply = server.post(picture, headers, path=f"/v2/models/{path}")
        assert reply.status == 400
        assert "is a cascade of two graphs" in reply.error


@pytest.fixture(scope="module")
def holding_cascade(cascade_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """A server of a cascade with a controllable engine that runs three images at once."""
    folder = tmp_path_factory.mktemp("engine")
    with holding(folder, "--max-batch", 3, "--max-queue", 16, bundles=[cascade_bundle.path]) as held:
        yield held


@pytest.fixture
def held_cascade(holding_cascade: Held, runs_again: np.ndarray) -> Iterator[Held]:
    """The held server, with the images that run again only; after each test, check that it still works."""
    server = holding_cascade.server
    server.images = server.images[runs_again]
    yield holding_cascade
    holding_cascade.engine.clear("hold")
    holding_cascade.engine.clear(f"hold-{ACCURATE}")
    server.images = server.bundle.self_test().images
    server.unharmed()


def test_joins_several_requests_for_the_accurate_graph(held_cascade: Held):
    engine = held_cascade.engine
    with engine.held():
        first = held_cascade.occupy()
        runs = len(engine.runs())
        others = held_cascade.queue(2)
    assert [each.result().headers["x-stage"] for each in (first, *others)] == ["accurate"] * 3
    assert sorted(engine.runs()[runs:]) in ([1, 2, 2], [2, 3])  # the first image may join the others


def test_a_timeout_counts_in_the_second_queue(held_cascade: Held):
    engine = held_cascade.engine
    engine.set(f"hold-{ACCURATE}")
    with engine.held():
        first = held_cascade.occupy(2)
        (late,) = held_cascade.queue(1, images=2, timeout=2_000_000)
    reply = late.result()
    message = "the request's timeout passed while it was queued for the accurate graph"
    assert (reply.status, reply.error) == (504, message)
    engine.clear(f"hold-{ACCURATE}")
    assert first.result().status == 200


def test_a_client_that_leaves_affects_no_other(held_cascade: Held):
    server, engine = held_cascade.server, held_cascade.engine
    cancelled, runs = server.metrics()["cancelled"], len(engine.runs())
    engine.set(f"hold-{ACCURATE}")
    body, length = binary_request(server.images[:2])
    head = f"POST {server.infer_path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    with server.connect() as sock:
        sock.sendall(f"{head}Inference-Header-Content-Length: {length}\r\n\r\n".encode() + body)
        wait_for(lambda: len(engine.runs()) == runs + 2)
    wait_for(lambda: server.metrics()["cancelled"] == cancelled + 1)
    (other,) = held_cascade.queue(1)
    engine.clear(f"hold-{ACCURATE}")
    assert other.result().headers["x-stage"] == "accurate"


@pytest.mark.slow
def test_replaces_a_cascade_without_lost_requests(folder: Path, cascade_bundle: Bundle):
    put(folder, 1)
    with serving(*QUICK, bundles=[folder], name=NAME) as server:
        ended = threading.Event()
        found: list[tuple[int, bool]] = []

        def ask() -> None:
            while not ended.is_set():
                reply = server.infer(server.images)
                found.append((reply.status, "x-stage" in reply.headers))
                time.sleep(0.01)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        shutil.copytree(cascade_bundle.path, folder / ".2")
        (folder / ".2").rename(folder / "2")
        wait_for_digest(server, cascade_bundle.digest)
        wait_for(lambda: any(has_stage for _, has_stage in found))
        wait_for_digest(server, put(folder, 3))
        ended.set()
        for thread in threads:
            thread.join()
        assert set(found) == {(200, False), (200, True)}
        assert "x-stage" not in server.infer(server.images).headers
        wait_for(server.balanced)
