"""Send SIGTERM at random moments under load, and check that every accepted request is answered.

Each run starts a server and clients that send continuously on persistent raw sockets, and sends one SIGTERM to the
started process. A request is lost if its client has no complete answer although it was sent completely before the
signal, the server's log reports an answer, or a part of the answer arrived. A request that was sent after the signal on
a connection that the server was closing, and that is not in its log, was never accepted: HTTP lets a client repeat it.
Writes the data and `results/sigterm.md`.

    python -m benchmarks.serving.sigterm [--runs 200]
"""

import collections
import json
import random
import signal
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common.results import command_line, origin, output
from benchmarks.common.tables import cell, digits, table, where
from benchmarks.serving import requests
from benchmarks.serving.page import median
from benchmarks.serving.recipes import SERVING, edgecnn
from benchmarks.serving.server import Server
from benchmarks.serving.ways import bundle_of

CLIENTS = 8
_MOMENT_S = (0.05, 0.8)
_TIMEOUT_S = 20.0
_ANSWERED = {200, 503}


@dataclass
class Sent:
    """One request.

    Attributes:
        id: in the server's log.
        at: when the system accepted its last byte.
        outcome: the status of its answer, or `closed`, `reset`, `partial` or `silence` without one.
    """

    id: str
    at: float
    outcome: int | str = "silence"


@dataclass
class Client:
    """Sends continuously until no server listens any more."""

    number: int
    port: int
    request: requests.Request
    sent: list[Sent] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Use a connection until it closes, then open another."""
        while not self.stopping.is_set():
            try:
                sock = socket.create_connection(("127.0.0.1", self.port), timeout=_TIMEOUT_S)
            except OSError:
                return
            with sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while not self.stopping.is_set() and self._ask(sock):
                    pass

    def _ask(self, sock: socket.socket) -> bool:
        """Send one request and read its answer; return whether the connection can be used again."""
        name = f"{self.number}-{len(self.sent)}"
        try:
            sock.sendall(self.request.wire(extra=f"X-Request-ID: {name}\r\n"))
        except OSError:
            return False  # the request was not sent completely
        sent = Sent(name, time.perf_counter())
        self.sent.append(sent)
        sent.outcome, keep = _answer(sock)
        return keep


def _answer(sock: socket.socket) -> tuple[int | str, bool]:
    read = b""
    try:
        while b"\r\n\r\n" not in read:
            more = sock.recv(65536)
            if not more:
                return ("partial" if read else "closed"), False
            read += more
        text, _, body = read.partition(b"\r\n\r\n")
        head = requests.parse_head(text)
        while len(body) < head.length:
            more = sock.recv(65536)
            if not more:
                return "partial", False
            body += more
    except TimeoutError:
        return "silence", False
    except OSError:
        return ("partial" if read else "reset"), False
    return head.status, not head.is_last


def one(seed: int) -> dict[str, Any]:
    """Start a server, load it, stop it at a random moment, and count the outcomes."""
    bundle = bundle_of("lenet", "fp32")
    request = requests.v2_binary(bundle.manifest.name, bundle.self_test().images[:1])
    options = ("--engine", "onnxruntime", "--threads", "1", "--access-log", "--log-format", "json")
    recipe = edgecnn(bundle.path, *options)
    log = SERVING / "logs" / "sigterm.log"
    with Server(recipe, log) as server:
        clients = [Client(number, server.port, request) for number in range(CLIENTS)]
        threads = [threading.Thread(target=client.run) for client in clients]
        for thread in threads:
            thread.start()
        time.sleep(random.Random(seed).uniform(*_MOMENT_S))  # noqa: S311  # no secret
        signalled = time.perf_counter()
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(_TIMEOUT_S * 2)
        exit_s = time.perf_counter() - signalled
        for client in clients:
            client.stopping.set()
        for thread in threads:
            thread.join()
    return count([sent for client in clients for sent in client.sent], answered_ids(log), signalled) | {
        "exit_code": code,
        "exit_s": exit_s,
    }


def answered_ids(log: Path) -> set[str]:
    """Return the ids of the requests that the server's log reports as answered."""
    lines = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    return {line["id"] for line in lines if line["message"] == "answered"}


def count(sent: list[Sent], answered: set[str], signalled: float) -> dict[str, Any]:
    """Count the outcomes of the requests of one run.

    Args:
        sent: all requests.
        answered: ids of the requests that the server reports as answered.
        signalled: when the signal was sent.
    """
    without = [each for each in sent if isinstance(each.outcome, str)]
    lost = [
        each for each in without if each.outcome in {"partial", "silence"} or each.at < signalled or each.id in answered
    ]
    statuses = collections.Counter(str(each.outcome) for each in sent if isinstance(each.outcome, int))
    return {
        "sent": len(sent),
        "sent_after_signal": sum(each.at >= signalled for each in sent),
        "statuses": dict(statuses),
        "unexpected": sum(isinstance(each.outcome, int) and each.outcome not in _ANSWERED for each in sent),
        "lost": len(lost),
        "lost_how": dict(collections.Counter(str(each.outcome) for each in lost)),
        "never_in": len(without) - len(lost),
    }


def main() -> None:
    """Repeat the run, and write the results."""
    parser = command_line(__doc__)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    runs = []
    for number in range(options.runs):
        runs.append(one(number))
        if runs[-1]["lost"] or runs[-1]["exit_code"]:
            print(number, runs[-1], flush=True)
    statuses: collections.Counter[str] = collections.Counter()
    for run in runs:
        statuses.update(run["statuses"])
    result = origin() | {
        "runs": len(runs),
        "clients": CLIENTS,
        "statuses": dict(statuses),
        "exit_codes": dict(collections.Counter(str(run["exit_code"]) for run in runs)),
        "exit_s": median([run["exit_s"] for run in runs]),
        "longest_exit_s": max(run["exit_s"] for run in runs),
    }
    result |= {name: sum(run[name] for run in runs) for name in ("sent", "sent_after_signal", "lost", "never_in")}
    result |= {"unexpected": sum(run["unexpected"] for run in runs), "each": runs}
    output("sigterm", options.out).write(result, page(result))
    print(page(result))


def page(result: Mapping[str, Any]) -> str:
    """Write the outcomes of the requests of all runs."""
    figures = {
        "servers stopped": result["runs"],
        "clients": result["clients"],
        "requests sent": result["sent"],
        "sent after the signal": result["sent_after_signal"],
        **{f"answered with {status}": count for status, count in sorted(result["statuses"].items())},
        "answered with another status than 200 or 503": result["unexpected"],
        "lost": result["lost"],
        "never accepted": result["never_in"],
        **{f"exit code {code}": count for code, count in sorted(result["exit_codes"].items())},
    }
    rows = [[name, f"{count:,}"] for name, count in figures.items()]
    rows.append(
        ["from the signal to the exit, s", f"{cell(result['exit_s'])}, at most {digits(result['longest_exit_s'])}"]
    )
    return "\n".join([_TITLE, "", table(["figure", "measured"], rows), "", where(result), ""])


_TITLE = """# SIGTERM under load

Written by `python -m benchmarks.serving.sigterm`: each server gets one SIGTERM at a random moment, while clients send
continuously. A request is lost if the server accepted it and its client has no complete answer."""


if __name__ == "__main__":
    main()
