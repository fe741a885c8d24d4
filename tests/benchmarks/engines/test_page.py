"""The page of `benchmarks/engines/compare.py`: means over networks, with all losses included."""

import numpy as np
import pytest

from benchmarks.engines.page import EAGER, NORMALIZING, OURS, Result, Way, geometric_mean, page, summary
from edgecnn.runtime.rates import Estimate
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.estimates import ratio


def way(name: str, *times_ms: float) -> Way:
    median = Estimate(float(np.median(times_ms)), min(times_ms), max(times_ms))
    return Way(name, "fp32", 2, median, median, times_ms, steady=True, open_s=0.1, resident_mb=64.0)


def result(network: str, *, ours: float, peer: float, eager: float) -> Result:
    ways = [way(OURS, ours, ours), way(EAGER, eager, eager), way("Peer", peer, peer), way(NORMALIZING, 1, 1)]
    return Result(
        network=network,
        processor="a processor",
        measured_at="2026-01-01T00:00:00+00:00",
        versions={"torch": "2.14.1"},
        macs=1_000_000,
        peak_ops_per_s=1e12,
        bundle="int8",
        setting=Setting("openvino", threads=2),
        conclusion="INT8 on openvino",
        ways=tuple(ways),
        failed={"Broken": "it crashed"},
        best_peer="Peer",
        over_best_peer=ratio([peer, peer], [ours, ours]),
        over_best_peer_from_pixels=ratio([peer + 1, peer + 1], [ours, ours]),
        over_eager=ratio([eager, eager], [ours, ours]),
        peak_share=0.5,
    )


def test_geometric_mean_lies_in_its_interval():
    found = geometric_mean([np.array([1.0, 2.0, 3.0]), np.array([8.0, 8.0, 8.0])])
    assert found.value == pytest.approx(4)
    assert found.low < found.value < found.high
    assert found.low == pytest.approx(8**0.5)


def test_page_lists_losses_and_failures():
    networks = (result("lenet", ours=2, peer=1, eager=8), result("resnet18", ours=4, peer=8, eager=32))
    results = summary(networks)
    text = page(results, title="# Title")
    assert results.over_best_peer.value == pytest.approx(1)
    assert results.over_best_peer_from_pixels.value == pytest.approx((1 * 9 / 4) ** 0.5)
    assert results.over_eager.value == pytest.approx(32**0.5)
    assert "| lenet | Peer | 0.50 [0.50, 0.50] | 1.00 [1.00, 1.00] | 4.00 [4.00, 4.00] | 50.0% of 1000 GOP/s |" in text
    assert "| lenet | 8.00 | *1.00* | 1.00 | — | **2.00** INT8, openvino, 2 threads |" in text
    assert "it crashed" in text


def test_table_rows_have_equally_many_cells():
    text = page(summary([result("lenet", ours=2, peer=1, eager=8)]), title="# Title")
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1
