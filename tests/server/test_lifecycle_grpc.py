"""Lifecycle behaviour that only gRPC has: deadlines, and rejections before the message arrives.

The number in a comment is a row in the project's table of faults.
"""

import threading
from collections.abc import Iterator

import pytest
from grpc_asking import Asker, asking, counted, error_of
from held_engine import Held
from server_process import wait_for

PATIENCE_S = 30.0


@pytest.fixture
def asker(held: Held) -> Iterator[Asker]:
    with asking(held.server) as asker:
        yield asker


def late(held: Held) -> float:
    samples = (each for each in held.server.samples() if each.name == "edgecnn_requests_failed_total")
    return sum(each.value for each in samples if each.labels["reason"] == "late")


def test_never_runs_a_call_after_its_deadline(held: Held, asker: Asker):  # 67
    server, runs = held.server, len(held.engine.runs())
    before = late(held), server.metrics()["cancelled"]
    with held.engine.held():
        running = held.occupy()
        for timeout_s in (0.05, 0.3):
            message = asker.request(server.images[:2])
            code, _ = error_of(lambda m=message, t=timeout_s: asker.ask("ModelInfer", m, timeout_s=t))
            assert code == "DEADLINE_EXCEEDED"
        wait_for(lambda: late(held) == before[0] + 2)
        assert server.metrics()["in_flight"] == 1
    assert running.result().status == 200
    assert held.engine.runs()[runs:] == [1]
    assert server.metrics()["cancelled"] == before[1]


def test_full_queue_rejects_before_the_message(held: Held, asker: Asker):  # 66
    server = held.server
    before = server.metrics()["received"], counted(server).get("UNAVAILABLE", 0.0)
    arrives = threading.Event()

    def withheld() -> Iterator[bytes]:
        arrives.wait(PATIENCE_S)
        yield b""

    with held.engine.held():
        accepted = [held.occupy(), *held.queue(15)]
        answer = error_of(lambda: asker.send("ModelInfer", withheld()))
        assert answer == ("UNAVAILABLE", "16 requests are already queued: try again later")
        arrives.set()
    assert {answer.result().status for answer in accepted} == {200}
    # The message would name the model, so the call is counted for no model.
    assert server.metrics()["received"] == before[0] + 16
    assert counted(server)["UNAVAILABLE"] == before[1] + 1


def test_both_protocols_share_a_run(held: Held, asker: Asker):
    runs = len(held.engine.runs())
    with held.engine.held():
        held.occupy()
        over_http = held.queue(1)
        over_grpc = asker.begin("ModelInfer", asker.request(held.server.images[:2]))
        wait_for(lambda: held.server.metrics()["in_flight"] == 3)
    assert over_http[0].result(PATIENCE_S).status == 200
    assert over_grpc.result(PATIENCE_S)
    assert held.engine.runs()[runs:] == [1, 3]
