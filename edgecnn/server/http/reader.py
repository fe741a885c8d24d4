"""Parse the requests of a connection, one at a time.

llhttp cannot stop between two requests in one packet, and does not report where the second one starts. So the reader
feeds it in steps that end where a request may end: at an empty line for a head or a chunked body, and at the length for
another body (which llhttp does not get, because it would copy it). The bytes after a request stay unparsed until its
response. This limits the memory of a client, and garbage after a request does not affect the request.
"""

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from edgecnn.server.http.head import CHUNKED, Malformed, body_length, read_head
from edgecnn.server.http.limits import Limits
from edgecnn.server.http.message import Head

_END = b"\r\n\r\n"
_SMALL_BYTES = 4096
_GATHERED_BYTES = 64 << 10
_PIECE_BYTES = 8 << 10
"""Maximum size of one step in a chunked body: chunks of one byte take about a millisecond."""
_EMPTY_LINES = 512
"""Maximum number of empty lines of one step."""


class Refused(Exception):
    """A request that cannot be parsed or exceeds a limit; `status` is the response's status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Reader:
    """Reads the requests of one connection.

    Attributes:
        head: the head of the current request; None until it is complete.
        length: the length of the body, or `CHUNKED`.
        complete: whether head and body are complete.
        keep_alive: whether the client requests a persistent connection.
        size: number of bytes of the body so far.
        version: the HTTP version.
    """

    __slots__ = (
        "_at", "_data", "_framing", "_head_bytes", "_headers", "_headers_end", "_limits", "_many", "_parser", "_parts",
        "_tail", "_target", "_wire", "complete", "head", "keep_alive", "length", "size", "version",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parser = HttpRequestParser(self)
        self._data = b""
        self._at = 0
        self._parts: list[bytes | bytearray] = []
        self._tail = b""  # the last three bytes, which may be a part of an empty line
        self.version = "1.1"
        self._renew()

    @property
    def begun(self) -> bool:
        """Whether a part of a request has been read."""
        return self._head_bytes > 0

    def waiting(self) -> int:
        """Return the number of unparsed bytes."""
        return len(self._data) - self._at

    def add(self, data: bytes) -> None:
        """Add received data."""
        if self._at < len(self._data):
            data = self._data[self._at :] + data
        self._data = data
        self._at = 0

    def discard(self) -> None:
        """Release all data; no further step may follow a part of a request."""
        self._data = b""
        self._parts = []
        self._at = 0

    def clear(self) -> None:
        """Release all data, and the reference cycle with llhttp's callbacks."""
        self.discard()
        del self._parser

    def step(self) -> bool:
        """Parse up to the next possible end; return whether a head or a request is complete.

        A step takes about a millisecond at most, whatever the input is.

        Raises:
            Refused: the input is not HTTP, or exceeds a limit.
            MemoryError: the body does not fit in memory.
        """
        if self._head_bytes <= 1 and self._skip_empty_lines():
            return False
        data = self._data
        start = self._at
        end = self._boundary(data, start)
        count = end - start
        if self.head is None:
            self._head_bytes += count
            if self._head_bytes > self._limits.max_header_bytes:
                raise Refused(431, "the headers are too large")
        piece = data if count == len(data) else data[start:end]
        self._at = end
        if end == len(data):
            self._data, self._at = b"", 0
        if self.head is not None and self.length != CHUNKED:
            self._take_part(piece)
            if self.size == self.length:
                self._parser = HttpRequestParser(self)  # the old parser still expects the body
                self.complete = True
            return self.complete
        before = self.size
        upgrade = self._parse(piece)
        if self.head is not None:
            self._account(count, self.size - before)
            return self.complete
        if self._headers_end:
            self._finish_head(upgrade)
        return self._headers_end

    def take(self) -> bytes:
        """Return the body of the complete request, and reset for the next one."""
        body = b"".join(self._parts)
        self._renew()
        return body

    # llhttp's callbacks. They raise only MemoryError; `step` checks their results.

    def on_url(self, url: bytes) -> None:
        """Append a part of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; ignore a trailer."""
        self._many += 1
        if self._headers_end or self._many > self._limits.max_headers:
            return
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1").strip(" \t")
        headers = self._headers
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        """Record `keep_alive`, which llhttp resets at the end of the request."""
        self._headers_end = True
        self.keep_alive = self._parser.should_keep_alive()

    def on_body(self, part: bytes) -> None:
        """Append a chunk or a part of one."""
        self._take_part(part)

    def on_message_complete(self) -> None:
        """Record the end of the request."""
        self.complete = True

    def _renew(self) -> None:
        self.head: Head | None = None
        self.length = 0
        self.complete = False
        self.keep_alive = False
        self._headers: dict[str, str] = {}
        self._headers_end = False
        self._head_bytes: int = 0
        self._many: int = 0
        self.size: int = 0
        self._wire: int = 0  # bytes of a chunked body, including the chunk framing
        self._framing: int = 0  # bytes of framing since the last byte of a chunk
        self._target = b""
        self._tail = b""
        self._parts = []

    def _parse(self, piece: bytes) -> bool:
        """Feed data to llhttp; return whether it reports an upgrade to another protocol after it."""
        upgrade = False
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade:
            upgrade = True
        except HttpParserError as error:
            if isinstance(error.__context__, MemoryError):  # raised in a callback
                raise MemoryError from None
            raise Refused(400, "not an HTTP request") from None
        self._tail = b"" if piece.endswith(_END) else (self._tail + piece[-3:])[-3:]
        return upgrade

    def _take_part(self, part: bytes) -> None:
        self.size += len(part)
        if len(part) >= _SMALL_BYTES or self.size == self.length:
            self._parts.append(part)
            return
        # Small parts are joined: each object has an overhead of fifty bytes, and a part may be one byte.
        last = self._parts[-1] if self._parts else None
        if isinstance(last, bytearray) and len(last) < _GATHERED_BYTES:
            last += part
        else:
            self._parts.append(bytearray(part))

    def _skip_empty_lines(self) -> bool:
        """Skip empty lines, which some clients send after a body (RFC 9112, section 2.2); return whether there are any.

        A step skips some of them.
        """
        data, start = self._data, self._at
        at = start
        if self._head_bytes:  # one byte of a head, or the first byte of an empty line in two packets
            if self._tail != b"\r" or not data.startswith(b"\n", at):
                return False
            self._parse(b"\n")
            self._head_bytes, self._tail = 0, b""
            at += 1
        end = at + 2 * _EMPTY_LINES
        while at < end and data.startswith(b"\r\n", at):
            at += 2
        self._at = at
        return at > start

    def _boundary(self, data: bytes, start: int) -> int:
        """Return the end of the next step."""
        if self.head is not None and self.length != CHUNKED:
            return min(len(data), start + self.length - self.size)
        if self._tail:  # the empty line may span two packets
            found = (self._tail + data[start : start + 3]).find(_END)
            if found >= 0:
                return start + found + len(_END) - len(self._tail)
        most = len(data) if self.head is None else min(len(data), start + _PIECE_BYTES)
        found = data.find(_END, start, most)
        return most if found < 0 else found + len(_END)

    def _finish_head(self, upgrade: bool) -> None:
        if self._many > self._limits.max_headers:
            raise Refused(431, "too many headers")
        self.version = self._parser.get_http_version()
        target = self._target.decode("latin-1")
        try:
            head = read_head(self._parser.get_method().decode(), target, self._headers, version=self.version)
            self.length = body_length(self._headers, version=self.version)
        except Malformed as error:
            raise Refused(400, str(error)) from None
        if upgrade:
            # llhttp reads no body after an upgrade. The server supports no upgrade and handles a normal request.
            self.keep_alive = False
            self.complete = self.length == 0
            if self.length == CHUNKED:
                raise Refused(400, "a request with a chunked body cannot have an Upgrade header")
        if self.length > self._limits.max_body_bytes:
            raise Refused(413, f"the body is larger than {self._limits.max_body_bytes} bytes")
        self.head = head

    def _account(self, count: int, body: int) -> None:
        """Check the size of a chunked body and of its framing."""
        self._wire += count
        self._framing = 0 if body else self._framing + count
        most = self._limits.max_body_bytes
        # A chunk of one byte takes six bytes on the wire.
        if self.size > most or self._wire > 6 * most + self._limits.max_header_bytes:
            raise Refused(413, f"the body is larger than {most} bytes")
        if self._framing > self._limits.max_header_bytes or self._many > self._limits.max_headers:
            raise Refused(431, "the trailers are too large")
