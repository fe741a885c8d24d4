"""Faults that only gRPC has: messages, calls, metadata and connections. Other clients are not affected."""

import socket
import time
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from grpc_asking import Asker, asking, counted, error_of
from server_process import TIMEOUT_S, Server, serving, start, wait_for
from tritonclient.grpc import service_pb2

from edgecnn.protocol.refusal import STATUS, Refusal
from edgecnn.server.grpc.answers import CODES

MIB = 1 << 20


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """Serve over HTTP and gRPC with small limits."""
    options = ("--max-body-mb", 1, "--body-timeout-s", 1, "--header-timeout-s", 1, "--max-connections", 16)
    with serving("--grpc-port", 0, *options) as server:
        yield server


@pytest.fixture
def asker(server: Server) -> Iterator[Asker]:
    """Yield a gRPC client while good requests run over HTTP."""
    with asking(server) as asker, server.good_neighbour():
        yield asker
        assert np.array_equal(asker.infer(server.images[:3]), server.logits(server.images[:3]))


def test_every_reason_has_a_code():
    assert CODES.keys() == STATUS.keys()
    unavailable = {reason for reason, code in CODES.items() if code is grpc.StatusCode.UNAVAILABLE}
    assert unavailable == {reason for reason, status in STATUS.items() if status == 503}
    assert unavailable == {reason for reason in STATUS if Refusal(reason, "").retry_after_s is not None}


def test_rejects_a_message_over_the_limit(asker: Asker, server: Server):
    before = counted(server).get("CANCELLED", 0.0)
    code, text = error_of(lambda: asker.ask("ModelInfer", bytes(3 * MIB)))
    assert code == "RESOURCE_EXHAUSTED"
    assert str(3 * MIB) in text
    assert str(MIB) in text
    wait_for(lambda: counted(server).get("CANCELLED", 0.0) == before + 1)


def test_rejects_a_message_that_inflates_too_far(server: Server):
    with asking(server, grpc__default_compression_algorithm=grpc.Compression.Gzip) as asker:
        code, text = error_of(lambda: asker.ask("ModelInfer", bytes(64 * MIB)))
        assert code == "RESOURCE_EXHAUSTED"
        assert "larger than max" in text
        assert np.array_equal(asker.infer(server.images[:1]), server.logits(server.images[:1]))


def test_rejects_a_large_message_to_a_small_call(asker: Asker):
    message = service_pb2.ModelReadyRequest(name="x" * 100_000)
    code, text = error_of(lambda: asker.ask("ModelReady", message))
    assert code == "RESOURCE_EXHAUSTED"
    assert text == "expected at most 65536 bytes, found 100004"


@pytest.mark.parametrize("call", ["Nothing", "ModelStreamInfer", "modelinfer", "/grpc.Unknown/Nothing", "/x"])
def test_rejects_an_unknown_call(call: str, asker: Asker, server: Server):
    before = counted(server).get("UNIMPLEMENTED", 0.0)
    code, text = error_of(lambda: asker.ask(call))
    assert code == "UNIMPLEMENTED"
    assert text.startswith("unknown call '/")
    assert counted(server)["UNIMPLEMENTED"] == before + 1


@pytest.mark.parametrize("call", ["ModelInfer", "ModelReady", "RepositoryIndex", "ServerMetadata"])
def test_rejects_a_malformed_message(call: str, asker: Asker):
    code, text = error_of(lambda: asker.ask(call, b"\xff\xff\xff"))
    assert code == "INVALID_ARGUMENT"
    assert "damaged" in text or f"expected a {call}Request" in text


def test_rejects_an_empty_inference_request(asker: Asker):
    assert error_of(lambda: asker.ask("ModelInfer")) == ("NOT_FOUND", "model '' is not found")


def test_rejects_a_call_without_a_message(asker: Asker):
    assert error_of(lambda: asker.send("ModelInfer", [])) == ("INVALID_ARGUMENT", "expected a message, found none")
    assert error_of(lambda: asker.send("ServerMetadata", [])) == ("INVALID_ARGUMENT", "expected a message, found none")


def test_reads_only_the_first_message(asker: Asker, server: Server):
    good = asker.request(server.images[:1]).SerializeToString()
    content = asker.send("ModelInfer", [good, b"\xff" * 1000])
    assert service_pb2.ModelInferResponse.FromString(content).model_name == server.name


@pytest.mark.parametrize("call", ["ModelInfer", "ModelReady"])
def test_times_out_on_a_missing_message(call: str, asker: Asker):
    def never() -> Iterator[bytes]:
        time.sleep(3)
        yield b""

    code, text = error_of(lambda: asker.send(call, never()))
    assert code == "DEADLINE_EXCEEDED"
    assert text == "the message took longer than 1 s"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"raw_input_contents": []}, "expected raw_input_contents or contents, found neither"),
        (
            {"raw_input_contents": [bytes(1024)] * 2},
            "raw_input_contents: expected one for each of the 1 inputs, found 2",
        ),
        ({"inputs": []}, "raw_input_contents: expected one for each of the 0 inputs, found 1"),
    ],
)
def test_counts_raw_tensors_against_inputs(changes: dict[str, object], message: str, asker: Asker, server: Server):
    before = server.metrics()["failed"]
    code, text = error_of(lambda: asker.ask("ModelInfer", asker.request(server.images[:1], **changes)))
    assert code == "INVALID_ARGUMENT"
    assert message in text
    assert server.metrics()["failed"] == before + 1


def test_rejects_contents_with_raw_contents(asker: Asker, server: Server):
    mixed = asker.request(server.images[:1])
    mixed.inputs[0].contents.uint_contents.extend([7] * 1024)
    code, text = error_of(lambda: asker.ask("ModelInfer", mixed))
    assert (code, text) == ("INVALID_ARGUMENT", "input 'image': expected raw_input_contents or contents, found both")


@pytest.mark.parametrize("count", [1, 32])
def test_accepts_pixels_as_numbers(count: int, asker: Asker, server: Server):
    images = np.resize(server.images, (count, *server.images.shape[1:]))
    message = asker.request(images, raw_input_contents=[])
    message.inputs[0].contents.uint_contents.extend(images.ravel().tolist())
    content, _ = asker.ask("ModelInfer", message)
    (raw,) = service_pb2.ModelInferResponse.FromString(content).raw_output_contents
    assert raw == server.logits(images).tobytes()
    message.inputs[0].contents.uint_contents[7] = 256
    assert error_of(lambda: asker.ask("ModelInfer", message)) == (
        "INVALID_ARGUMENT",
        "input 'image': 256 is out of range for UINT8",
    )


@pytest.mark.slow
def test_warns_if_max_batch_exceeds_max_body():
    options = ("--max-batch", 1024, "--max-body-mb", 1)
    with serving(*options) as server:
        (line,) = [line for line in server.lines if "WARNING" in line]
        assert "a batch of --max-batch 1024 images has 1048576 bytes, more than --max-body-mb 1 allows" in line
    process, lines = start(*options, "--strict")
    assert process.wait(TIMEOUT_S) == 1
    wait_for(lambda: any("--max-body-mb 1 allows" in line for line in lines))


def test_rejects_metadata_over_the_limit(asker: Asker):
    code, text = error_of(lambda: asker.ask("ServerLive", metadata=(("x", "a" * 40_000),)))
    assert code == "RESOURCE_EXHAUSTED"
    assert "metadata" in text
    asker.ask("ServerLive", metadata=(("x", "a" * 20_000),))


def test_sends_the_same_metadata_as_http(asker: Asker, server: Server):
    _, metadata = asker.ask("ModelInfer", asker.request(server.images[:1]), metadata=(("x-request-id", "mine"),))
    over_http = server.infer(server.images[:1])
    assert metadata["x-request-id"] == "mine"
    assert metadata["x-bundle-digest"] == over_http.headers["x-bundle-digest"] == server.bundle.digest
    assert metadata["server-timing"].startswith("decode;dur=")
    _, metadata = asker.ask("ServerLive", metadata=(("x-request-id", "x" * 129),))
    assert len(metadata["x-request-id"]) < 40


def test_closes_connections_over_the_limit(server: Server):
    with server.good_neighbour(), asking(server) as first:
        first.ask("ServerLive")
        sockets = []
        host, _, port = server.grpc_address.rpartition(":")
        for _ in range(40):
            sockets.append(socket.create_connection((host, int(port)), timeout=10))
        assert np.array_equal(first.infer(server.images[:1]), server.logits(server.images[:1]))
        for each in sockets:
            each.settimeout(10)
            with each:
                while each.recv(4096):  # closed at once, or by the timeout for silent connections
                    pass
        first.ask("ServerLive")
