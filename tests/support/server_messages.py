"""What a server is sent and what it answers, and how long a test waits for it."""

import contextlib
import json
import socket
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from repository import COMMITTED

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Reply:
    """A complete answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    @property
    def json_part(self) -> Any:
        """Return the JSON before binary tensors."""
        return json.loads(self.body[: int(self.headers["inference-header-content-length"])])

    @property
    def error(self) -> str:
        """Return the error text; check that it has the protocol's form and reveals nothing internal."""
        assert self.headers["content-type"].startswith("application/json"), self.headers
        document = self.json
        assert list(document) == ["error"], document
        text = document["error"]
        assert isinstance(text, str)
        assert text
        for leak in ("Traceback", "site-packages", str(COMMITTED.parent), "object at 0x", ".py"):
            assert leak not in text, text
        return text


def binary_request(images: np.ndarray, **parameters: Any) -> tuple[bytes, int]:
    """Encode a request in the binary extension; return the body and the length of its JSON."""
    raw = images.tobytes()
    document: dict[str, Any] = {
        "inputs": [
            {
                "name": "image",
                "datatype": "UINT8",
                "shape": list(images.shape),
                "parameters": {"binary_data_size": len(raw)},
            }
        ],
        "outputs": [{"name": "logits", "parameters": {"binary_data": True}}],
    }
    if parameters:
        document["parameters"] = parameters
    header = json.dumps(document).encode()
    return header + raw, len(header)


def wait_for(condition: Any, *, limit_s: float = TIMEOUT_S) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"the condition did not hold within {limit_s:g} s"
        time.sleep(0.02)


def read_all(sock: socket.socket) -> bytes:
    """Read until the other side closes or resets the connection."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := sock.recv(65536):
            parts.append(part)
    return b"".join(parts)
