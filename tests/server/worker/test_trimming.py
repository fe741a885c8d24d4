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


def test_trims_once_after_a_burst(budget: MemoryBudget, resident: list[int]):
    trimmer = Trimmer(budget)
    assert checked(trimmer, budget, MIB) == 1  # what loading has left
    resident[0] = 600 * MIB
    assert checked(trimmer, budget, 500 * MIB) == 1
    assert checked(trimmer, budget, MIB) == 2  # small requests go on
    resident[0] = 100 * MIB
    assert checked(trimmer, budget, MIB) == 2
    resident[0] = 120 * MIB
    assert checked(trimmer, budget, MIB) == 3  # memory without a claim, such as that of TLS


@pytest.mark.parametrize("size", [100 * MIB, 10 * MIB])
def test_does_not_trim_under_a_steady_load(budget: MemoryBudget, resident: list[int], size: int):
    assert checked(Trimmer(budget), budget, size, times=20) == 0


def test_does_not_trim_for_small_requests(budget: MemoryBudget, resident: list[int]):
    trimmer = Trimmer(budget)
    checked(trimmer, budget, MIB)
    resident[0] += 10 * MIB
    assert checked(trimmer, budget, MIB) == 1


def test_reads_the_resident_set():
    assert MIB < resident_bytes() < 100_000 * MIB
