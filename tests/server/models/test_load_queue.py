"""Orders to load and unload models: limited in number, merged if equal, dropped without clients."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from asking import refusal
from grpc_asking import asking
from held_engine import Engine
from model_versions import NAME, put
from server_process import Reply, Server, read_all, serving, wait_for
from tritonclient.grpc import service_pb2

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.models.load_queue import MOST_WAITING, LoadQueue


class Client:
    """Records the results of its orders."""

    def __init__(self) -> None:
        self.results: list[Refusal | None] = []


def taken(queue: LoadQueue) -> list[tuple[str, str]]:
    found = []
    while order := queue.take(0):
        found.append((order.action, order.name))
        order.end(None)
    return found


def test_merges_equal_waiting_orders():
    queue, clients = LoadQueue(), [Client() for _ in range(3)]
    for client in clients:
        queue.put("load", "a", client.results.append)
    queue.put("load", "b", Client().results.append)
    assert taken(queue) == [("load", "a"), ("load", "b")]
    assert [client.results for client in clients] == [[None]] * 3


def test_runs_different_orders_in_sequence():
    queue = LoadQueue()
    for action in ("load", "unload", "load"):
        queue.put(action, "a", Client().results.append)
    assert taken(queue) == [("load", "a"), ("unload", "a"), ("load", "a")]


def test_does_not_merge_with_a_started_order():
    queue = LoadQueue()
    queue.put("load", "a", Client().results.append)
    started = queue.take(0)
    assert started is not None
    queue.put("load", "a", Client().results.append)
    assert taken(queue) == [("load", "a")]


def test_drops_an_order_without_clients():
    queue, first, second = LoadQueue(), Client(), Client()
    leave_first, leave_second = (queue.put("unload", "a", client.results.append) for client in (first, second))
    leave_first()
    leave_first()
    assert taken(queue) == [("unload", "a")]
    assert (first.results, second.results) == ([], [None])
    leave_second()  # too late: the order has run
    leave = queue.put("unload", "a", second.results.append)
    leave()
    assert taken(queue) == []


def test_end_reports_to_all_clients():
    queue, clients = LoadQueue(), [Client(), Client()]
    queue.put("load", "a", clients[0].results.append)
    started = queue.take(0)
    queue.put("load", "b", clients[1].results.append)
    ending = Refusal("unready", "the server is shutting down")
    queue.end(ending)
    assert started is not None
    started.end(None)
    assert [client.results for client in clients] == [[ending], [ending]]
    assert queue.take(0) is None


@contextlib.contextmanager
def _blocked_preflight(folder: Path, *options: object) -> Iterator[tuple[Server, Engine, Callable[[], None]]]:
    """Serve a model with a new second version, whose preflight is blocked in the engine.

    Yields the server, its engine, and a function that waits until the preflight has started.
    """
    put(folder, 1)
    home = folder.parent / "engine"
    home.mkdir()
    engine = Engine(home)
    options = ("--model-control", "--watch-s", 0, "--engine", "openvino", *options)
    with serving(*options, bundles=[folder], name=NAME, environment=engine.environment) as server:
        engine.set("hold-2")
        put(folder, 2)
        before = len(engine.runs())
        yield server, engine, lambda: wait_for(lambda: len(engine.runs()) > before)


def _send(server: Server, action: str, name: str) -> socket.socket:
    sock = server.connect()
    sock.sendall(f"POST /v2/repository/models/{name}/{action} HTTP/1.1\r\nHost: localhost\r\n".encode())
    sock.sendall(b"Connection: close\r\nContent-Length: 0\r\n\r\n")
    return sock


def _ordered(server: Server, name: str) -> Reply | None:
    """Order a model to be loaded; return None without a response within a second."""
    with contextlib.suppress(TimeoutError):
        return server.request("POST", f"/v2/repository/models/{name}/load", b"", timeout_s=1.0)
    return None


@pytest.mark.slow
def test_limits_the_orders_that_wait(folder: Path):
    with _blocked_preflight(folder) as (server, engine, wait_for_preflight), contextlib.ExitStack() as clients:
        loading = clients.enter_context(_send(server, "load", NAME))
        wait_for_preflight()
        leaving = _send(server, "unload", NAME)
        waiting = [clients.enter_context(_send(server, "load", f"m{each}")) for each in range(MOST_WAITING - 1)]
        wait_for(lambda: _ordered(server, "more") is not None)
        refused = _ordered(server, "more")
        assert refused is not None
        assert refusal(refused, 503) == f"{MOST_WAITING} orders are already queued: try again later"
        assert refused.headers["retry-after"] == "1"
        assert _ordered(server, "m0") is None  # merged with a waiting order
        leaving.close()
        wait_for(lambda: _ordered(server, "more") is None)
        engine.clear("hold-2")
        assert read_all(loading).startswith(b"HTTP/1.1 200")
        assert all(read_all(each).startswith(b"HTTP/1.1 404") for each in waiting)
        assert server.get(f"/v2/models/{NAME}/versions/2/ready").status == 200  # it was not unloaded
        wait_for(server.balanced)


@pytest.mark.slow
def test_drops_a_grpc_order_at_its_deadline(folder: Path):
    options = ("--grpc-port", 0, "--access-log")
    with _blocked_preflight(folder, *options) as (server, engine, wait_for_preflight), asking(server) as asker:
        loading = asker.begin("RepositoryModelLoad", service_pb2.RepositoryModelLoadRequest(model_name=NAME))
        wait_for_preflight()
        unload = service_pb2.RepositoryModelUnloadRequest(model_name=NAME)
        with pytest.raises(grpc.RpcError) as caught:
            asker.ask("RepositoryModelUnload", unload, timeout_s=0.5)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        wait_for(lambda: any("RepositoryModelUnload" in line and "CANCELLED" in line for line in server.lines))
        engine.clear("hold-2")
        loading.result()
        assert server.get(f"/v2/models/{NAME}/versions/2/ready").status == 200
