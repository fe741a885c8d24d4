"""What only gRPC can get wrong: messages, calls, metadata and connections; other clients are not harmed."""

import socket
import time
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from grpc_asking import Asker, asking, counted, refused
from server_process import TIMEOUT_S, Server, serving, start, wait_for
from tritonclient.grpc import service_pb2

from edgecnn.protocol.refusal import STATUS, Refusal
from edgecnn.server.grpc.answers import CODES

MIB = 1 << 20


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """A server over gRPC too, with small bounds."""
    options = ("--max-body-mb", 1, "--body-timeout-s", 1, "--header-timeout-s", 1, "--max-connections", 16)
    with serving("--grpc-port", 0, *options) as server:
        yield server


@pytest.fixture
def asker(server: Server) -> Iterator[Asker]:
    """A client, while good requests of others go on beside it over HTTP."""
    with asking(server) as asker, server.good_neighbour():
        yield asker
        assert np.array_equal(asker.infer(server.images[:3]), server.logits(server.images[:3]))


def test_every_reason_has_a_code():
    assert CODES.keys() == STATUS.keys()
    unavailable = {reason for reason, code in CODES.items() if code is grpc.StatusCode.UNAVAILABLE}
    assert unavailable == {reason for reason, status in STATUS.items() if status == 503}
    assert unavailable == {reason for reason in STATUS if Refusal(reason, "").retry_after_s is not None}


def test_a_message_over_the_limit_is_refused_with_its_size(asker: Asker, server: Server):
    before = counted(server).get("CANCELLED", 0.0)
    code, text = refused(lambda: asker.ask("ModelInfer", bytes(3 * MIB)))
    assert code == "RESOURCE_EXHAUSTED"
    assert str(3 * MIB) in text
    assert str(MIB) in text
    wait_for(lambda: counted(server).get("CANCELLED", 0.0) == before + 1)


def test_a_message_that_inflates_over_the_limit_is_refused(server: Server):
    with asking(server, grpc__default_compression_algorithm=grpc.Compression.Gzip) as asker:
        code, text = refused(lambda: asker.ask("ModelInfer", bytes(64 * MIB)))
        assert code == "RESOURCE_EXHAUSTED"
        assert "larger than max" in text
        assert np.array_equal(asker.infer(server.images[:1]), server.logits(server.images[:1]))


def test_a_large_message_to_a_small_call_is_refused(asker: Asker):
    message = service_pb2.ModelReadyRequest(name="x" * 100_000)
    code, text = refused(lambda: asker.ask("ModelReady", message))
    assert code == "RESOURCE_EXHAUSTED"
    assert text == "expected at most 65536 bytes, found 100004"


@pytest.mark.parametrize("call", ["Nothing", "ModelStreamInfer", "modelinfer", "/grpc.Nobody/Nothing", "/x"])
def test_a_call_that_there_is_not_is_unimplemented(call: str, asker: Asker, server: Server):
    before = counted(server).get("UNIMPLEMENTED", 0.0)
    code, text = refused(lambda: asker.ask(call))
    assert code == "UNIMPLEMENTED"
    assert text.startswith("there is no call '/")
    assert counted(server)["UNIMPLEMENTED"] == before + 1


@pytest.mark.parametrize("call", ["ModelInfer", "ModelReady", "RepositoryIndex", "ServerMetadata"])
def test_bytes_that_are_no_message_are_refused(call: str, asker: Asker):
    code, text = refused(lambda: asker.ask(call, b"\xff\xff\xff"))
    assert code == "INVALID_ARGUMENT"
    assert "damaged" in text or f"expected a {call}Request" in text


def test_an_empty_inference_is_for_no_model(asker: Asker):
    assert refused(lambda: asker.ask("ModelInfer")) == ("NOT_FOUND", "model '' is not found")


def test_a_call_without_a_message_is_refused(asker: Asker):
    assert refused(lambda: asker.send("ModelInfer", [])) == ("INVALID_ARGUMENT", "the call has no message")
    assert refused(lambda: asker.send("ServerMetadata", [])) == ("INVALID_ARGUMENT", "the call has no message")


def test_of_several_messages_the_first_counts(asker: Asker, server: Server):
    good = asker.request(server.images[:1]).SerializeToString()
    content = asker.send("ModelInfer", [good, b"\xff" * 1000])
    assert service_pb2.ModelInferResponse.FromString(content).model_name == server.name


@pytest.mark.parametrize("call", ["ModelInfer", "ModelReady"])
def test_a_client_that_does_not_send_its_message_is_let_go(call: str, asker: Asker):
    def never() -> Iterator[bytes]:
        time.sleep(3)
        yield b""

    code, text = refused(lambda: asker.send(call, never()))
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
    code, text = refused(lambda: asker.ask("ModelInfer", asker.request(server.images[:1], **changes)))
    assert code == "INVALID_ARGUMENT"
    assert message in text
    assert server.metrics()["failed"] == before + 1


def test_contents_and_raw_contents_do_not_mix(asker: Asker, server: Server):
    mixed = asker.request(server.images[:1])
    mixed.inputs[0].contents.uint_contents.extend([7] * 1024)
    code, text = refused(lambda: asker.ask("ModelInfer", mixed))
    assert (code, text) == ("INVALID_ARGUMENT", "input 'image': expected raw_input_contents or contents, found both")


@pytest.mark.parametrize("count", [1, 32])
def test_pixels_may_come_as_numbers(count: int, asker: Asker, server: Server):
    images = np.resize(server.images, (count, *server.images.shape[1:]))
    message = asker.request(images, raw_input_contents=[])
    message.inputs[0].contents.uint_contents.extend(images.ravel().tolist())
    content, _ = asker.ask("ModelInfer", message)
    (raw,) = service_pb2.ModelInferResponse.FromString(content).raw_output_contents
    assert raw == server.logits(images).tobytes()
    message.inputs[0].contents.uint_contents[7] = 256
    assert refused(lambda: asker.ask("ModelInfer", message)) == (
        "INVALID_ARGUMENT",
        "input 'image': 256 is out of range for UINT8",
    )


@pytest.mark.slow
def test_a_largest_batch_that_no_message_can_hold_is_told_at_the_start():
    options = ("--max-batch", 1024, "--max-body-mb", 1)
    with serving(*options) as server:
        (line,) = [line for line in server.lines if "WARNING" in line]
        assert "a batch of --max-batch 1024 images in pixels is 1048576 bytes, more than --max-body-mb 1 admits" in line
    process, lines = start(*options, "--strict")
    assert process.wait(TIMEOUT_S) == 1
    wait_for(lambda: any("--max-body-mb 1 admits" in line for line in lines))


def test_metadata_over_the_limit_are_refused(asker: Asker):
    code, text = refused(lambda: asker.ask("ServerLive", metadata=(("x", "a" * 40_000),)))
    assert code == "RESOURCE_EXHAUSTED"
    assert "metadata" in text
    asker.ask("ServerLive", metadata=(("x", "a" * 20_000),))


def test_what_is_told_beside_an_answer_is_as_in_http(asker: Asker, server: Server):
    _, told = asker.ask("ModelInfer", asker.request(server.images[:1]), metadata=(("x-request-id", "mine"),))
    over_http = server.infer(server.images[:1])
    assert told["x-request-id"] == "mine"
    assert told["x-bundle-digest"] == over_http.headers["x-bundle-digest"] == server.bundle.digest
    assert told["server-timing"].startswith("decode;dur=")
    _, told = asker.ask("ServerLive", metadata=(("x-request-id", "x" * 129),))
    assert len(told["x-request-id"]) < 40


def test_connections_over_the_limit_are_closed_and_others_go_on(server: Server):
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
                while each.recv(4096):  # all are closed: at once, or because they never spoke
                    pass
        first.ask("ServerLive")
