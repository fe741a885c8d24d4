"""The functions for bundles take paths and objects, and their results have a readable `repr`."""

from pathlib import Path

import pytest
from html_text import rows

import edgecnn
from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError


def test_trains_with_options(tmp_path: Path):
    epochs = []
    trained = edgecnn.train(
        "lenet",
        "digits",
        tmp_path / "lenet",
        epochs=2,
        on_warning=lambda text: None,
        on_epoch=lambda number, total, epoch: epochs.append((number, total)),
    )
    assert trained.checkpoint == tmp_path / "lenet"
    assert epochs == [(1, 2), (2, 2)]
    assert repr(trained).startswith(f"<Trained {tmp_path / 'lenet'}: top-1 ")


def test_rejects_an_unknown_option_of_the_training(tmp_path: Path):
    with pytest.raises(UsageError, match=r"unknown option 'epoch' \(did you mean epochs\?\)"):
        edgecnn.train("lenet", "digits", tmp_path / "lenet", epoch=2)


@pytest.mark.slow
def test_quantizes_a_path(fp32_bundle: Bundle, tmp_path: Path):
    quantized = edgecnn.quantize(str(fp32_bundle.path), tmp_path / "int8", calibration="digits", count=50, max_drop=100)
    assert quantized.bundle.manifest.precision == "int8"
    assert repr(quantized).startswith(f"<Quantized <Bundle {tmp_path / 'int8'}: int8, ")


def test_rejects_an_unknown_option_of_quantization(fp32_bundle: Bundle, tmp_path: Path):
    with pytest.raises(UsageError, match=r"unknown option 'max_dorp' \(did you mean max_drop\?\)"):
        edgecnn.quantize(fp32_bundle, tmp_path / "int8", calibration="digits", max_dorp=1)


def test_verifies_with_a_reference(committed: Bundle, int8_bundle: Bundle, checkpoint_path: Path):
    found = edgecnn.verify(int8_bundle, data="digits", reference=checkpoint_path)
    assert found.record.agreement is not None
    assert repr(edgecnn.verify(committed.path)) == (
        f"<Verification of {committed.path} on {edgecnn.verify(committed).where}: the proof holds>"
    )


@pytest.mark.slow
def test_measures_folders_of_bundles(both_bundles: Path):
    found = edgecnn.benchmark(both_bundles, engines=["onnxruntime"], rounds=4, turn_s=0.02)
    assert {each.bundle for each in found.benchmark.results} == {"lenet-digits-fp32", "lenet-digits-int8"}
    assert repr(found).startswith("<Benchmarked lenet-digits-")
    assert rows(found._repr_html_())[1] == ["bundle", "setting", "p50 ms", "images/s"]
    tuned = edgecnn.tune([both_bundles / "lenet-digits-fp32", both_bundles / "lenet-digits-int8"], budget_s=2)
    assert repr(tuned) == f"<Tuned: {tuned.profile.conclusion}>"
    table = rows(tuned._repr_html_())
    assert table[0][0].startswith(tuned.profile.conclusion[:70])
    assert [row[-1] for row in table].count("chosen") == 1
