"""The read bandwidth: what is measured, and a process that fails."""

import pytest

from edgecnn.host import bandwidth
from edgecnn.host.bandwidth import LEAST_BYTES, Reads, read_bandwidth, read_bandwidth_apart


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "_WINDOW_S", 0.001)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("threads", [1, 3])
def test_is_positive(threads: int):
    found = read_bandwidth(Reads(threads, LEAST_BYTES + 12345))
    assert 1e6 < found.bytes_per_s < 1e13


def test_is_measured_in_a_process_of_its_own():
    found = read_bandwidth_apart(Reads(1, LEAST_BYTES))
    assert found is not None
    assert found > 1e6


def test_a_process_that_fails_has_no_bandwidth():
    assert read_bandwidth_apart(Reads(0, LEAST_BYTES)) is None
