"""A scripted server on a raw socket, and a model that answers by the protocol."""

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Asked:
    """A received request; connections are counted from 1."""

    connection: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Said:
    """Bytes to send, and what happens to the connection afterwards."""

    content: bytes
    then: Literal["keep", "close", "reset", "hold", "trickle"] = "keep"


def reply(status: int, document: Any = None, body: bytes | None = None, **headers: object) -> Said:
    """Return a complete HTTP answer."""
    body = json.dumps(document).encode() if body is None else body
    named = {name.replace("_", "-"): value for name, value in headers.items()} | {"Content-Length": len(body)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return Said(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body)


RESET = Said(b"", "reset")
CLOSED = Said(b"", "close")
HELD = Said(b"", "hold")
CUT = Said(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", "close")
BUSY = reply(503, {"error": "busy"}, Retry_After=1)


class Site:
    """A server that answers each request with `answer` and records it in `asked`."""

    def __init__(self, answer: Callable[[Asked], Said]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def connections(self) -> int:
        """Return the number of connections that carried a request."""
        return len({asked.connection for asked in self.asked})

    def close(self) -> None:
        """Close all connections."""
        self.ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        number = 0
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                number += 1
                thread = threading.Thread(target=self._serve, args=(sock, number))
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        sock.settimeout(0.05)
        with sock, contextlib.suppress(ConnectionError):
            rest = b""
            while not self.ended.is_set():
                asked, rest = self._read(sock, number, rest)
                if asked is None:
                    return
                self.asked.append(asked)
                said = self.answer(asked)
                sock.sendall(said.content)
                if said.then == "hold":
                    self.ended.wait()
                while said.then == "trickle" and not self.ended.wait(0.02):
                    sock.sendall(b"x")
                if said.then == "reset":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if said.then != "keep":
                    return

    def _read(self, sock: socket.socket, number: int, content: bytes) -> tuple[Asked | None, bytes]:
        while not self.ended.is_set():
            head, end, body = content.partition(b"\r\n\r\n")
            if end:
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                length = int(headers.get("content-length", 0))
                if len(body) >= length:
                    method, path, _ = first.split(" ")
                    return Asked(number, method, path, headers, body[:length]), body[length:]
            try:
                part = sock.recv(1 << 16)
            except TimeoutError:
                continue
            if not part:
                return None, b""
            content += part
        return None, b""


@dataclass
class Model:
    """A model for images [4, 4, 1] with three classes; an image's class is its first pixel.

    `faults` are the first answers to inference requests, one for each. `has_card` and `digest` may change at any time.
    """

    name: str = "m"
    labels: Sequence[str] = ("a", "b", "c")
    digest: str = "1" * 64
    has_card: bool = True
    in_json: bool = False
    scores: dict[str, Any] | None = None
    faults: list[Said] = field(default_factory=list)
    preprocessing: dict[str, Any] | None = field(
        default_factory=lambda: {"mode": "L", "resize": None, "crop": None, "mean": [0.5], "std": [0.5]}
    )

    def __call__(self, asked: Asked) -> Said:
        base = f"/v2/models/{self.name}"
        if asked.path == f"{base}/infer":
            return self.faults.pop(0) if self.faults else self.infer(asked)
        documents: dict[str, Any] = {
            "/v2/health/ready": {"ready": True},
            "/v2/repository/index": [{"name": self.name, "version": "1", "state": "READY", "reason": ""}],
            base: {
                "name": self.name,
                "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 4, 4, 1]}],
                "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 3]}],
            },
            f"{base}/config": {"max_batch_size": 4},
        }
        if self.has_card:
            documents[f"{base}/card"] = self.card()
        if asked.path in documents:
            return reply(200, documents[asked.path])
        return reply(404, {"error": "nothing there"})

    def card(self) -> dict[str, Any]:
        """Return the model's card."""
        return {
            "name": self.name,
            "labels": list(self.labels),
            "image": [4, 4, 1],
            "digest": self.digest,
            "preprocessing": self.preprocessing,
        } | ({} if self.scores is None else {"scores": self.scores})

    def infer(self, asked: Asked) -> Said:
        """Answer an inference request with pixels."""
        length = int(asked.headers[LENGTH.lower()])
        (tensor,) = json.loads(asked.body[:length])["inputs"]
        if tensor["datatype"] != "UINT8" or tensor["shape"][1:] != [4, 4, 1]:
            return reply(400, {"error": "cannot decode: the image is not a JPEG, PNG or BMP image"})
        images = np.frombuffer(asked.body[length:], np.uint8).reshape(tensor["shape"])
        logits = (np.arange(3)[None] == images[:, 0, 0]).astype("<f4") * 5
        output = {"name": "logits", "datatype": "FP32", "shape": list(logits.shape)}
        headers = {"X_Bundle_Digest": self.digest} if self.has_card else {}
        if self.in_json:
            return reply(200, {"outputs": [output | {"data": logits.ravel().tolist()}]}, **headers)
        header = json.dumps({"outputs": [output | {"parameters": {"binary_data_size": logits.nbytes}}]}).encode()
        headers[LENGTH.replace("-", "_")] = str(len(header))
        return reply(200, body=header + logits.tobytes(), **headers)


def images(*classes: int) -> np.ndarray:
    """Return images of these classes."""
    found = np.zeros((len(classes), 4, 4, 1), np.uint8)
    found[:, 0, 0, 0] = classes
    return found


@contextlib.contextmanager
def site(answer: Callable[[Asked], Said]) -> Iterator[Site]:
    """Run a server on a free port."""
    found = Site(answer)
    try:
        yield found
    finally:
        found.close()


def unused_url() -> str:
    """Return the URL of a port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
