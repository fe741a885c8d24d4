"""A real `edgecnn serve` process, clients on raw sockets, and the check after a fault.

`Server.unharmed()` checks that the server is live and ready, that a golden request has the same bytes, that counters
balance, that memory, descriptors and threads are back at their baseline, and that the bundle's files are unchanged.
"""

import contextlib
import hashlib
import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from repository import COMMITTED
from server_messages import TIMEOUT_S, Reply, binary_request, read_all, wait_for

from benchmarks.devices.emulation import Processor
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.host.child import child_environment

_LINE = re.compile(r" on (https?)://(\S+):(\d+)")
_GRPC_LINE = re.compile(r' answers gRPC on ([^\s"]+:\d+)')
_MEMORY_SLACK = 48 << 20
_DESCRIPTOR_SLACK = 4
THREAD_SLACK = 2  # the pool for slow steps starts its threads on demand


@dataclass(frozen=True)
class Footprint:
    """The system resources of the server's processes."""

    resident_bytes: int
    descriptors: int
    threads: int


class Server:
    """A running `edgecnn serve` process, and a client of it."""

    def __init__(
        self,
        process: subprocess.Popen[str],
        lines: list[str],
        port: int,
        bundle: Bundle,
        *,
        name: str | None = None,
        headers: dict[str, str] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.headers = headers or {}
        """Headers of every request."""
        self._context = context
        self.process = process
        self.lines = lines
        self.port = port
        self.name = name or bundle.manifest.name
        self.bundle = bundle
        self.infer_path = f"/v2/models/{self.name}/infer"
        self_test = bundle.self_test()
        self.images = self_test.images
        self.golden = self.infer(self.images[:3]).body
        assert self.metrics()["received"] == 1
        self.base = self.settled()
        self._files = _digests(bundle.path)

    @property
    def grpc_address(self) -> str:
        """Return the gRPC address in the log."""
        return next(match[1] for line in self.lines if (match := _GRPC_LINE.search(line)))

    # Requests

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> Reply:
        """Send a request on a new connection."""
        with contextlib.closing(self._connection(timeout_s)) as connection:
            connection.request(method, path, body, self.headers | (headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout_s, context=self._context)

    def get(self, path: str) -> Reply:
        """Send a GET request."""
        return self.request("GET", path)

    def post(self, document: Any, headers: dict[str, str] | None = None, *, path: str | None = None) -> Reply:
        """Send JSON, or bytes unchanged, to the model."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.request("POST", path or self.infer_path, body, headers)

    def index(self) -> dict[str, Any]:
        """Return the entries of the repository index, by name."""
        return {entry["name"]: entry for entry in self.request("POST", "/v2/repository/index").json}

    def infer(self, images: np.ndarray, **parameters: Any) -> Reply:
        """Send pixels in the binary extension; the logits come back in it too."""
        body, length = binary_request(images, **parameters)
        return self.post(body, {"Inference-Header-Content-Length": str(length)})

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logits of images."""
        reply = self.infer(images)
        assert reply.status == 200, reply.body
        raw = reply.body[int(reply.headers["inference-header-content-length"]) :]
        return np.frombuffer(raw, "<f4").reshape(len(images), -1)

    def connect(self) -> socket.socket:
        """Open a raw connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)

    def raw(self, content: bytes) -> bytes:
        """Send bytes on a new connection; return all bytes until it is closed."""
        with self.connect() as sock:
            with contextlib.suppress(OSError):
                sock.sendall(content)
            return read_all(sock)

    # Metrics and processes

    def metrics(self) -> dict[str, float]:
        """Return the request counters summed over all models: received, succeeded, failed, cancelled, in_flight."""
        found = dict.fromkeys(("received", "succeeded", "failed", "cancelled", "in_flight"), 0.0)
        for sample in self.samples():
            name = sample.name.removeprefix("edgecnn_requests_").removesuffix("_total")
            if name in found:
                found[name] += sample.value
        return found

    def samples(self) -> list[Any]:
        """Return all Prometheus samples."""
        text = self.get("/metrics").body.decode()
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def worker_pids(self) -> list[int]:
        """Return the supervisor's children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def footprint(self) -> Footprint:
        """Return the worker's resources."""
        pids = self.worker_pids()
        status = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
        resident = sum(1024 * int(re.search(r"VmRSS:\s+(\d+)", each)[1]) for each in status)  # type: ignore[index]
        threads = sum(int(re.search(r"Threads:\s+(\d+)", each)[1]) for each in status)  # type: ignore[index]
        return Footprint(resident, sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids), threads)

    def settled(self, *, limit_s: float = 5.0) -> Footprint:
        """Return the footprint once closed connections are cleaned up."""
        end = time.monotonic() + limit_s
        found = self.footprint()
        while time.monotonic() < end:
            time.sleep(0.1)
            again = self.footprint()
            if (again.descriptors, again.threads) == (found.descriptors, found.threads):
                return again
            found = again
        return found

    # After a fault

    def unharmed(self, *, memory_slack: int = _MEMORY_SLACK, despite: str | None = None) -> None:
        """Check the server as the module docstring lists. Lines that contain `despite` may have tracebacks."""
        assert self.process.poll() is None, self.lines[-5:]
        wait_for(lambda: self.get("/v2/health/ready").status == 200)
        assert self.infer(self.images[:3]).body == self.golden
        wait_for(self.balanced)
        wait_for(lambda: self.footprint().descriptors <= self.base.descriptors + _DESCRIPTOR_SLACK)
        wait_for(lambda: self.footprint().threads <= self.base.threads + THREAD_SLACK)
        wait_for(lambda: self.footprint().resident_bytes <= self.base.resident_bytes + memory_slack)
        assert _digests(self.bundle.path) == self._files
        failures = [line for line in self.lines if "Traceback" in line and (despite is None or despite not in line)]
        assert not failures, self.lines[-20:]

    def balanced(self) -> bool:
        """Return whether every request has ended in exactly one way."""
        found = self.metrics()
        ended = found["succeeded"] + found["failed"] + found["cancelled"]
        return found["received"] == ended and found["in_flight"] == 0

    @contextlib.contextmanager
    def good_neighbour(self) -> Iterator[None]:
        """Send good requests in the background; check that all are answered with the logits, by any version."""
        ended = threading.Event()
        logits = self.golden[-3 * self.bundle.classes * 4 :]
        answers: list[bool] = []

        def ask() -> None:
            while not ended.is_set():
                reply = self.infer(self.images[:3])
                answers.append(reply.status == 200 and reply.body.endswith(logits))
                time.sleep(0.01)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(TIMEOUT_S)
        assert answers
        assert all(answers), f"{answers.count(False)} of {len(answers)} good requests had a wrong answer"

    def stop(self) -> int:
        """Stop the server as a service manager does; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_S)


@contextlib.contextmanager
def serving(
    *options: object,
    bundles: Sequence[Path] = (COMMITTED,),
    environment: dict[str, str] | None = None,
    name: str | None = None,
    headers: dict[str, str] | None = None,
    context: ssl.SSLContext | None = None,
    processor: Processor | None = None,
    patience_s: float = TIMEOUT_S,
) -> Iterator[Server]:
    """Start a server on a free port, wait until it is ready, and stop it afterwards.

    With `name`, that model must answer like the committed bundle; otherwise the first bundle is served.
    """
    process, lines = start(*options, bundles=bundles, environment=environment, processor=processor)
    try:
        served = "edgecnn serves"
        wait_for(lambda: any(served in line for line in lines) or process.poll() is not None, limit_s=patience_s)
        assert process.poll() is None, lines
        found = next(match for line in lines if (match := _LINE.search(line)))
        bundle = open_bundle(bundles[0] if name is None else COMMITTED)
        yield Server(process, lines, int(found[3]), bundle, name=name, headers=headers, context=context)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start(
    *options: object,
    bundles: Sequence[Path] = (COMMITTED,),
    environment: dict[str, str] | None = None,
    processor: Processor | None = None,
) -> tuple["subprocess.Popen[str]", list[str]]:
    """Start `edgecnn serve`, optionally on an emulated processor; return the process and its growing log."""
    arguments = ["-m", "edgecnn", "serve", *map(str, bundles), "--port", "0", *map(str, options)]
    command = processor.command(*arguments) if processor else [sys.executable, *arguments]
    base = processor.environment() if processor else child_environment()
    process = subprocess.Popen(
        command, env=base | (environment or {}), stderr=subprocess.PIPE, text=True, errors="replace"
    )
    lines: list[str] = []

    def read() -> None:
        assert process.stderr is not None
        with process.stderr as stream:
            for line in stream:
                lines.append(line)  # line by line, not at the end

    threading.Thread(target=read, daemon=True).start()
    return process, lines


def _digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}
