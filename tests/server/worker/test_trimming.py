"""When the allocator is trimmed: after a burst, and never under a steady load."""

import sys

import pytest

from edgecnn.host.resources import resident_bytes
from edgecnn.server.memory import MemoryBudget
from edgecnn.server.worker.trimming import Trimmer

MIB = 1 << 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> MemoryBudget:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "8")  # keeps the limits of the test process
    return MemoryBudget(1000 * MIB)


@pytest.fixture
def resident(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace the resident set of this process, which other tests change."""
    found = [100 * MIB]
    monkeypatch.setattr("edgecnn.server.worker.trimming.resident_bytes", lambda: found[0])
    return found


def hold(budget: MemoryBudget, size: int) -> None:
    with budget.claim().holding(size):
        pass


def checked(trimmer: Trimmer, budget: MemoryBudget, size: int, times: int = 10) -> int:
    """Check under a load of requests of one size; return the number of trims."""
    for _ in range(times):
        hold(budget, size)
        trimmer.check()
    return trimmer.trims


@pytest.mark.slow
def test_trims_after_a_burst_until_the_memory_is_returned(budget: MemoryBudget, resident: list[int]):
    trimmer = Trimmer(budget)
    first = checked(trimmer, budget, MIB, times=100)  # what loading has left
    assert first == 12
    resident[0] = 600 * MIB
    assert checked(trimmer, budget, 500 * MIB) == first
    assert checked(trimmer, budget, MIB) == first + 2  # small requests go on; connections may still use the memory
    resident[0] = 100 * MIB
    assert checked(trimmer, budget, MIB) == first + 2
    resident[0] = 120 * MIB
    assert checked(trimmer, budget, MIB, times=1) == first + 3  # memory without a claim, such as that of TLS


@pytest.mark.slow
def test_accepts_memory_that_stays_in_use(budget: MemoryBudget, resident: list[int]):
    trimmer = Trimmer(budget)
    checked(trimmer, budget, MIB, times=100)
    resident[0] = 300 * MIB  # another model, for example
    trims = checked(trimmer, budget, MIB, times=100)
    assert trims == 24
    assert checked(trimmer, budget, MIB, times=100) == trims


@pytest.mark.parametrize("size", [100 * MIB, 10 * MIB])
def test_does_not_trim_under_a_steady_load(budget: MemoryBudget, resident: list[int], size: int):
    assert checked(Trimmer(budget), budget, size, times=20) == 0


@pytest.mark.slow
def test_does_not_trim_for_small_requests(budget: MemoryBudget, resident: list[int]):
    trimmer = Trimmer(budget)
    trims = checked(trimmer, budget, MIB, times=100)
    resident[0] += 10 * MIB
    assert checked(trimmer, budget, MIB) == trims


def test_reads_the_resident_set():
    assert MIB < resident_bytes() < 100_000 * MIB
