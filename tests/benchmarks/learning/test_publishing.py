"""The figures of the chapters equal the pages that publish them."""

from benchmarks.learning.publishing import published
from edgecnn.learning.architectures.measurements import read
from edgecnn.learning.architectures.published import Published


def test_the_file_equals_the_pages():
    assert read(Published, "published") == published()


def test_figures_have_their_intervals():
    found = published()
    for accuracy in (*found.accuracies, found.photographs):
        assert accuracy.low < accuracy.top1 < accuracy.high
    for latency in found.latencies:
        assert latency.low_ms <= latency.median_ms <= latency.high_ms
    assert found.machine.startswith("AMD EPYC")
