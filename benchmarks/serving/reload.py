"""Measure loading of new versions under load: lost requests, wrong answers and latency.

Clients on persistent connections send one request after the other while new versions of the same bundle are copied to
the server's folder. A swap lasts from the copy until the first answer of the new version. Latencies of requests that
overlap with a swap are compared with the other requests of the run. Writes the data and `results/reload.md`.

    python -m benchmarks.serving.reload [--swaps 20] [NETWORK…]
"""

import http.client
import json
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.results import command_line, origin, output
from benchmarks.common.tables import digits, table, where
from benchmarks.serving import requests
from benchmarks.serving.recipes import SERVING, edgecnn
from benchmarks.serving.server import Server
from benchmarks.serving.ways import bundle_of
from edgecnn.bundle.store import Bundle
from edgecnn.files.digest import digest_file

NETWORKS = ("lenet", "resnet18", "vgg16")
CLIENTS = 4
_QUIET_S = 2.0
_PATIENCE_S = 180.0
_TIMEOUT_S = 60.0


@dataclass
class Client:
    """Sends one request after the other.

    Attributes:
        answers: for each request its start, its duration in seconds, and the digest in the answer.
        lost: results other than the correct answer.
    """

    port: int
    request: requests.Request
    expected: np.ndarray
    ended: threading.Event
    answers: list[tuple[float, float, str]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Send requests until `ended` is set."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_S)
        while not self.ended.is_set():
            start = time.perf_counter()
            try:
                connection.request("POST", self.request.path, self.request.body, self.request.headers)
                answer = connection.getresponse()
                body = answer.read()
            except OSError as error:
                self.lost.append(type(error).__name__)
                connection.close()
                continue
            headers = {name.lower(): value for name, value in answer.getheaders()}
            if answer.status != 200 or not np.array_equal(self.request.logits(headers, body), self.expected):
                self.lost.append(f"status {answer.status}")
                continue
            self.answers.append((start, time.perf_counter() - start, headers["x-bundle-digest"]))
        connection.close()


def put(bundle: Bundle, folder: Path, number: int) -> str:
    """Copy a bundle to a folder as another version; return its digest."""
    aside = folder / f".{number}"
    shutil.copytree(bundle.path, aside)
    manifest = json.loads((aside / "manifest.json").read_text())
    manifest["annotations"] = {"version": str(number)}
    (aside / "manifest.json").write_text(json.dumps(manifest))
    return digest_file(aside.rename(folder / str(number)) / "manifest.json")


def measure(network: str, swaps: int) -> dict[str, Any]:
    """Swap versions of one network under load, a number of times."""
    bundle = bundle_of(network, "int8")
    folder = SERVING / "reload" / network
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    put(bundle, folder, 1)
    recipe = edgecnn(folder, "--engine", "onnxruntime", "--watch-s", "0.1", "--cache")
    with Server(recipe, SERVING / "logs" / "reload.log") as server:
        request = requests.v2_binary(network, bundle.self_test().images[:1])
        expected = request.send(server.port)
        ended = threading.Event()
        clients = [Client(server.port, request, expected, ended) for _ in range(CLIENTS)]
        threads = [threading.Thread(target=client.run) for client in clients]
        for thread in threads:
            thread.start()
        windows = []
        for number in range(2, swaps + 2):
            time.sleep(_QUIET_S)
            windows.append(_swap(bundle, folder, number, clients))
            shutil.rmtree(folder / str(number - 1))
        time.sleep(_QUIET_S)
        ended.set()
        for thread in threads:
            thread.join()
    shutil.rmtree(folder)
    return summary(windows, [each for client in clients for each in client.answers]) | {
        "network": network,
        "swaps": swaps,
        "lost": [each for client in clients for each in client.lost],
    }


def _swap(bundle: Bundle, folder: Path, number: int, clients: list[Client]) -> tuple[float, float]:
    """Copy a version, and wait until it has answered every client."""
    start = time.perf_counter()
    digest = put(bundle, folder, number)
    while not all(client.answers and client.answers[-1][2] == digest for client in clients):
        if time.perf_counter() - start > _PATIENCE_S:
            raise RuntimeError(f"version {number} of {folder.name} was not served within {_PATIENCE_S:g} s")
        time.sleep(0.01)
    return start, time.perf_counter()


def summary(windows: list[tuple[float, float]], answers: list[tuple[float, float, str]]) -> dict[str, Any]:
    """Compare latencies within swaps with those outside.

    Args:
        windows: start and end of each swap, in seconds.
        answers: see `Client`.
    """
    begun = np.array([start for start, _, _ in answers])
    took = np.array([seconds for _, seconds, _ in answers])
    within = np.zeros(len(answers), bool)
    for start, end in windows:
        within |= (begun + took >= start) & (begun <= end)
    return {
        "answers": len(answers),
        "versions_seen": len({digest for _, _, digest in answers}),
        "swap_s": float(np.median([end - start for start, end in windows])),
        "quiet_ms": _latencies(took[~within]),
        "swapping_ms": _latencies(took[within]),
    }


def _latencies(seconds: np.ndarray) -> dict[str, float]:
    at = {"p50": 50, "p99": 99, "p99.9": 99.9, "max": 100}
    return {name: 1000 * float(np.percentile(seconds, percent)) for name, percent in at.items()}


def main() -> None:
    """Measure each network and write the results."""
    parser = command_line(__doc__)
    parser.add_argument(
        "networks",
        nargs="*",
        default=NETWORKS,
        metavar="NETWORK",
        help="default: LeNet, ResNet-18 and VGG-16",
    )
    parser.add_argument("--swaps", type=int, default=20)
    options = parser.parse_args()
    found = []
    for network in options.networks:
        found.append(measure(network, options.swaps))
        print(json.dumps(found[-1], indent=1), flush=True)
    result = origin() | {"clients": CLIENTS, "networks": found}
    output("reload", options.out).write(result, page(result))


def page(result: Mapping[str, Any]) -> str:
    """Write the number of answers and their latencies, within swaps and outside."""
    rows = []
    for each in result["networks"]:
        times = [digits(each[phase][name]) for phase in ("quiet_ms", "swapping_ms") for name in ("p50", "p99", "max")]
        counts = (f"{count:,}" for count in (each["swaps"], each["answers"], len(each["lost"])))
        rows.append([each["network"], *counts, digits(each["swap_s"]), *times])
    measured = (
        "median, ms",
        "p99, ms",
        "longest, ms",
        "median in a swap, ms",
        "p99 in a swap, ms",
        "longest in a swap, ms",
    )
    header = ["network", "swaps", "answers", "lost", "swap, s", *measured]
    return "\n".join([_TITLE.format(**result), "", table(header, rows), "", where(result), ""])


_TITLE = """# New versions under load

Written by `python -m benchmarks.serving.reload`: {clients} clients send one INT8 request each at a time, while new
versions of the model are copied to the server's folder. A swap ends with the first answer of the new version to each
client. The columns without "in a swap" cover requests that overlap with no swap."""


if __name__ == "__main__":
    main()
