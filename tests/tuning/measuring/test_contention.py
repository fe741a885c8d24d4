"""How long other work held up this process, from files as Linux writes them, and on this machine."""

import sys
import time
from pathlib import Path

import pytest
from busy_machine import busy_loops

from edgecnn.tuning.measuring.contention import ProcessorTimes, held_up_s, processor_times

STAT = "cpu  100 10 20 900 7 3 4 50 0 0\ncpu0 100 10 20 900 7 3 4 50 0 0\n"


def machine(root: Path, threads: dict[str, str], stat: str | None = STAT) -> Path:
    """Write the files of `/proc`."""
    for thread, text in threads.items():
        folder = root / "proc/self/task" / thread
        folder.mkdir(parents=True)
        if text:
            (folder / "schedstat").write_text(text)
    if stat is not None:
        (root / "proc/stat").write_text(stat)
    return root


def test_reads_every_thread(tmp_path: Path):
    found = processor_times(machine(tmp_path, {"7": "5000000000 250000000 9\n", "8": "1 1500000000 3\n"}))
    assert found.waited_s == {"7": 0.25, "8": 1.5}
    assert found.used_s == pytest.approx(1.37)  # without idle, I/O wait and stolen time
    assert found.stolen_s == pytest.approx(0.5)
    assert found.own_s > 0


def test_passes_over_a_thread_that_has_ended(tmp_path: Path):
    assert processor_times(machine(tmp_path, {"7": "5 250000000 9\n", "8": ""})).waited_s == {"7": 0.25}


@pytest.mark.parametrize(
    ("threads", "stat"),
    [
        ({}, STAT),
        ({"7": "0 0 0\n"}, STAT),  # a kernel that does not count
        ({"7": "1 2 3\n"}, None),
        ({"7": "1 2 3\n"}, "cpu  1 2 3\n"),
        ({"7": "nonsense\n"}, STAT),
    ],
)
def test_knows_what_it_cannot_know(tmp_path: Path, threads: dict[str, str], stat: str | None):
    (tmp_path / "proc").mkdir()
    found = processor_times(machine(tmp_path, threads, stat))
    assert found.waited_s is None
    assert held_up_s(found, found) is None


def interval(waited: float, *, own: float, used: float, stolen: float = 0.0) -> float | None:
    before = ProcessorTimes(10, {"1": 5.0}, used_s=100, stolen_s=3)
    return held_up_s(before, ProcessorTimes(10 + own, {"1": 5.0 + waited}, 100 + used, 3 + stolen))


def test_needs_a_wait_and_other_work():
    assert interval(0.4, own=1, used=1.5) == pytest.approx(0.4)
    assert interval(0.9, own=1, used=1.5) == pytest.approx(0.5)
    assert interval(0.9, own=1, used=1.0) == 0  # its own threads, or a quota
    assert interval(0.0, own=1, used=3.0) == 0  # on other cores
    assert interval(0.9, own=1, used=0.9) == 0  # the kernel rounds
    assert interval(0.0, own=1, used=1.0, stolen=0.3) == pytest.approx(0.3)


def test_counts_threads_that_start_later():
    before, after = ProcessorTimes(0, {"1": 1.0}), ProcessorTimes(0, {"1": 1.0, "2": 0.5}, used_s=1)
    assert held_up_s(before, after) == 0.5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the waits of threads")
def test_notices_busy_loops():
    with busy_loops():
        before, end = processor_times(), time.perf_counter() + 0.5
        while time.perf_counter() < end:
            pass
        found = held_up_s(before, processor_times())
    assert found is not None
    assert found > 0.1
