"""Requests with the same images for each server, in the form that its users send, and the heads of answers."""

import base64
import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

IHCL = "Inference-Header-Content-Length"
_JSON, _BYTES, _JPEG = "application/json", "application/octet-stream", "image/jpeg"


@dataclass(frozen=True)
class Request:
    """One request, and how to read the logits from its answer.

    Attributes:
        path: of the URL.
        body: of the request.
        headers: of the request; the sender adds the content's length.
        logits: takes the answer's headers, in lower case, and its body.
    """

    path: str
    body: bytes
    headers: dict[str, str]
    logits: Callable[[dict[str, str], bytes], np.ndarray] = field(compare=False)

    def wire(self, *, extra: str = "") -> bytes:
        """Return the bytes of the request; `extra` contains header lines, each with its line end."""
        headers = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\n{headers}{extra}Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body

    def send(self, port: int) -> np.ndarray:
        """Send the request once and return the logits.

        Raises:
            RuntimeError: the answer is an error.
        """
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", self.path, self.body, self.headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"{self.path}: expected status 200, found {response.status}: {content[:300]!r}")
        return self.logits({name.lower(): value for name, value in response.getheaders()}, content)


@dataclass(frozen=True)
class Head:
    """The head of an answer.

    Attributes:
        status: its code.
        length: of the body, in bytes.
        is_last: whether the server closes the connection after the body.
    """

    status: int
    length: int
    is_last: bool


def parse_head(head: bytes) -> Head:
    """Parse a status line and headers."""
    lower = head.lower()
    length = int(lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    return Head(int(head[9:12]), length, b"connection: close" in lower)


def raw(image: np.ndarray) -> Request:
    """Return a request with only the tensor's bytes, for the bare handlers; the answer has the same form."""
    return Request("/", image.tobytes(), {"Content-Type": _BYTES}, lambda _, body: np.frombuffer(body, np.float32))


def v2_binary(model: str, image: np.ndarray) -> Request:
    """Return a request in the Open Inference Protocol with the binary tensor extension in both directions."""
    tensor = image.tobytes()
    described = _described(image) | {"parameters": {"binary_data_size": len(tensor)}}
    header = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}, separators=(",", ":"))
    headers = {"Content-Type": _BYTES, IHCL: str(len(header))}
    return Request(_infer(model), header.encode() + tensor, headers, _after_header)


def v2_json(model: str, image: np.ndarray) -> Request:
    """Return a request in the Open Inference Protocol in JSON."""
    return _v2(model, _described(image) | {"data": image.ravel().tolist()})


def v2_base64(model: str, content: bytes) -> Request:
    """Return an image for MLServer: a BYTES tensor with its base64 codec."""
    text = base64.b64encode(content).decode()
    parameters = {"content_type": "base64"}
    return _v2(model, {"name": "image", "shape": [1, 1], "datatype": "BYTES", "parameters": parameters, "data": [text]})


def v2_picture(model: str, content: bytes) -> Request:
    """Return an image as the body, for edgecnn."""
    return Request(_infer(model), content, {"Content-Type": _JPEG}, _from_json)


def litserve(image: np.ndarray) -> Request:
    """Return pixels for LitServe."""
    return _json("/predict", {"image": image.tolist()}, lambda answer: answer["logits"])


def litserve_pixels(image: np.ndarray) -> Request:
    """Return many pixels for LitServe, which takes seconds to pass a list of them to its worker."""
    return _json("/predict", {"pixels": base64.b64encode(image.tobytes()).decode()}, lambda answer: answer["logits"])


def litserve_picture(content: bytes) -> Request:
    """Return an image for LitServe."""
    return _json("/predict", {"content": base64.b64encode(content).decode()}, lambda answer: answer["logits"])


def bentoml(image: np.ndarray) -> Request:
    """Return pixels for BentoML."""
    return _json("/classify", {"image": image.tolist()}, lambda answer: answer)


def bentoml_picture(content: bytes) -> Request:
    """Return an image for BentoML: the whole body."""
    return Request("/picture", content, {"Content-Type": _JPEG}, lambda _, body: _flat(json.loads(body)))


def _v2(model: str, tensor: dict[str, Any]) -> Request:
    return _json(_infer(model), {"inputs": [tensor]}, lambda answer: answer["outputs"][0]["data"])


def _json(path: str, document: Any, data: Callable[[Any], Any]) -> Request:
    body = json.dumps(document, separators=(",", ":")).encode()
    return Request(path, body, {"Content-Type": _JSON}, lambda _, answer: _flat(data(json.loads(answer))))


def _infer(model: str) -> str:
    return f"/v2/models/{model}/infer"


def _described(image: np.ndarray) -> dict[str, Any]:
    return {"name": "image", "shape": list(image.shape), "datatype": "UINT8"}


def _after_header(headers: dict[str, str], body: bytes) -> np.ndarray:
    return np.frombuffer(body[int(headers[IHCL.lower()]) :], np.float32)


def _from_json(headers: dict[str, str], body: bytes) -> np.ndarray:
    if IHCL.lower() in headers:
        return _after_header(headers, body)
    return _flat(json.loads(body)["outputs"][0]["data"])


def _flat(values: Any) -> np.ndarray:
    return np.array(values, np.float32).ravel()
