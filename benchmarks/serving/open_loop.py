"""A client that sends on a schedule, independent of the answers, as many independent users do.

A request uses any idle connection, or a new one. Its time counts from when it was due, so that a client that falls
behind does not make a server look fast (coordinated omission: Tene, "How NOT to Measure Latency", 2015). The client
runs on the server's cores, so it does as little as possible for each request.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from benchmarks.serving.requests import parse_head

_MOST_CONNECTIONS = 900
_WARM_S, _REST_S = 1.0, 15.0
_LEAST_SLEEP_S = 0.001


@dataclass
class Outcome:
    """The results of one turn, without its first second.

    Attributes:
        sent: number of requests.
        seconds: duration.
        accepted_ms: times to a result.
        refused_ms: times to a 503.
        others: number of answers with another status, by status.
        in_time: results before the end of the turn, including those of earlier requests.
        broken: connections that closed without an answer, and requests that never got one.
        client_cores: cores that the client itself used, which the server could not use.
        unsent: requests that were due while all permitted connections were busy.
    """

    sent: int = 0
    seconds: float = 0.0
    accepted_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    others: dict[int, int] = field(default_factory=dict)
    in_time: int = 0
    broken: int = 0
    client_cores: float = 0.0
    unsent: int = 0


def load(port: int, request: bytes, *, rate: float, seconds: float, seed: int = 0) -> Outcome:
    """Send requests at random times with a mean rate, and wait for all answers.

    Args:
        port: on the loopback.
        request: its bytes, including headers.
        rate: requests per second.
        seconds: duration; one more second before it is not counted.
        seed: of the times.
    """
    random = np.random.default_rng(seed)
    due = np.cumsum(random.exponential(1 / rate, int(rate * (_WARM_S + seconds)))).tolist()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_Crowd(port, request, seconds).send(due))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop  # type: ignore[no-any-return, unused-ignore]


class _Crowd:
    def __init__(self, port: int, request: bytes, seconds: float) -> None:
        self.request = request
        self.outcome = Outcome(seconds=seconds)
        self.idle: list[_Link] = []
        self.open = 0
        self.waiting = 0
        self._port = port
        self._begin = self._end = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, due: list[float]) -> Outcome:
        start, began_cpu_s = time.perf_counter(), time.process_time()
        self._begin = start + _WARM_S
        self._end = self._begin + self.outcome.seconds
        for moment in due:
            ahead = start + moment - time.perf_counter()
            if ahead > _LEAST_SLEEP_S:
                await asyncio.sleep(ahead)
            self._send(start + moment)
        self.outcome.client_cores = (time.process_time() - began_cpu_s) / (time.perf_counter() - start)
        deadline = time.perf_counter() + _REST_S
        while self.waiting and time.perf_counter() < deadline:
            await asyncio.sleep(0.05)
        self.outcome.broken += self.waiting
        return self.outcome

    def _send(self, due: float) -> None:
        if self.idle:
            self.idle.pop().send(due)
        elif self.open < _MOST_CONNECTIONS:
            self.open += 1
            task = asyncio.get_running_loop().create_task(self._connect(due))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self.outcome.unsent += due >= self._begin
            return
        self.outcome.sent += due >= self._begin
        self.waiting += 1

    async def _connect(self, due: float) -> None:
        try:
            _, link = await asyncio.get_running_loop().create_connection(lambda: _Link(self), "127.0.0.1", self._port)
        except OSError:
            self.open -= 1
            self.lost()
        else:
            link.send(due)

    def answered(self, status: int, due: float) -> None:
        now = time.perf_counter()
        self.waiting -= 1
        if status == 200:
            self.outcome.in_time += self._begin <= now <= self._end
        if due < self._begin:
            return
        if status == 200:
            self.outcome.accepted_ms.append((now - due) * 1e3)
        elif status == 503:
            self.outcome.refused_ms.append((now - due) * 1e3)
        else:
            self.outcome.others[status] = self.outcome.others.get(status, 0) + 1

    def lost(self) -> None:
        self.waiting -= 1
        self.outcome.broken += 1


class _Link(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, crowd: _Crowd) -> None:
        self._crowd = crowd
        self._due: float | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport has another base class

    def send(self, due: float) -> None:
        self._due = due
        self._transport.write(self._crowd.request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        text, found, body = self._read.partition(b"\r\n\r\n")
        if not found or self._due is None:
            return
        head = parse_head(text)
        if len(body) < head.length:
            return
        due, self._due, self._read = self._due, None, b""
        self._crowd.answered(head.status, due)
        if head.is_last:
            self._transport.close()
        else:
            self._crowd.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.open -= 1
        if self._due is not None:
            self._due = None
            self._crowd.lost()
        elif self in self._crowd.idle:
            self._crowd.idle.remove(self)
