"""An inference request to one model, and its result, as JSON schemas; the examples are requests that work.

A schema here never refuses what the server takes. What a schema cannot say (so many numbers as the shape has) stands in
words beside it.
"""

import math
from typing import Any

from edgecnn.bundle.decoding import FORMATS
from edgecnn.protocol.datatypes import TensorSpec
from edgecnn.protocol.header import MAX_ID
from edgecnn.protocol.http_headers import HEADER_LENGTH
from edgecnn.server.api.openapi.answers import INFERENCE_HEADERS, answered, refused
from edgecnn.server.api.openapi.schemas import SIZES, TEXT, Schema, closed, list_of, reference
from edgecnn.server.models.version import Version

_NATURAL: Schema = {"type": "integer", "minimum": 0, "maximum": (1 << 64) - 1}
_MOST_SHOWN = 4096
"""Numbers of an example: a photograph's would make the document a hundred times as long."""

_FORBIDDEN: dict[str, Any] = {"binary_data_size": False, "shared_memory_region": False}

PARAMETERS: tuple[Schema, ...] = (
    {
        "name": HEADER_LENGTH,
        "in": "header",
        "description": "Bytes of JSON that the body begins with, before any Content-Encoding; raw tensors follow. 0: "
        "the whole body is one raw image. Without it the whole body is JSON. Of image files it is not looked at.",
        "schema": {"type": "integer", "minimum": 0},
    },
    {
        "name": "classification",
        "in": "query",
        "description": "Of image files: how many of the best classes to name instead of all logits; 0 for the logits. "
        "With other bodies the same stands in the parameters of an output.",
        "schema": {"type": "integer", "minimum": 0},
    },
)


def operation(name: str, version: Version | None, *, max_body_bytes: int, extra: tuple[int, ...]) -> Schema:
    """Return the operation of `…/infer`, but for its id.

    Args:
        name: of the model.
        version: that answers; None where none does, and nothing is known of its tensors.
        max_body_bytes: of a request.
        extra: statuses that any operation of this server may have.
    """
    statuses = refused(404, 415, 500, 504, *extra)
    if version is None:
        return {"tags": ["inference"], "summary": f"Ask {name}, which does not answer now.", "responses": statuses}
    content = {"application/json": {"schema": reference(_response_name(name))}, "application/octet-stream": {}}
    result = answered("The logits, or the best classes.", content, named=INFERENCE_HEADERS)
    return {
        "tags": ["inference"],
        "summary": f"Ask {name}.",
        "parameters": list(PARAMETERS),
        "requestBody": _body(name, version, max_body_bytes),
        "responses": result | statuses,
    }


def schemas(name: str, version: Version) -> dict[str, Schema]:
    """Return the schemas that the operation refers to."""
    return {_request_name(name): _request(version), _response_name(name): _response(name, version)}


def _request_name(name: str) -> str:
    return f"InferRequest.{name}"


def _response_name(name: str) -> str:
    return f"InferResponse.{name}"


def _body(name: str, version: Version, max_body_bytes: int) -> Schema:
    pixels, files = _inputs(version)
    one = math.prod(pixels.shape[1:])
    description = (
        f"At most {max_body_bytes} bytes, as they are sent and as they are inflated (Content-Encoding).\n\n"
        f"- **JSON**: {reference(_request_name(name))['$ref']}, of at most {version.max_json_bytes} bytes.\n"
        f"- **application/octet-stream**: the same JSON, {HEADER_LENGTH} bytes of it, in which the input has "
        f"`parameters.binary_data_size` in place of `data`; then the raw tensor, little-endian and row-major. The "
        f"input is `{pixels}`, or `{files}`: image files, each behind its length in 4 bytes. Or {one} bytes, one raw "
        f"image, with {HEADER_LENGTH}: 0; then the outputs come raw.\n"
        f"- **image files** ({', '.join(FORMATS)}): decoded, turned upright and resized here; at most "
        f"{version.bounds.max_pixels} pixels.\n\n"
        "Every other Content-Type, or none, is read as JSON or binary tensors."
    )
    example = _examples(version)
    content: dict[str, Schema] = {
        "application/json": {"schema": reference(_request_name(name))} | example,
        "application/octet-stream": {},
    }
    return {
        "required": True,
        "description": description,
        "content": content | {f"image/{each.lower()}": {} for each in FORMATS},
    }


def _inputs(version: Version) -> tuple[TensorSpec, TensorSpec]:
    """Return as what the one input may come: pixels, or image files."""
    ((pixels, files),) = version.accepted.values()
    return pixels, files


def _request(version: Version) -> Schema:
    parameters = {
        "timeout": _NATURAL | {"description": "Microseconds, honoured while the request waits; 0 for none."},
        "binary_data_output": {"type": "boolean", "description": "Whether outputs come raw that do not say otherwise."},
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "maxLength": MAX_ID, "description": "Comes back in the answer."},
            "parameters": _open(parameters | {"shared_memory_region": False}),
            "inputs": list_of(_input(version)) | {"minItems": 1, "maxItems": 1},
            "outputs": list_of(_output(version)) | {"maxItems": 1, "description": "All, where none is listed."},
        },
    }


def _input(version: Version) -> Schema:
    pixels, _ = _inputs(version)
    batch, sizes = version.bounds.max_batch, pixels.shape[1:]
    shape = [{"type": "integer", "minimum": 1, "maximum": batch}, *({"const": size} for size in sizes)]
    rank = len(shape)
    one = math.prod(sizes)
    pixel: Schema = {"type": "integer", "minimum": 0, "maximum": 255}
    nested = pixel
    for size in reversed(sizes):
        nested = list_of(nested) | {"minItems": size, "maxItems": size}
    flat = list_of(pixel) | {"minItems": one, "maxItems": batch * one, "title": "flat, row-major"}
    return {
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "properties": {
            "name": {"const": pixels.name},
            "datatype": {"const": pixels.datatype},
            "shape": {
                "type": "array",
                "description": "Images, height, width and channels; integers without a decimal point.",
                "prefixItems": shape,
                "items": False,
                "minItems": rank,
                "maxItems": rank,
            },
            "data": {
                "description": f"So many numbers as the shape has: {one} for each image. Nested lists follow it.",
                "anyOf": [flat, list_of(nested) | {"minItems": 1, "maxItems": batch, "title": "nested"}],
            },
            "parameters": _open(_FORBIDDEN),
        },
    }


def _output(version: Version) -> Schema:
    (output,) = version.outputs
    parameters: dict[str, Any] = {
        "classification": _NATURAL | {"description": "How many of the best classes to name instead; 0 for the logits."},
        "binary_data": {"type": "boolean", "description": "Whether it comes raw behind the JSON."},
        "shared_memory_region": False,
    }
    return {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"const": output}, "parameters": _open(parameters)},
    }


def _response(name: str, version: Version) -> Schema:
    (spec,) = version.outputs.values()
    classes = spec.shape[1]
    shape = SIZES | {"minItems": 2, "maxItems": 2}
    logits = closed(
        {
            "name": {"const": spec.name},
            "datatype": {"const": spec.datatype},
            "shape": shape | {"description": f"Images, and {classes} classes."},
            "data": list_of({"type": "number"}) | {"description": f"{classes} for each image, row-major."},
        }
    )
    best = closed(
        {
            "name": {"const": spec.name},
            "datatype": {"const": "BYTES"},
            "shape": shape | {"description": "Images, and classes that are named."},
            "data": list_of(TEXT) | {"description": "`value:index:label` for each class, best first, for each image."},
        }
    )
    output = {"oneOf": [logits | {"title": "logits"}, best | {"title": "best classes"}]}
    return closed(
        {
            "model_name": {"const": name},
            "model_version": {"const": version.number},
            "id": {"type": "string", "maxLength": MAX_ID},
            "outputs": list_of(output) | {"minItems": 1, "maxItems": 1},
        },
        optional=("id",),
    )


def _open(properties: dict[str, Any]) -> Schema:
    """Return the schema of an object in which what nobody asks for is ignored."""
    return {"type": "object", "properties": properties}


def _examples(version: Version) -> Schema:
    """Return examples of JSON requests, where they are short."""
    pixels, _ = _inputs(version)
    shape = [1, *pixels.shape[1:]]
    count = math.prod(shape)
    if count > _MOST_SHOWN:
        return {}
    (output,) = version.outputs
    tensor = {"name": pixels.name, "datatype": pixels.datatype, "shape": shape, "data": [0] * count}
    best = {"name": output, "parameters": {"classification": 3}}
    return {
        "examples": {
            "logits": {"value": {"inputs": [tensor]}},
            "best classes": {"value": {"id": "7", "inputs": [tensor], "outputs": [best]}},
        }
    }
