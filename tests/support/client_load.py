"""Threads that use one client of real servers, while these servers fail."""

import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

from repository import COMMITTED
from server_process import Server, wait_for

import edgecnn
from edgecnn import Client

THREADS = 6


def url(server: Server, *, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.port}"


def kill(server: Server) -> None:
    """Kill the supervisor; the worker ends with it."""
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    wait_for(lambda: not listens(server.port))


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Load:
    """Threads that use one client, and compare each result with a `Classifier`'s."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ended = threading.Event()
        self.answers = 0
        with edgecnn.load(COMMITTED) as classifier:
            self._images = classifier.bundle.self_test().images
            self._labels = [each.label for each in classifier.predict(list(self._images))]
        self._pool = ThreadPoolExecutor(THREADS)
        self._runs = [self._pool.submit(self._run, number) for number in range(THREADS)]

    def _run(self, number: int) -> None:
        while not self._ended.is_set():
            number = (number + 1) % len(self._images)
            assert self._client.predict(self._images[number]).label == self._labels[number]
            self.answers += 1

    def more(self, count: int = 200) -> None:
        """Wait for more answers; a lost or wrong one ends its thread."""
        goal = self.answers + count
        wait_for(lambda: self.answers >= goal or any(run.done() for run in self._runs))

    def end(self) -> None:
        """End the threads; raise the error of a thread that ended before."""
        self._ended.set()
        self._pool.shutdown()
        for run in self._runs:
            run.result()

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
