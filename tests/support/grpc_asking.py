"""A gRPC client that can send invalid messages, cancel calls, and send late or nothing."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
import numpy as np
from server_process import TIMEOUT_S, Server
from tritonclient.grpc import service_pb2

SERVICE = "/inference.GRPCInferenceService/"
Metadata = tuple[tuple[str, str], ...]


class Asker:
    """One connection."""

    def __init__(self, channel: grpc.Channel, server: Server) -> None:
        self._channel = channel
        self._server = server

    def ask(
        self, call: str, message: Any = b"", *, metadata: Metadata = (), timeout_s: float = TIMEOUT_S
    ) -> tuple[bytes, dict[str, str]]:
        """Call; return the message of the answer and its trailing metadata."""
        content, done = self._channel.unary_unary(_path(call)).with_call(
            _content(message), timeout=timeout_s, metadata=metadata
        )
        return content, dict(done.trailing_metadata())

    def begin(self, call: str, message: Any = b"", *, timeout_s: float | None = None) -> Any:
        """Call; return a future of the answer, which can be cancelled."""
        return self._channel.unary_unary(_path(call)).future(_content(message), timeout=timeout_s)

    def send(self, call: str, messages: Iterable[bytes]) -> bytes:
        """Send any number of messages, each as the iterable yields it."""
        content = self._channel.stream_unary(_path(call))(iter(messages), timeout=TIMEOUT_S)
        assert isinstance(content, bytes)
        return content

    def infer(self, images: np.ndarray, **changes: Any) -> np.ndarray:
        """Send pixels; return the logits."""
        content, _ = self.ask("ModelInfer", self.request(images, **changes))
        (raw,) = service_pb2.ModelInferResponse.FromString(content).raw_output_contents
        return np.frombuffer(raw, "<f4").reshape(len(images), -1)

    def request(self, images: np.ndarray, **changes: Any) -> Any:
        """Return a valid request with changes."""
        given = {"name": "image", "datatype": "UINT8", "shape": images.shape}
        fields = {"model_name": self._server.name, "inputs": [given], "raw_input_contents": [images.tobytes()]}
        return service_pb2.ModelInferRequest(**fields | changes)


@contextlib.contextmanager
def asking(server: Server, *, credentials: grpc.ChannelCredentials | None = None, **options: Any) -> Iterator[Asker]:
    """Connect. The options are channel options, with `__` for `.`."""
    chosen = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    chosen += [(name.replace("__", "."), value) for name, value in options.items()]
    if credentials is None:
        channel = grpc.insecure_channel(server.grpc_address, chosen)
    else:
        channel = grpc.secure_channel(server.grpc_address, credentials, chosen)
    with channel:
        yield Asker(channel, server)


def error_of(call: Any) -> tuple[str, str]:
    """Check that a call fails with a short message; return the code's name and the message."""
    try:
        call()
    except grpc.RpcError as error:
        text = error.details()
        assert "Traceback" not in text
        assert "/home" not in text
        assert len(text) < 400
        return error.code().name, text
    raise AssertionError("expected an RpcError, but the call was answered")


def counted(server: Server) -> dict[str, float]:
    """Return how many calls failed before a model was chosen, by code."""
    return {s.labels["code"]: s.value for s in server.samples() if s.name == "edgecnn_grpc_refused_total"}


def _path(call: str) -> str:
    return call if call.startswith("/") else SERVICE + call


def _content(message: Any) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()
