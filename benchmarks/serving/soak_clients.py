"""Clients of every kind: good, wrong, slow, and disconnected before the answer. For `soak.py`."""

import asyncio
import collections
import contextlib
import random
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from benchmarks.serving import requests
from edgecnn.bundle.self_test import SelfTest

_TIMEOUT_S = 20.0
_PAUSE_S = 0.005
_KEPT = 50
"""Requests on one connection, before another is opened."""
_RESET = struct.pack("ii", 1, 0)

Outcome = int | str
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Crowd:
    """All clients.

    Attributes:
        answers: kind of client -> number of answers by status, `closed` or `left`.
        unexpected: a few answers that their kind must not get.
    """

    def __init__(self, port: int, model: str, self_test: SelfTest) -> None:
        """Build all requests; the model's images come from the self-test."""
        self.answers: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.unexpected: list[str] = []
        self._port = port
        self._random = random.Random(0)  # noqa: S311  # no secret
        image = self_test.images[:1]
        self._binary, self._json = requests.v2_binary(model, image), requests.v2_json(model, image)
        picture = requests.v2_picture(model, next(e.content for e in self_test.encoded if e.format == "jpeg"))
        self._good = [self._binary.wire(), self._json.wire(), picture.wire()]
        self._bad = _bad_requests(model, self._binary, picture)

    async def run(self, seconds: float) -> None:
        """Run all clients for a time."""
        end = time.monotonic() + seconds
        kinds: list[tuple[str, Callable[[], Awaitable[Outcome]], set[Outcome]]] = [
            ("bad", self._wrong, {400, 404, 405, 413, 415, 501}),
            ("slow", self._slow, {200}),
            ("too slow", self._too_slow, {408}),
            ("cancelled", self._cancelled, {"left"}),
            ("cancelled early", self._left_half_way, {"left"}),
        ]
        await asyncio.gather(
            *(self._kept(end) for _ in range(4)), *(self._again(end, *kind) for kind in kinds for _ in range(2))
        )

    async def _kept(self, end: float) -> None:
        """Run a good client with a persistent connection."""
        while time.monotonic() < end:
            async with _connected(self._port) as streams:
                for _ in range(_KEPT):
                    streams[1].write(self._random.choice(self._good))
                    self._note("good", await answer(streams[0]), {200, 503})
                    await asyncio.sleep(_PAUSE_S)
                    if time.monotonic() >= end:
                        break

    async def _again(
        self, end: float, kind: str, act: Callable[[], Awaitable[Outcome]], expected: set[Outcome]
    ) -> None:
        while time.monotonic() < end:
            self._note(kind, await act(), expected)
            await asyncio.sleep(_PAUSE_S)

    def _note(self, kind: str, outcome: Outcome, expected: set[Outcome]) -> None:
        self.answers[kind][str(outcome)] += 1
        if outcome not in expected and len(self.unexpected) < 20:
            self.unexpected.append(f"{kind}: {outcome}")

    async def _wrong(self) -> Outcome:
        """Send malformed requests."""
        async with _connected(self._port) as (reader, writer):
            writer.write(self._random.choice(self._bad))
            return await answer(reader)

    async def _slow(self) -> Outcome:
        """Send a good request in small pieces, in time."""
        wire = self._good[0]
        async with _connected(self._port) as (reader, writer):
            for start in range(0, len(wire), 100):
                writer.write(wire[start : start + 100])
                await asyncio.sleep(0.02)
            return await answer(reader)

    async def _too_slow(self) -> Outcome:
        """Send a part of the headers or of the body, and wait."""
        wire = self._good[0]
        part = self._random.choice([40, len(wire) - 500])
        async with _connected(self._port) as (reader, writer):
            writer.write(wire[:part])
            return await answer(reader)

    async def _cancelled(self) -> Outcome:
        """Send a whole request and disconnect with a reset, at once or a moment later."""
        async with _connected(self._port) as (_, writer):
            writer.write(self._random.choice(self._good))
            await asyncio.sleep(self._random.choice([0.0, 0.0, 0.0005, 0.002]))
            _reset(writer)
        return "left"

    async def _left_half_way(self) -> Outcome:
        """Disconnect while sending, with a reset or without."""
        wire = self._random.choice(self._good)
        async with _connected(self._port) as (_, writer):
            writer.write(wire[: self._random.randrange(1, len(wire))])
            await asyncio.sleep(0.002)
            if self._random.random() < 0.5:
                _reset(writer)
        return "left"


def _bad_requests(model: str, binary: requests.Request, picture: requests.Request) -> list[bytes]:
    path, infer = f"/v2/models/{model}", f"/v2/models/{model}/infer"
    json = {"Content-Type": "application/json"}

    def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
        return requests.Request(path, body, headers, binary.logits).wire()

    tensor = b'{"inputs":[{"name":"image","shape":[1,2,2,1],"datatype":"UINT8","data":[1,2,3,4]}]}'
    return [
        post(infer, b"{", json),
        post(infer, b"{}", json),
        post(infer, tensor, json),
        post(infer, b"\x1f\x8bnonsense", {**json, "Content-Encoding": "gzip"}),
        post(infer, b"x", {**json, "Content-Encoding": "x-unknown"}),
        post(infer, binary.body[:-10], binary.headers),
        post(infer, binary.body, {**binary.headers, requests.IHCL: "-1"}),
        post(infer, picture.body[: len(picture.body) // 2], picture.headers),
        post("/v2/models/nobody/infer", binary.body, binary.headers),
        post(path, b"", {}),
        f"POST {infer} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n".encode(),
        b"\x00\x01\x02 nonsense\r\n\r\n",
    ]


async def answer(reader: asyncio.StreamReader) -> Outcome:
    """Read an answer; return its status, or that there was none."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            head = requests.parse_head(await reader.readuntil(b"\r\n\r\n"))
            await reader.readexactly(head.length)
    except (OSError, asyncio.IncompleteReadError):
        return "closed"
    except TimeoutError:
        return "silence"
    return head.status


@contextlib.asynccontextmanager
async def _connected(port: int) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
