"""A server that conforms to the protocol: the subject of the tests, and the upstream of `lying_server`."""

import contextlib
import http.server
import json
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from reference_model import CONFIG, METADATA, NAME, VERSION, Refusal, infer, parsed

_WBITS = {"gzip": 31, "deflate": 15}
_MOST_BYTES = 64 << 20
_KINDS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
_SERVER = {
    "name": "reference",
    "version": "1.0",
    "extensions": [
        "binary_tensor_data",
        "classification",
        "model_configuration",
        "model_repository",
        "schedule_policy",
        "statistics",
    ],
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = default_request_version = "HTTP/1.1"
    timeout = 30
    api_key: str | None
    batches: list[int]
    """The batch size of each request that the model has answered."""

    def answer(self) -> None:
        """Read a request and answer it; an error that leaves the end of the body unknown closes the connection."""
        try:
            body = self._body()
        except (Refusal, ValueError) as error:
            self.send_error(400, str(error))
            return
        try:
            self._answer(body)
        except Refusal as error:
            self._send(error.status, {"error": str(error)})

    do_GET = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with an error and close the connection; `http.server` calls it for malformed requests."""
        self.close_connection = True
        self._send(code, {"error": message or explain or "malformed request"}, {"Connection": "close"})

    def log_message(self, *_: object) -> None:
        """Disable logging."""

    def _body(self) -> bytes:
        """Read the body as the headers frame it.

        Raises:
            Refusal: a header is missing or ambiguous.
            ValueError: a length or a chunk is malformed.
        """
        lengths = self.headers.get_all("Content-Length", [])
        is_chunked = "Transfer-Encoding" in self.headers
        if "Host" not in self.headers or len(lengths) + is_chunked > 1:
            raise Refusal(400, "expected Host, and one length or chunks")
        if not is_chunked:
            if not all(length.isascii() and length.isdecimal() for length in lengths):
                raise Refusal(400, "Content-Length is not a number")
            return self._read(sum(map(int, lengths)))
        parts = []
        while size := int(self.rfile.readline(16), 16):
            parts.append(self._read(size))
            self.rfile.readline(16)
        self.rfile.readline(16)
        return b"".join(parts)

    def _read(self, size: int) -> bytes:
        content = self.rfile.read(size)
        if len(content) < size:
            raise Refusal(400, "the body ends early")
        return content

    def _answer(self, body: bytes) -> None:
        if self.api_key is not None and self.headers.get("Authorization") != f"Bearer {self.api_key}":
            raise Refusal(401, "expected the API key")
        method, answer = self._route()
        allowed = ("GET", "HEAD") if method == "GET" else (method,)
        if self.command not in allowed:
            self._send(405, {"error": f"expected {method}"}, {"Allow": ", ".join(allowed)})
            return
        answer(_decoded(body, self.headers.get("Content-Encoding", "")))

    def _route(self) -> tuple[str, Callable[[bytes], None]]:
        """Return the method and the handler of a path.

        Raises:
            Refusal: the path does not exist.
        """
        match [unquote(part) for part in self.path.partition("?")[0].split("/")[1:]]:
            case ["v2"]:
                return self._get(_SERVER)
            case ["v2", "health", "live"]:
                return self._get({"live": True})
            case ["v2", "health", "ready"]:
                return self._get({"ready": True})
            case ["v2", "repository", "index"]:
                return "POST", self._index
            case ["v2", "repository", "models", _, "load" | "unload"]:
                raise Refusal(403, "models cannot be loaded or unloaded")
            case ["v2", "models", "stats"]:
                return self._get(self._statistics())
            case ["v2", "models", name, "versions", version, *rest] if (name, version) == (NAME, VERSION):
                return self._route_of_model(rest)
            case ["v2", "models", name, *rest] if name == NAME:
                return self._route_of_model(rest)
        raise Refusal(404, "no such model, version or path")

    def _route_of_model(self, rest: list[str]) -> tuple[str, Callable[[bytes], None]]:
        match rest:
            case []:
                return self._get(METADATA)
            case ["ready"]:
                return self._get({"name": NAME, "ready": True})
            case ["config"]:
                return self._get(CONFIG)
            case ["stats"]:
                return self._get(self._statistics())
            case ["infer"]:
                return "POST", self._infer
        raise Refusal(404, "no such version or path")

    def _get(self, document: Any) -> tuple[str, Callable[[bytes], None]]:
        return "GET", lambda _: self._send(200, document)

    def _statistics(self) -> dict[str, Any]:
        count = len(self.batches)
        durations = {kind: {"count": count, "ns": 1000 * count} for kind in _KINDS}
        entry = {"name": NAME, "version": VERSION, "inference_count": sum(self.batches), "inference_stats": durations}
        return {"model_stats": [entry]}

    def _index(self, body: bytes) -> None:
        parsed(body or b"{}")
        self._send(200, [{"name": NAME, "version": VERSION, "state": "READY", "reason": ""}])

    def _infer(self, body: bytes) -> None:
        content, length, batch = infer(body, self.headers.get("Inference-Header-Content-Length"))
        self.batches.append(batch)
        headers = {"Content-Type": "application/json" if length is None else "application/octet-stream"}
        if length is not None:
            headers["Inference-Header-Content-Length"] = str(length)
        coding = _accepted(self.headers.get("Accept-Encoding", ""))
        if coding:
            headers["Content-Encoding"] = coding
            deflater = zlib.compressobj(wbits=_WBITS[coding])
            content = deflater.compress(content) + deflater.flush()
        self._send(200, content, headers)

    def _send(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        """Send an answer in one piece."""
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        fields = {"Content-Type": "application/json", "Content-Length": str(len(content))} | (headers or {})
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        body = b"" if self.command == "HEAD" else content
        with contextlib.suppress(OSError):  # the client may have disconnected
            self.wfile.write(f"HTTP/1.1 {status} {self.responses[status][0]}\r\n{head}\r\n".encode() + body)


@contextlib.contextmanager
def serving(*, api_key: str | None = None, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Run the server in threads of this process; yields its port.

    Args:
        api_key: required of requests; None for no key.
        context: with the server's certificate, for https.
    """
    handler = type("ConfiguredHandler", (Handler,), {"api_key": api_key, "batches": []})
    with listening(handler, context) as port:
        yield port


@contextlib.contextmanager
def listening(
    handler: type[http.server.BaseHTTPRequestHandler], context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Listen on a free port, with a handler for each connection; yields the port."""

    class Quiet(http.server.ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """Print no error for connections that the client or the upstream server breaks."""

    with Quiet(("127.0.0.1", 0), handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _decoded(body: bytes, coding: str) -> bytes:
    if coding.lower() in ("", "identity"):
        return body
    if coding.lower() not in _WBITS:
        raise Refusal(415, "expected gzip or deflate")
    inflater = zlib.decompressobj(wbits=_WBITS[coding.lower()])
    try:
        content = inflater.decompress(body, _MOST_BYTES)
    except zlib.error:
        raise Refusal(400, f"the body is not {coding}") from None
    if not inflater.eof:
        raise Refusal(400, f"the {coding} body ends early or is too large")
    return content


def _accepted(header: str) -> str:
    """Return the first coding that the client accepts; empty for none."""
    for each in header.lower().split(","):
        coding, _, parameter = each.replace(" ", "").partition(";")
        if coding in _WBITS and parameter not in ("q=0", "q=0.0"):
            return coding
    return ""
