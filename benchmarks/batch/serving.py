"""A request of LeNet to `edgecnn serve`, to two of them behind a load balancer, and to Ray Serve with two replicas.

Run as a module, it starts the deployment on a port: `python -m benchmarks.batch.serving PORT`.
"""

import contextlib
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.common.results import COMMITTED
from benchmarks.serving.recipes import Recipe
from benchmarks.serving.server import Server, connection_to, free_ports
from edgecnn.bundle.store import open_bundle
from edgecnn.files.schema import plain
from edgecnn.tuning.measuring.estimates import ratio

DIRECT, BALANCED, RAY = "edgecnn serve", "two edgecnn serve behind HAProxy", "Ray Serve, two replicas"
_ROUNDS, _REQUESTS, _CONNECTIONS = 9, 200, 8
_READY = "/v2/health/ready"
_HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen edgecnn
    bind 127.0.0.1:{port}
    server one 127.0.0.1:{first}
    server two 127.0.0.1:{second}
"""


def measure_serving() -> list[dict[str, Any]]:
    """Return for each way the time of one request on one connection, and the requests per second on eight."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = {name: stack.enter_context(opened) for name, opened in _ways(folder)}
        times: dict[str, list[float]] = {name: [] for name in ports}
        rates: dict[str, list[float]] = {name: [] for name in ports}
        for round_ in range(_ROUNDS + 1):
            for name, port in ports.items():
                alone = _times(port, _REQUESTS)
                start = time.perf_counter()
                with ThreadPoolExecutor(_CONNECTIONS) as pool:
                    list(pool.map(_times, [port] * _CONNECTIONS, [_REQUESTS // 2] * _CONNECTIONS))
                rate = _CONNECTIONS * (_REQUESTS // 2) / (time.perf_counter() - start)
                if round_:  # the first round warms up
                    times[name].append(float(np.median(alone)) * 1000)
                    rates[name].append(rate)
    return [
        {
            "way": name,
            "ms": float(np.median(times[name])),
            "over_direct": plain(ratio(times[name], times[DIRECT])),
            "requests_per_s": float(np.median(rates[name])),
        }
        for name in times
    ]


def _ways(folder: Path) -> Iterator[tuple[str, contextlib.AbstractContextManager[int]]]:
    yield DIRECT, _served(folder)
    yield BALANCED, _balanced(folder)
    yield RAY, _opened([sys.executable, "-m", "benchmarks.batch.serving", "{port}"], folder / "ray.log")


@contextlib.contextmanager
def _opened(command: list[str], log: Path) -> Iterator[int]:
    with Server(Recipe(tuple(command), ready_path=_READY), log) as server:
        yield server.port


def _served(folder: Path) -> contextlib.AbstractContextManager[int]:
    command = [sys.executable, "-m", "edgecnn", "serve", str(COMMITTED), "--port", "{port}", "--threads", "1"]
    return _opened([*command, "--engine", "onnxruntime"], folder / "serve.log")


@contextlib.contextmanager
def _balanced(folder: Path) -> Iterator[int]:
    with _served(folder) as first, _served(folder) as second:
        config = folder / "haproxy.cfg"
        (port,) = free_ports(1)
        config.write_text(_HAPROXY.format(port=port, first=first, second=second))
        with Server(Recipe(("haproxy", "-db", "-f", str(config)), ready_path=_READY), folder / "p.log", port=port):
            yield port


def _times(port: int, requests: int) -> list[float]:
    """Return the seconds of requests on one connection, each with one image as JSON."""
    body, found = _body(), []
    connection = connection_to(port)
    for _ in range(requests):
        start = time.perf_counter()
        connection.request("POST", f"/v2/models/{COMMITTED.name}/infer", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        found.append(time.perf_counter() - start)
        assert response.status == 200, response.status
    connection.close()
    return found


def _body() -> bytes:
    image = open_bundle(COMMITTED).self_test().images[:1]
    tensor = {"name": "image", "datatype": "UINT8", "shape": image.shape, "data": image.ravel().tolist()}
    return orjson.dumps({"inputs": [tensor]})


def _deploy(port: int) -> None:
    """Serve the committed bundle with Ray Serve until this process is stopped."""
    import ray
    from ray import serve

    import edgecnn.ray

    ray.init(num_cpus=4, include_dashboard=False, object_store_memory=200 << 20, logging_level=logging.ERROR)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    application = edgecnn.ray.deployment(COMMITTED, engine="onnxruntime", min_replicas=2, max_replicas=2, max_delay_s=0)
    serve.run(application, blocking=True)


if __name__ == "__main__":
    _deploy(int(sys.argv[1]))
