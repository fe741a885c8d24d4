"""A linear classifier, and inference requests to it in JSON and in binary form."""

import json
import math
import struct
from typing import Any, NoReturn

import numpy as np

NAME, VERSION = "digits", "1"
SHAPE, CLASSES = (8, 8, 1), 10
METADATA = {
    "name": NAME,
    "versions": [VERSION],
    "platform": "numpy",
    "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, *SHAPE]}],
    "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, CLASSES]}],
}
CONFIG = {
    "name": NAME,
    "max_batch_size": 16,
    "input": [{"name": "image", "data_type": "TYPE_UINT8", "dims": list(SHAPE)}],
    "output": [{"name": "logits", "data_type": "TYPE_FP32", "dims": [CLASSES]}],
}
_WEIGHTS = np.random.default_rng(0).normal(size=(math.prod(SHAPE), CLASSES)).astype("<f4")


class Refusal(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def infer(body: bytes, length: str | None) -> tuple[bytes, int | None, int]:
    """Answer an inference request.

    Args:
        body: JSON, and binary tensors behind it.
        length: of the JSON as the header declares it; None without the header.

    Returns:
        The body of the answer, the length of its JSON (None where all of it is JSON), and the batch size.

    Raises:
        Refusal: the request is malformed.
    """
    if length == "0":
        size = math.prod(SHAPE)
        _check(len(body) >= size and len(body) % size == 0, "the body is not a batch of images")
        document: Any = {"parameters": {"binary_data_output": True}}
        images = np.frombuffer(body, np.uint8)
    else:
        header, raw = _split(body, length)
        document = _document(header)
        images = _images(document, raw)
    logits = images.reshape(-1, math.prod(SHAPE)).astype("<f4") @ _WEIGHTS
    entry, tail = _output(document, logits)
    answer = {"model_name": NAME, "model_version": VERSION, "outputs": [entry]}
    if "id" in document:
        answer["id"] = document["id"]
    content = json.dumps(answer).encode()
    return (content, None, len(logits)) if tail is None else (content + tail, len(content), len(logits))


def parsed(content: bytes) -> Any:
    """Parse strict JSON.

    Raises:
        Refusal: the content is not valid JSON in UTF-8.
    """

    def refuse(name: str) -> NoReturn:
        raise ValueError(name)

    try:
        return json.loads(content.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is not valid JSON") from None


def _check(is_valid: bool, message: str) -> None:
    if not is_valid:
        raise Refusal(400, message)


def _split(body: bytes, length: str | None) -> tuple[bytes, bytes]:
    if length is None:
        return body, b""
    is_valid = length.isascii() and length.isdecimal() and int(length) <= len(body)
    _check(is_valid, "Inference-Header-Content-Length is not a length within the body")
    return body[: int(length)], body[int(length) :]


def _document(header: bytes) -> dict[str, Any]:
    document = parsed(header)
    _check(isinstance(document, dict), "the request is not an object")
    _check(isinstance(document.get("id", ""), str), "id is not a string")
    _check(isinstance(document.get("parameters", {}), dict), "parameters is not an object")
    return document  # type: ignore[no-any-return]


def _only(value: Any, name: str) -> dict[str, Any]:
    """Return the only tensor of a list, which must be the model's."""
    is_one = isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict)
    _check(is_one and value[0].get("name") == name, f"expected one tensor, {name!r}")
    _check(isinstance(value[0].get("parameters", {}), dict), "parameters is not an object")
    return value[0]  # type: ignore[no-any-return]


def _images(document: dict[str, Any], raw: bytes) -> np.ndarray:
    entry = _only(document.get("inputs"), "image")
    _check(entry.get("datatype") == "UINT8", "expected datatype UINT8")
    shape = entry.get("shape")
    is_valid = isinstance(shape, list) and all(type(size) is int and size > 0 for size in shape)
    _check(is_valid and shape[1:] == list(SHAPE), f"expected shape [N, {', '.join(map(str, SHAPE))}]")
    size = entry.get("parameters", {}).get("binary_data_size")
    count = math.prod(shape)
    if size is not None:
        _check("data" not in entry, "both data and binary_data_size")
        _check(type(size) is int and size == count == len(raw), f"expected {count} bytes behind the JSON")
        return np.frombuffer(raw, np.uint8)
    data = np.array(entry.get("data"), object)
    _check(data.shape in ((count,), tuple(shape)), "data does not fit the shape")
    _check(all(type(each) is int and 0 <= each <= 255 for each in data.flat), "expected integers from 0 to 255")
    _check(not raw, "bytes behind the last tensor")
    return data.astype(np.uint8)


def _output(document: dict[str, Any], logits: np.ndarray) -> tuple[dict[str, Any], bytes | None]:
    """Return the output's entry in the JSON, and its bytes where they follow the JSON."""
    wanted = _only(document.get("outputs", [{"name": "logits"}]), "logits").get("parameters", {})
    entry: dict[str, Any] = {"name": "logits", "datatype": "FP32", "shape": list(logits.shape)}
    data, tail = logits.ravel().tolist(), logits.tobytes()
    if "classification" in wanted:
        count = wanted["classification"]
        _check(type(count) is int and count > 0, "classification is not a positive integer")
        data = [each for row in logits for each in _classes(row, count)]
        tail = b"".join(struct.pack("<I", len(each)) + each.encode() for each in data)
        entry |= {"datatype": "BYTES", "shape": [len(logits), len(data) // len(logits)]}
    if wanted.get("binary_data", document.get("parameters", {}).get("binary_data_output", False)):
        return entry | {"parameters": {"binary_data_size": len(tail)}}, tail
    return entry | {"data": data}, None


def _classes(row: np.ndarray, count: int) -> list[str]:
    return [f"{row[index]}:{index}:digit {index}" for index in np.argsort(-row)[:count]]
