"""The memory budget: sums, refusals, and release."""

import threading

import pytest

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.memory import SMALL_BYTES, MemoryBudget

TOTAL = 8 << 20


def test_sums_the_claims_and_returns_them():
    budget = MemoryBudget(TOTAL)
    one, other = budget.claim(), budget.claim()
    one.take(1000)
    other.take(500)
    with one.holding(200):
        assert budget.held_bytes == 1700
    one.release(400)
    assert (one.held_bytes, budget.held_bytes) == (600, 1100)
    one.release()
    one.release()
    other.release()
    assert budget.held_bytes == 0


def test_refuses_a_step_while_other_requests_hold_the_memory():
    budget = MemoryBudget(TOTAL)
    first, second = budget.claim(), budget.claim()
    first.take(6 << 20)
    with pytest.raises(Refusal, match="in use") as refused:
        second.take(2 << 20)
    assert (refused.value.status, refused.value.retry_after_s, second.held_bytes) == (503, 1, 0)
    first.release()
    second.take(2 << 20)
    assert budget.refused == 1


def test_refuses_a_request_that_exceeds_the_whole_budget():
    budget = MemoryBudget(TOTAL)
    claim = budget.claim()
    claim.take(4 << 20)
    with pytest.raises(
        Refusal, match=r"needs 8 MiB of memory, and one request may use 7 MiB: .* --memory-budget"
    ) as refused:
        claim.take(4 << 20)
    assert (refused.value.status, refused.value.retry_after_s) == (413, None)
    assert budget.held_bytes == 4 << 20


def test_keeps_a_part_for_small_steps():
    budget = MemoryBudget(TOTAL)
    budget.claim().take(7 << 20)
    small = budget.claim()
    small.take(SMALL_BYTES)
    with pytest.raises(Refusal):
        budget.claim().take(SMALL_BYTES + 1)


def test_counts_steps_of_several_threads():
    budget = MemoryBudget(TOTAL)

    def work() -> None:
        claim = budget.claim()
        for _ in range(2000):
            with claim.holding(8):
                claim.take(4)
                claim.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.held_bytes == 0


def test_a_step_keeps_the_memory_of_an_ended_request():
    budget = MemoryBudget(TOTAL)
    claim = budget.claim()
    claim.take(1000)
    claim.keep()
    claim.take(500)
    claim.release()  # the client leaves
    assert budget.held_bytes == 1500
    for more in (lambda: claim.take(1), claim.holding(1).__enter__):
        with pytest.raises(Refusal, match="disconnected"):
            more()
    claim.let_go()
    assert (claim.held_bytes, budget.held_bytes) == (0, 0)


def test_measures_the_peak():
    budget = MemoryBudget(TOTAL)
    with budget.claim().holding(5000):
        pass
    assert budget.peak_bytes == 5000
    budget.forget_peak()
    assert budget.peak_bytes == 0
