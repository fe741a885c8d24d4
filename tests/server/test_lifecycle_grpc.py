"""A server's days over gRPC: what comes too late, who leaves, how it ends, and who dies meanwhile.

The number in a comment is the row of the project's table of faults.
"""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from grpc_asking import Asker, asking, counted, refused
from held_engine import Engine, Held, holding
from server_process import Server, serving, start, wait_for

from edgecnn.server.supervisor.listening import reserve

PATIENCE_S = 30.0
GRPC = ("--grpc-port", 0)


@pytest.fixture(scope="module")
def holding_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """A server whose engine is in our hand, over gRPC too."""
    with holding(tmp_path_factory.mktemp("engine"), "--max-batch", 3, "--max-queue", 16, *GRPC) as held:
        yield held


@pytest.fixture
def asker(held: Held) -> Iterator[Asker]:
    with asking(held.server) as asker:
        yield asker


def failed(server: Server, reason: str) -> float:
    return sum(
        sample.value
        for sample in server.samples()
        if sample.name == "edgecnn_requests_failed_total" and sample.labels["reason"] == reason
    )


def occupy(held: Held, asker: Asker) -> object:
    """Ask over gRPC and return once the engine, which is held and idle, runs it."""
    before = len(held.engine.runs())
    answer = asker.begin("ModelInfer", asker.request(held.server.images[:1]))
    wait_for(lambda: len(held.engine.runs()) > before)
    return answer


def test_a_deadline_that_passes_in_the_queue_is_late_and_never_run(held: Held, asker: Asker):  # 67
    server, runs = held.server, len(held.engine.runs())
    before = failed(server, "late"), server.metrics()["cancelled"]
    with held.engine.held():
        running = held.occupy()
        for timeout_s in (0.05, 0.3):
            message = asker.request(server.images[:2])
            assert refused(lambda m=message, t=timeout_s: asker.ask("ModelInfer", m, timeout_s=t))[0] == (
                "DEADLINE_EXCEEDED"
            )
        wait_for(lambda: failed(server, "late") == before[0] + 2)
        assert server.metrics()["in_flight"] == 1
    assert running.result().status == 200
    assert held.engine.runs()[runs:] == [1]
    assert server.metrics()["cancelled"] == before[1]


def test_a_timeout_within_the_request_counts_where_it_is_shorter_than_the_deadline(held: Held, asker: Asker):  # 67
    message = asker.request(held.server.images[:2])
    message.parameters["timeout"].uint64_param = 50_000
    with held.engine.held():
        held.occupy()
        code, text = refused(lambda: asker.ask("ModelInfer", message, timeout_s=PATIENCE_S))
    assert code == "DEADLINE_EXCEEDED"
    assert text == "the request's timeout passed while it was queued; it was not executed"


def test_a_deadline_that_is_kept_changes_nothing(held: Held, asker: Asker):
    images = held.server.images[:3]
    assert np.array_equal(asker.infer(images), held.server.logits(images))


def test_a_call_that_is_cancelled_while_it_waits_is_never_run(held: Held, asker: Asker):
    server, runs = held.server, len(held.engine.runs())
    before = server.metrics()["cancelled"]
    with held.engine.held():
        running = held.occupy()
        waiting = asker.begin("ModelInfer", asker.request(server.images[:2]))
        wait_for(lambda: server.metrics()["in_flight"] == 2)
        waiting.cancel()
        wait_for(lambda: server.metrics()["cancelled"] == before + 1)
        assert server.metrics()["in_flight"] == 1
    assert running.result().status == 200
    assert held.engine.runs()[runs:] == [1]


def test_a_call_that_is_cancelled_in_its_run_is_counted_and_harms_nobody(held: Held, asker: Asker):
    server = held.server
    before = server.metrics()["cancelled"]
    with held.engine.held():
        running = occupy(held, asker)
        patient = held.queue(1)
        running.cancel()  # type: ignore[attr-defined]
        wait_for(lambda: server.metrics()["cancelled"] == before + 1)
        assert not patient[0].done()
    assert patient[0].result(PATIENCE_S).status == 200
    assert np.array_equal(asker.infer(server.images[:1]), server.logits(server.images[:1]))


def test_a_connection_that_is_lost_cancels_its_calls(held: Held):
    server = held.server
    before = server.metrics()["cancelled"]
    with held.engine.held():
        with asking(server) as leaver:
            occupy(held, leaver)
        wait_for(lambda: server.metrics()["cancelled"] == before + 1)


def test_a_full_queue_refuses_at_once_and_answers_all_that_it_took(held: Held, asker: Asker):  # 66
    server = held.server
    before = server.metrics()["received"], counted(server).get("UNAVAILABLE", 0.0)
    late = threading.Event()

    def never() -> Iterator[bytes]:
        late.wait(PATIENCE_S)
        yield b""

    with held.engine.held():
        accepted = [held.occupy(), *held.queue(15)]
        for messages in ([asker.request(server.images[:1]).SerializeToString()], never()):
            code, text = refused(lambda messages=messages: asker.send("ModelInfer", messages))
            assert (code, text) == ("UNAVAILABLE", "16 requests wait already: try again later")
        assert not late.is_set()
        late.set()
        assert asker.ask("ServerReady")[0] == b"\x08\x01"
    assert {answer.result().status for answer in accepted} == {200}
    # Which model a call is for stands in its message, which has not been looked at.
    assert server.metrics()["received"] == before[0] + 16
    assert counted(server)["UNAVAILABLE"] == before[1] + 2


def test_requests_of_both_protocols_share_a_run(held: Held, asker: Asker):
    runs = len(held.engine.runs())
    with held.engine.held():
        held.occupy()
        over_http = held.queue(1)
        over_grpc = asker.begin("ModelInfer", asker.request(held.server.images[:2]))
        wait_for(lambda: held.server.metrics()["in_flight"] == 3)
    assert over_http[0].result(PATIENCE_S).status == 200
    assert over_grpc.result(PATIENCE_S)
    assert held.engine.runs()[runs:] == [1, 3]


def test_at_the_end_all_that_was_accepted_is_answered(tmp_path: Path):  # 69
    with holding(tmp_path, "--max-batch", 3, *GRPC) as held:
        server = held.server
        with asking(server) as asker, held.engine.held():
            accepted = [occupy(held, asker)]
            accepted += [asker.begin("ModelInfer", asker.request(server.images[:2])) for _ in range(3)]
            wait_for(lambda: server.metrics()["in_flight"] == 4)
            server.process.send_signal(signal.SIGTERM)
            wait_for(lambda: asker.ask("ServerReady")[0] == b"")  # false, as protobuf writes it
            assert asker.ask("ServerLive")[0] == b"\x08\x01"
            code, text = refused(lambda: asker.ask("ModelInfer", asker.request(server.images[:1])))
            assert (code, text) == ("UNAVAILABLE", "the server is about to end: ask another one")
            assert not any(answer.done() for answer in accepted)
            held.engine.untell("hold")
            assert all(answer.result(PATIENCE_S) for answer in accepted)
        assert server.process.wait(PATIENCE_S) == 0
        assert not [line for line in server.lines if "ERROR" in line or "Traceback" in line]


def test_when_the_grace_time_is_over_it_ends_and_says_that_something_was_lost(tmp_path: Path):  # 69
    with holding(tmp_path, "--grace-s", 0.5, *GRPC) as held, asking(held.server) as asker, held.engine.held():
        lost = occupy(held, asker)
        assert held.server.stop() == 1
        assert refused(lost.result)[0] == "UNAVAILABLE"  # type: ignore[attr-defined]


def test_an_idle_connection_does_not_hold_up_the_end():
    with serving(*GRPC) as server, asking(server) as asker:
        asker.ask("ServerLive")
        assert server.stop() == 0


def test_a_worker_that_is_killed_comes_back_at_the_same_port():  # 71
    with serving(*GRPC) as server, asking(server, grpc__max_reconnect_backoff_ms=200) as asker:
        expected = asker.infer(server.images[:3])
        (worker,) = server.worker_pids()
        os.kill(worker, signal.SIGKILL)
        assert refused(lambda: asker.ask("ServerReady"))[0] == "UNAVAILABLE"
        wait_for(lambda: any("the worker is ready again" in line for line in server.lines))
        wait_for(lambda: _is_live(asker))
        assert np.array_equal(asker.infer(server.images[:3]), expected)
        server.unharmed()


def _is_live(asker: Asker) -> bool:
    try:
        return asker.ask("ServerReady")[0] == b"\x08\x01"
    except Exception:
        return False


def test_a_port_that_cannot_be_had_is_told_before_anything_is_loaded(tmp_path: Path):  # 73
    engine = Engine(tmp_path)
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        serving(*GRPC) as server,
        contextlib.closing(reserve("127.0.0.1", 0)) as reserved,  # as by a server that loads yet
    ):
        for address in (f"127.0.0.1:{other.getsockname()[1]}", server.grpc_address, reserved.address):
            port = address.rpartition(":")[2]
            process, lines = start("--backend", "openvino", "--grpc-port", port, environment=engine.environment)
            assert process.wait(PATIENCE_S) == 2
            wait_for(lambda lines=lines: lines)
            (line,) = lines
            assert line.startswith(f"error: port {port} of 127.0.0.1 is taken")
            assert "--grpc-port" in line
    assert not engine.runs()
