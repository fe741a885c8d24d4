"""The ways and the page of `benchmarks/engines/levers.py`, and how a peer's answers are read."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.engines.answers import logits_of, normalised
from benchmarks.engines.lever_models import of_low_rank
from benchmarks.engines.levers import WAYS
from benchmarks.engines.levers_page import Measured, Network, page
from benchmarks.engines.mobile_peers import PEERS_PYTHON
from benchmarks.engines.peer_models import gemms_as_matmuls, keep, timed
from benchmarks.engines.peers import KINDS, open_peer
from edgecnn.bundle.store import Bundle
from edgecnn.errors import EngineMissing
from edgecnn.files.schema import plain
from edgecnn.pipeline.transforms import network_input
from edgecnn.runtime.rates import Estimate, rate
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.verification.paired import drop_of


def test_each_way_has_an_opener():
    for way in WAYS:
        assert way.is_ours or way.setting(1).engine in KINDS
    assert len({way.name for way in WAYS}) == len(WAYS)


def test_peers_get_the_pixels_of_the_bundle_normalised(committed: Bundle):
    pixels, preprocessing = committed.self_test().images[:3], committed.manifest.preprocessing
    assert normalised(pixels, preprocessing) == pytest.approx(network_input(pixels, preprocessing).numpy(), abs=1e-6)


def test_runs_a_bundle_on_images_once(committed: Bundle, tmp_path: Path):
    pixels, out = tmp_path / "pixels.npy", tmp_path / "logits" / "it.npy"
    np.save(pixels, committed.self_test().images)
    found = logits_of(committed.path, Setting("onnxruntime"), pixels, out)
    assert found.argmax(axis=1).tolist() == committed.self_test().logits.argmax(axis=1).tolist()
    np.save(out, found + 1)
    assert logits_of(committed.path, Setting("onnxruntime"), pixels, out) == pytest.approx(found + 1)


def test_a_gemm_becomes_a_matmul_with_the_same_result():
    random = np.random.default_rng(0)
    weights, bias = random.random((3, 5), np.float32), random.random(3, np.float32)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], "linear", transB=1)
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name, size in (("x", 5), ("y", 3)))
    graph = helper.make_graph([node], "it", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    gemms_as_matmuls(model)
    assert [each.op_type for each in model.graph.node] == ["MatMul", "Add"]
    onnx.checker.check_model(model)
    image = random.random((1, 5), np.float32)
    (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": image})
    assert found == pytest.approx(image @ weights.T + bias, abs=1e-5)


def test_random_low_rank_has_a_quarter_of_the_weights():
    constants = [numpy_helper.from_array(np.ones((1024, 512), np.float32), "w")]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name, size in (("x", 512), ("y", 1024))
    )
    node = helper.make_node("Gemm", ["x", "w"], ["y"], "linear", transB=1)
    graph = helper.make_graph([node], "it", [x], [y], constants)
    found = of_low_rank(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))
    onnx.checker.check_model(found)
    sizes = [np.prod(each.dims) for each in found.graph.initializer if len(each.dims) == 2]
    assert len(sizes) == 2
    assert sum(sizes) == pytest.approx(1024 * 512 / 4, rel=0.1)


def test_a_failed_model_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def fails(path: Path) -> None:
        path.write_text("half")
        raise ValueError("not this network")

    timed(tmp_path / "model", lambda path: keep(path, fails))
    assert not list(tmp_path.iterdir())
    assert "model failed: not this network" in capsys.readouterr().out


def test_mobile_peers_need_their_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(PEERS_PYTHON, raising=False)
    with pytest.raises(EngineMissing, match="--peers-python"):
        open_peer(tmp_path / "it.tflite", Setting("litert"))


def test_page_marks_the_best_peer_and_random_weights():
    estimate = Estimate(2.0, 1.9, 2.1)
    row = Measured(
        "edgecnn INT8", True, False, 1, 34_000_000, 32 << 20, estimate, estimate, rate(99, 100), drop_of(1, 0, 100)
    )
    peer = Measured("LiteRT", False, True, 1, 61_000_000, None, estimate, estimate, None, None)
    network = plain(Network("alexnet", False, True, (row, peer), {"NNCF": "it crashed"}))
    site = {"processor": "a processor", "cores": 2, "engines": {}}
    text = page({"networks": {"alexnet": network}, "measured_at": "now", "site": site})
    assert "| **edgecnn INT8** | 34.0 | 34 | 99.00% [94.55%, 99.82%] | +1.00 " in text
    assert "| *LiteRT* | 61.0 | — | — | — | 2 [1.9, 2.1] | 2.00 [1.90, 2.10] |" in text
    assert "Random weights" in text
    assert "Other work disturbed" in text
    assert "NNCF does not run: it crashed" in text
