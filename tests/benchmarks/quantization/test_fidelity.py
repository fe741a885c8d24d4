"""The statistics of `benchmarks/quantization/fidelity.py` and their table."""

from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from benchmarks.quantization.fidelity import Fidelity, add_p_values, compared, fidelity, holm, verdict
from benchmarks.quantization.networks import ENGINES, Network
from benchmarks.quantization.page import page
from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.bundle.store import Bundle
from edgecnn.files.schema import plain
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.quantization.trial import trial_logits


def network(logits: np.ndarray, targets: np.ndarray | None) -> Network:
    """Return a network with given logits, and without a graph."""
    images = np.zeros((len(logits), 1, 1, 1), np.uint8)
    return Network("it", onnx.ModelProto(), images, images, targets, logits)


def test_holm_multiplies_by_the_number_of_remaining_tests():
    # 4 × 0.01, 3 × 0.02, 2 × 0.03; the largest is at least as large as the one before it.
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_ends_at_one():
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_compares_with_fp32_and_with_ours():
    logits = np.eye(4, dtype=np.float32)
    moved = logits[[1, 1, 2, 3]]  # the first answer changes
    row = compared(
        network(logits, np.array([0, 1, 2, 0])), moved, "peer", "onnxruntime", ours=np.array([1, 0, 1, 1], bool)
    )
    assert (row.top1, row.reference_top1, row.agreement) == (0.5, 0.75, 0.75)
    assert (row.ours_better, row.theirs_better) == (1, 1)
    assert row.drop is not None
    assert (row.drop.lost, row.drop.won) == (1, 0)
    assert row.rms_error == pytest.approx(np.sqrt(2 / 16))


def test_has_no_top1_without_targets():
    logits = np.eye(3, dtype=np.float32)
    row = compared(network(logits, None), logits, "edgecnn", "openvino", ours=np.ones(3, bool))
    assert (row.top1, row.reference_top1, row.drop, row.agreement) == (None, None, None, 1.0)


def row(quantizer: str, ours: int, theirs: int, *, agreement: float = 0.999, drop: float = 0.0) -> dict[str, Any]:
    """Return a row of a comparison."""
    paired = PairedDrop(10_000, 0, 0, drop, drop, drop)
    found = Fidelity("it", quantizer, "onnxruntime", 0.9, 0.9, paired, agreement, 0.1, 2.0, ours, theirs)
    return dict(plain(found))


def test_corrects_peers_together():
    rows = [row("edgecnn", 0, 0), row("first", 30, 0), row("second", 0, 8), row("third", 5, 5)]
    add_p_values(rows)
    assert "p_holm" not in rows[0]
    assert rows[2]["p_holm"] == pytest.approx(2 * 2 / 2**8)  # the second smallest of three
    assert [verdict(each) for each in rows] == [
        *("meets the targets", "edgecnn better", "**peer better**", "no difference shown")
    ]


def test_names_missed_targets():
    assert verdict(row("edgecnn", 0, 0, agreement=0.99, drop=0.003)) == "misses the target: agreement, drop"


def test_page_counts_wins_and_losses():
    rows = [row("edgecnn", 0, 0), row("first", 30, 0), row("second", 0, 30)]
    add_p_values(rows)
    text = page({"fidelity": {"processor": "a processor", "rows": rows}})
    assert (
        "| it | onnxruntime | first | 90.00% (90.00%) | +0.00 [+0.00, +0.00] | 99.90% | 0.1000 (5.0%) | 30 / 0 |"
        in text
    )
    assert "Of 2 comparisons, edgecnn is better in 1, a peer in 1." in text


def test_measures_graphs_on_both_engines(committed: Bundle):
    model = onnx.load(str(committed.model))
    pixels = open_source("digits").split("test").pixels(range(40), committed.manifest.preprocessing)
    it = Network("lenet", model, pixels[:8], pixels, None, trial_logits(model, pixels))
    rows = fidelity([it], {"edgecnn": lambda graph, _: graph, "always 0": lambda graph, _: always_zero(graph)})
    assert [(row["quantizer"], row["engine"]) for row in rows] == list(product(("edgecnn", "always 0"), ENGINES))
    zeros = (it.logits.argmax(axis=1) == 0).mean()
    assert [row["agreement"] for row in rows] == pytest.approx([1.0, 1.0, zeros, zeros])
    assert [row["ours_better"] for row in rows] == [0, 0, *[round(40 * (1 - zeros))] * 2]
    assert rows[0]["rms_error"] < 1e-3 < rows[2]["rms_error"]


def test_reports_a_peer_that_fails(committed: Bundle):
    model = onnx.load(str(committed.model))
    pixels = np.zeros((1, *committed.manifest.image_shape), np.uint8)
    it = Network("lenet", model, pixels, pixels, None, trial_logits(model, pixels))

    def fails(*_: object) -> onnx.ModelProto:
        raise ValueError("not this graph")

    rows = fidelity([it], {"edgecnn": lambda graph, _: graph, "peer": fails})
    add_p_values(rows)
    assert [row.get("failed") for row in rows] == [None, None, *["ValueError: not this graph"] * 2]
    assert "| lenet | openvino | peer |" in page({"third_party": {"processor": "a processor", "rows": rows}})
    with pytest.raises(ValueError, match="not this graph"):
        fidelity([it], {"edgecnn": fails})


def always_zero(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of LeNet's graph with a large bias of the first class."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    (bias,) = [each for each in copy.graph.initializer if each.name == "fc3.bias"]
    bias.CopyFrom(numpy_helper.from_array(np.float32([1e3, *[0.0] * 9]), "fc3.bias"))
    return copy
