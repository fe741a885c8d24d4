"""Well-behaved clients during an attack: health probes on fresh connections, and requests with a known answer."""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.serving.attack.target import SERVER, Target, get
from benchmarks.serving.requests import parse_head

PROBE_S = 0.05
TIMEOUT_S, _INFERENCE_TIMEOUT_S = 5.0, 20.0
_READY_EVERY, _FRESH_EVERY = 4, 2
LIVE, READY, FRESH, KEPT = "live", "ready", "inference", "inference, kept connection"
RIGHT, REFUSED, NOT_CONNECTED = "right", "refused", "not connected"
"""Outcomes that lose no request. All others do."""


@dataclass(frozen=True)
class Probe:
    """One request of a well-behaved client.

    Attributes:
        kind: `LIVE`, `READY`, `FRESH` or `KEPT`.
        due: when it was sent, or should have been, on the monotonic clock of the system.
        connected_ms: until the connection was open, including the TLS handshake; None on a kept connection.
        total_ms: until the whole answer was read; the timeout if there was none.
        outcome: `RIGHT`, `REFUSED`, `NOT_CONNECTED`, or what happened.
        late_ms: how late it was sent, because the client had no core. It is a part of the other times.
    """

    kind: str
    due: float
    connected_ms: float | None
    total_ms: float
    outcome: str
    late_ms: float


class _Broken(Exception):
    """The connection ended; the argument says whether a part of the answer had arrived."""


class Victims:
    """All well-behaved clients of one server.

    Attributes:
        probes: that have ended.
    """

    def __init__(self, target: Target) -> None:
        self.probes: list[Probe] = []
        self._target = target
        self._tls = target.tls()
        self._kept: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._is_busy = False

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Send probes on a schedule, whether or not earlier ones have ended, and wait for the last answers."""
        tasks: set[asyncio.Task[None]] = set()
        tick, due = 0, time.monotonic()
        while not is_over():
            is_due = {
                LIVE: True,
                READY: tick % _READY_EVERY == 0,
                FRESH: tick % _FRESH_EVERY == 0,
                KEPT: not self._is_busy,
            }
            for kind in (kind for kind, is_now in is_due.items() if is_now):
                task = asyncio.create_task(self.probe(kind, due))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            tick, due = tick + 1, due + PROBE_S
            await asyncio.sleep(due - time.monotonic())  # at least one turn of the loop, so that `_is_busy` is current
        await asyncio.gather(*tasks)
        self.close()

    def close(self) -> None:
        """Close the kept connection."""
        if self._kept:
            self._kept[1].transport.abort()
        self._kept = None

    async def probe(self, kind: str, due: float) -> None:
        """Send one request, which is due at a time of the monotonic clock, and add its probe."""
        late_ms = (time.monotonic() - due) * 1e3
        connected: list[float] = []
        timeout_s = TIMEOUT_S if kind in (LIVE, READY) else _INFERENCE_TIMEOUT_S
        try:
            async with asyncio.timeout(timeout_s):
                outcome = await (self._on_kept() if kind == KEPT else self._on_fresh(kind, connected))
        except TimeoutError:
            outcome = "no answer" if connected or kind == KEPT else NOT_CONNECTED
        end = time.monotonic()
        is_answered = outcome in (RIGHT, REFUSED)
        total_ms = ((end - due) if is_answered else max(end - due, timeout_s)) * 1e3
        connected_ms = None if kind == KEPT else (connected[0] - due if connected else timeout_s) * 1e3
        self.probes.append(Probe(kind, due, connected_ms, total_ms, outcome, late_ms))

    async def _on_fresh(self, kind: str, connected: list[float]) -> str:
        try:
            reader, writer = await self._connect()
        except (OSError, ssl.SSLError):
            return NOT_CONNECTED
        connected.append(time.monotonic())
        try:
            content = self._target.request if kind == FRESH else get(f"/v2/health/{kind}", "Connection: close\r\n")
            return await self._answer(reader, writer, content, kind)
        except _Broken as broken:
            return str(broken)
        finally:
            writer.transport.abort()

    async def _on_kept(self) -> str:
        """Use one connection as long as the server keeps it, one request at a time."""
        self._is_busy = True
        try:
            while True:
                is_new = self._kept is None
                try:
                    self._kept = self._kept or await self._connect()
                except (OSError, ssl.SSLError):
                    return NOT_CONNECTED
                try:
                    return await self._answer(*self._kept, self._target.request, KEPT)
                except _Broken as broken:
                    self.close()
                    # HTTP permits a server to close an idle connection while a request is on its way. The client
                    # repeats it then (RFC 9112, section 9.3.1).
                    if is_new or broken.args[0] != "closed":
                        return str(broken)
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._is_busy = False

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = "localhost" if self._tls else None
        return await asyncio.open_connection(SERVER, self._target.port, ssl=self._tls, server_hostname=name)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, content: bytes, kind: str
    ) -> str:
        head = b""
        try:
            writer.write(content)
            while not head or head.startswith(b"HTTP/1.1 1"):  # clients skip interim responses
                head = await reader.readuntil(b"\r\n\r\n")
            parsed = parse_head(head)
            body = await reader.readexactly(parsed.length)
        except (OSError, asyncio.IncompleteReadError) as error:
            has_part = bool(head or getattr(error, "partial", b""))
            raise _Broken("cut off" if has_part else "closed") from None
        if parsed.status == 503 and (kind == READY or b"\r\nretry-after:" in head.lower()):
            return REFUSED
        if parsed.status != 200:
            return f"status {parsed.status}"
        return RIGHT if kind in (LIVE, READY) or body == self._target.right_body else "wrong answer"


def watch(target: Target, is_over: Callable[[], bool]) -> list[Probe]:
    """Run all clients until `is_over` and return their probes."""

    async def run() -> list[Probe]:
        victims = Victims(target)
        await victims.run(is_over)
        return victims.probes

    return asyncio.run(run())
