"""Attacks that are not a crowd of equal connections: long requests, a stopped worker, and overload under wrk."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

import numpy as np

from benchmarks.common.proc import started_at
from benchmarks.serving.attack.crowd import Counts
from benchmarks.serving.attack.inputs import FOLDER, GREY_28, PALETTE_64
from benchmarks.serving.attack.target import SERVER, Target, post
from benchmarks.serving.requests import IHCL, Request
from benchmarks.serving.server import status
from benchmarks.serving.wrk import Wrk

NEXT_PICTURE_S, BACK_S = "next picture, s", "worker back, s"
_IMAGES, _TIMEOUT_US, _LEAVES_AFTER_S = 32, 2_000_000, 0.5
_LONGEST_S = 60.0


def long_request(target: Target, seconds: float, *, connections: int) -> Counts:
    """Send 32 images of 64 megapixels on each connection and leave; then time a small image, again and again."""
    file = (FOLDER / PALETTE_64).read_bytes()
    tensor = (len(file).to_bytes(4, "little") + file) * _IMAGES
    sizes = {"binary_data_size": len(tensor)}
    described = {"name": "image", "datatype": "BYTES", "shape": [_IMAGES], "parameters": sizes}
    header = json.dumps({"inputs": [described], "parameters": {"timeout": _TIMEOUT_US}}).encode()
    request = post(target.infer_path, f"{IHCL}: {len(header)}\r\n", header + tensor)
    small = post(target.infer_path, "Content-Type: image/png\r\n", (FOLDER / GREY_28).read_bytes())
    end, counts = time.monotonic() + seconds, Counts({"requests": 0, NEXT_PICTURE_S: 0.0})
    while time.monotonic() < end:
        threads = [threading.Thread(target=_leave, args=(target.port, request)) for _ in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts["requests"] += connections
        counts[NEXT_PICTURE_S] = max(counts[NEXT_PICTURE_S], _seconds_to_answer(target.port, small))
    return counts


def _leave(port: int, request: bytes) -> None:
    with contextlib.suppress(OSError), socket.create_connection((SERVER, port), _LONGEST_S) as sock:
        sock.sendall(request)
        time.sleep(_LEAVES_AFTER_S)


def _seconds_to_answer(port: int, request: bytes) -> float:
    """Return the time until the answer 200; 503 is repeated after its `Retry-After`."""
    start = time.monotonic()
    while time.monotonic() < start + _LONGEST_S:
        with contextlib.suppress(OSError), socket.create_connection((SERVER, port), _LONGEST_S) as sock:
            sock.sendall(request)
            if sock.recv(1 << 16).startswith(b"HTTP/1.1 200"):
                return time.monotonic() - start
        time.sleep(0.1)
    return _LONGEST_S


def stop_worker(target: Target, seconds: float) -> Counts:
    """Stop the worker process (SIGSTOP), and wait until the server answers again, with another worker."""
    start, began = time.monotonic(), started_at(target.worker_pid)
    os.kill(target.worker_pid, signal.SIGSTOP)
    while time.monotonic() < start + max(seconds, _LONGEST_S) and status(target.port, "/v2/health/live") != 200:
        time.sleep(0.1)
    back_s = time.monotonic() - start
    if started_at(target.worker_pid) == began:
        os.kill(target.worker_pid, signal.SIGCONT)
    return {BACK_S: back_s}


def overload(target: Target, seconds: float, *, connections: int) -> Counts:
    """Send small inference requests with wrk, one at a time on each connection."""
    head, _, body = target.request.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    del fields["Content-Length"]
    request = Request(target.infer_path, body, fields, lambda _, answer: np.frombuffer(answer))
    try:
        load = Wrk(request, target.port, FOLDER / "wrk", connections=connections).run(seconds)
    except subprocess.CalledProcessError:  # wrk exits if its first connection fails
        return {"not connected": 1}
    return {"200": load.requests - load.refused, "refused": load.refused, "broken": load.broken}
