"""`edgecnn compare-networks`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from repository import COMMITTED


def test_refuses_wrong_arguments(edgecnn: Callable, tmp_path: Path):
    data, out = ("--data", "digits"), ("--out", tmp_path / "out")
    assert edgecnn("compare-networks", *data, *out).code == 2
    assert edgecnn("compare-networks", "lenet", *data).code == 2
    assert "unknown precision 'int4'" in edgecnn("compare-networks", "lenet", *data, *out, "--precision", "int4").error
    assert "words with commas" in edgecnn("compare-networks", "lenet", *data, *out, "--engines", "a,,b").error
    assert "unknown engine 'ort'" in edgecnn("compare-networks", "lenet", *data, *out, "--engines", "ort").error
    assert "unknown data source" in edgecnn("compare-networks", "lenet", "--data", "digit", *out).error
    assert edgecnn("compare-networks", "lenet", *data, "--out", COMMITTED, "--force").code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_prints_epochs_and_a_table(edgecnn: Callable, tmp_path: Path):
    out = tmp_path / "out"
    words = ["compare-networks", "lenet", "--data", "digits", "--out", out, "--epochs", 1, "--precision", "fp32"]
    words += ["--engines", "onnxruntime", "--rounds", 4, "--turn", 0.02]
    result = edgecnn(*words)
    assert result.code == 0, result.err
    assert "epoch 1/1" in result.err
    assert "lenet: images of digits" in result.err
    header, row, *_ = result.out.splitlines()
    assert "onnxruntime" in header
    assert row.startswith("lenet    FP32")
    assert row.endswith("(Pareto front)")
    again = edgecnn(*words, "--json")
    found = json.loads(again.out)
    assert "epoch 1" not in again.err
    assert found["networks"][0]["bundles"][0]["top1"]["images"] == 385
    assert [each["on_pareto_front"] for each in found["speeds"]] == [True]
    assert found["failures"] == []
    changed = edgecnn(*words, "--seed", 5)
    assert changed.code == 2
    assert "has a comparison with other options (seed None → 5)" in changed.error


@pytest.mark.slow
def test_a_failing_network_gives_exit_code_1(edgecnn: Callable, tmp_path: Path):
    (tmp_path / "net.py").write_text("def make(num_classes=10):\n    raise ValueError('this network is broken')\n")
    words = ["compare-networks", f"{tmp_path}/net.py:make", "lenet", "--data", "digits", "--out", tmp_path / "out"]
    result = edgecnn(*words, "--epochs", 1, "--precision", "fp32", "--rounds", 4, "--turn", 0.02)
    assert result.code == 1
    assert "some steps failed: " in result.error
    assert "this network is broken" in result.error
    assert "lenet    FP32" in result.out
    assert (tmp_path / "out" / "index.html").exists()
