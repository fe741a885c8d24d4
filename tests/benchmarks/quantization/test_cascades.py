"""The pairs and the page of `benchmarks/quantization/cascades.py`."""

from pathlib import Path

from benchmarks.quantization.cascades import PAIRS, write
from benchmarks.quantization.cascades_page import Cost, Measured
from edgecnn.runtime.rates import Estimate, rate
from edgecnn.runtime.verification.paired import drop_of


def test_names_of_pairs_are_different():
    assert len({pair.name for pair in PAIRS}) == len(PAIRS)


def test_page_has_cascades_and_refusals(tmp_path: Path):
    pair = next(pair for pair in PAIRS if pair.fast != pair.accurate)
    answers = {"agreement": rate(999, 1000), "fast_agreement": rate(900, 1000), "drop": drop_of(1, 3, 1000)}
    cost = Cost("openvino", 2, 0.2, 0.4, Estimate(0.5, 0.4, 0.8), is_busy=True)
    write(pair.name, Measured(pair, 1.5, 0.01, {"openvino": answers | {"share_again": 0.25}}, (cost,)), tmp_path)
    write("lenet", "the accurate graph alone is faster", tmp_path)
    text = (tmp_path / "cascades.md").read_text()
    assert "| lenet INT8 → resnet18 INT8 | openvino | 99.00% | 90.00% | 99.90% [99.44%, 99.98%] | -0.20 " in text
    assert "| 25.0% |" in text
    assert "| openvino | 2 | 0.2 | 0.4 | 0.50 [0.40, 0.80] | 2.00 [1.25, 2.50] | busy machine |" in text
    assert "No cascade lenet: the accurate graph alone is faster." in text
