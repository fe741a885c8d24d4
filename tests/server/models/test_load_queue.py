"""Orders to load and unload: bounded, one where they ask for the same, and dropped when nobody waits for them."""

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
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Refusal | None] = []


def taken(orders: LoadQueue) -> list[tuple[str, str]]:
    found = []
    while order := orders.take(0):
        found.append((order.action, order.name))
        order.end(None)
    return found


def test_orders_that_wait_and_ask_for_the_same_are_one():
    orders, clients = LoadQueue(), [Client() for _ in range(3)]
    for client in clients:
        orders.put("load", "a", client.told.append)
    orders.put("load", "b", Client().told.append)
    assert taken(orders) == [("load", "a"), ("load", "b")]
    assert [client.told for client in clients] == [[None]] * 3


def test_the_last_order_for_a_model_has_the_last_word():
    orders = LoadQueue()
    for action in ("load", "unload", "load"):
        orders.put(action, "a", Client().told.append)
    assert taken(orders) == [("load", "a"), ("unload", "a"), ("load", "a")]


def test_an_order_that_has_begun_is_not_one_with_what_comes_then():
    orders = LoadQueue()
    orders.put("load", "a", Client().told.append)
    begun = orders.take(0)
    assert begun is not None
    orders.put("load", "a", Client().told.append)
    assert taken(orders) == [("load", "a")]


def test_what_nobody_waits_for_is_not_carried_out():
    orders, first, second = LoadQueue(), Client(), Client()
    leave_first, leave_second = (orders.put("unload", "a", client.told.append) for client in (first, second))
    leave_first()
    leave_first()
    assert taken(orders) == [("unload", "a")]
    assert (first.told, second.told) == ([], [None])
    leave_second()  # it is too late for that
    leave = orders.put("unload", "a", second.told.append)
    leave()
    assert taken(orders) == []


def test_when_the_server_ends_everybody_is_told_and_nothing_more_begins():
    orders, clients = LoadQueue(), [Client(), Client()]
    orders.put("load", "a", clients[0].told.append)
    begun = orders.take(0)
    orders.put("load", "b", clients[1].told.append)
    ending = Refusal("unready", "the server is about to end")
    orders.end(ending)
    assert begun is not None
    begun.end(None)
    assert [client.told for client in clients] == [[ending], [ending]]
    assert orders.take(0) is None


@contextlib.contextmanager
def _holding_a_trial(folder: Path, *options: object) -> Iterator[tuple[Server, Engine, Callable[[], None]]]:
    """Serve a model whose second version has come, and whose trial takes until the engine is told otherwise.

    Yields the server, its engine, and what waits until the trial has begun.
    """
    put(folder, 1)
    home = folder.parent / "engine"
    home.mkdir()
    engine = Engine(home)
    options = ("--model-control", "--watch-s", 0, "--backend", "openvino", *options)
    with serving(*options, bundles=[folder], name=NAME, environment=engine.environment) as server:
        engine.tell("hold-2")
        put(folder, 2)
        before = len(engine.runs())
        yield server, engine, lambda: wait_for(lambda: len(engine.runs()) > before)


def _send(server: Server, action: str, name: str) -> socket.socket:
    sock = server.connect()
    sock.sendall(f"POST /v2/repository/models/{name}/{action} HTTP/1.1\r\nHost: localhost\r\n".encode())
    sock.sendall(b"Connection: close\r\nContent-Length: 0\r\n\r\n")
    return sock


def _asked(server: Server, name: str) -> Reply | None:
    """Ask for a model, and give up soon: None where the order waits."""
    with contextlib.suppress(TimeoutError):
        return server.request("POST", f"/v2/repository/models/{name}/load", b"", timeout_s=1.0)
    return None


@pytest.mark.slow
def test_as_many_wait_as_may_and_who_leaves_makes_room(folder: Path):
    with _holding_a_trial(folder) as (server, engine, wait_for_trial), contextlib.ExitStack() as clients:
        loading = clients.enter_context(_send(server, "load", NAME))
        wait_for_trial()
        leaving = _send(server, "unload", NAME)
        waiting = [clients.enter_context(_send(server, "load", f"m{each}")) for each in range(MOST_WAITING - 1)]
        wait_for(lambda: _asked(server, "more") is not None)
        refused = _asked(server, "more")
        assert refused is not None
        assert refusal(refused, 503) == f"{MOST_WAITING} orders wait already: try again later"
        assert refused.headers["retry-after"] == "1"
        assert _asked(server, "m0") is None  # it waits already
        leaving.close()
        wait_for(lambda: _asked(server, "more") is None)
        engine.untell("hold-2")
        assert read_all(loading).startswith(b"HTTP/1.1 200")
        assert all(read_all(each).startswith(b"HTTP/1.1 404") for each in waiting)
        assert server.get(f"/v2/models/{NAME}/versions/2/ready").status == 200  # it was not unloaded
        wait_for(server.balanced)


@pytest.mark.slow
def test_an_order_over_grpc_whose_deadline_passes_before_it_begins_is_not_carried_out(folder: Path):
    options = ("--grpc-port", 0, "--access-log")
    with _holding_a_trial(folder, *options) as (server, engine, wait_for_trial), asking(server) as asker:
        loading = asker.begin("RepositoryModelLoad", service_pb2.RepositoryModelLoadRequest(model_name=NAME))
        wait_for_trial()
        unload = service_pb2.RepositoryModelUnloadRequest(model_name=NAME)
        with pytest.raises(grpc.RpcError) as caught:
            asker.ask("RepositoryModelUnload", unload, timeout_s=0.5)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        wait_for(lambda: any("RepositoryModelUnload" in line and "CANCELLED" in line for line in server.lines))
        engine.untell("hold-2")
        loading.result()
        assert server.get(f"/v2/models/{NAME}/versions/2/ready").status == 200
