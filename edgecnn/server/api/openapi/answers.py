"""The answers that operations have in common: errors by status, and the headers of answers."""

from edgecnn.protocol.http_headers import BUNDLE_DIGEST, HEADER_LENGTH, REQUEST_ID, SERVER_TIMING
from edgecnn.server.api.openapi.schemas import DIGEST, Schema, reference
from edgecnn.server.http.content import ACCEPTED

ANYWHERE = (400, 408, 413, 431, 503)
"""What a connection answers to something that cannot be, or cannot go on to be, a request."""

_HEADERS: dict[str, Schema] = {
    REQUEST_ID: {
        "description": "That of the request where it is short and printable, else one of the server's. Missing where "
        "what came could not be read as a request.",
        "schema": {"type": "string", "maxLength": 128},
    },
    "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer", "minimum": 0}},
    "WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}},
    "Accept-Encoding": {
        "description": "Where the body's coding is not known: those that are.",
        "schema": {"const": ACCEPTED},
    },
    "Content-Encoding": {"description": "As Accept-Encoding allows.", "schema": {"enum": ["gzip", "deflate"]}},
    HEADER_LENGTH: {
        "description": "Bytes of JSON in front of the raw tensors, before any Content-Encoding; only of "
        "application/octet-stream.",
        "schema": {"type": "integer", "minimum": 1},
    },
    SERVER_TIMING: {
        "description": "Milliseconds of decoding, queue and inference (W3C Server Timing).",
        "required": True,
        "schema": {"type": "string", "pattern": r"^decode;dur=[0-9.]+, queue;dur=[0-9.]+, inference;dur=[0-9.]+$"},
    },
    BUNDLE_DIGEST: {"description": "Of the bundle that has answered.", "required": True, "schema": DIGEST},
}

_ERRORS: dict[int, tuple[str, tuple[str, ...]]] = {
    400: ("Malformed: the request, a tensor or an image.", ()),
    401: ("The API key is missing or wrong.", ("WWW-Authenticate",)),
    403: ("Not allowed here, or not from there.", ()),
    404: ("There is no such model or version.", ()),
    408: ("Headers or body took too long.", ()),
    413: ("Too large: the body as it is sent or inflated, its JSON, or an image's pixels.", ()),
    415: ("A content coding, or a format of an image, that is not known here.", ("Accept-Encoding",)),
    431: ("The headers are too large, or too many.", ()),
    500: ("The engine failed; the server's log says why.", ()),
    503: ("Too many wait already, nothing answers yet or any more, or the server is about to end.", ("Retry-After",)),
    504: ("The request's own timeout passed while it waited; it was not executed.", ()),
}

INFERENCE_HEADERS = (HEADER_LENGTH, "Content-Encoding", SERVER_TIMING, BUNDLE_DIGEST)


def headers() -> dict[str, Schema]:
    """Return the headers that answers refer to."""
    return _HEADERS


def errors() -> dict[str, Schema]:
    """Return the answers that `refused` refers to."""
    return {str(status): _error(text, named) for status, (text, named) in _ERRORS.items()}


def refused(*statuses: int) -> dict[str, Schema]:
    """Return the answers of an operation that has no result, beside those that any request may get."""
    return {str(each): {"$ref": f"#/components/responses/{each}"} for each in sorted({*ANYWHERE, *statuses})}


def answered(description: str, content: dict[str, Schema], *, named: tuple[str, ...] = ()) -> dict[str, Schema]:
    """Return the answer of an operation that has a result.

    Args:
        description: of the result.
        content: by media type.
        named: headers beside the request's id.
    """
    shown = {REQUEST_ID: _HEADERS[REQUEST_ID] | {"required": True}}
    return {"200": {"description": description, "headers": shown | _header_references(named), "content": content}}


def _error(text: str, named: tuple[str, ...]) -> Schema:
    content = {"application/json": {"schema": reference("Error")}}
    return {"description": text, "headers": _header_references((REQUEST_ID, *named)), "content": content}


def _header_references(names: tuple[str, ...]) -> dict[str, Schema]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
