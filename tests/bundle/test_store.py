"""Tests of creating and opening bundles."""

import dataclasses
import hashlib
from pathlib import Path

import pytest
from manifest_edits import edit_manifest

from edgecnn import errors
from edgecnn.bundle.store import Bundle, create_bundle, open_bundle


def test_opens_an_intact_bundle(bundle_copy: Path):
    bundle = open_bundle(bundle_copy)
    assert bundle.digest == hashlib.sha256((bundle_copy / "manifest.json").read_bytes()).hexdigest()
    assert bundle.manifest.network.architecture == "lenet"
    assert bundle.manifest.labels == tuple("0123456789")


def test_opens_a_bundle_through_a_link(bundle_copy: Path, tmp_path: Path):
    (tmp_path / "current").symlink_to(bundle_copy)
    assert open_bundle(tmp_path / "current").manifest.name == "lenet-digits-int8"


def test_manifest_contains_no_path_or_host_name(bundle_copy: Path):
    text = (bundle_copy / "manifest.json").read_text()
    assert '"/' not in text
    assert "file:" not in text


def test_accepts_hard_links(bundle_copy: Path):
    (bundle_copy.parent / "same").hardlink_to(bundle_copy / "model.onnx")  # deduplicating file stores create hard links
    assert open_bundle(bundle_copy).size_bytes > 0
    (bundle_copy / "model.onnx").unlink()
    (bundle_copy.parent / "secret").write_text("secret")
    (bundle_copy / "model.onnx").hardlink_to(bundle_copy.parent / "secret")
    with pytest.raises(errors.DigestMismatch, match=r"model\.onnx"):
        open_bundle(bundle_copy)


def test_rejects_a_self_test_of_another_graph(committed: Bundle, tmp_path: Path):
    self_test = committed.self_test()
    fewer = {name: logits[:, :9].copy() for name, logits in self_test.engine_logits.items()}
    other = dataclasses.replace(self_test, logits=self_test.logits[:, :9].copy(), engine_logits=fewer, encoded=())
    made = create_bundle(
        tmp_path / "b",
        manifest=committed.manifest,
        model=committed.model.read_bytes(),
        self_test=other,
        proof=committed.proof(),
    )
    with pytest.raises(errors.BundleError, match=r"self_test\.npz does not match the graph"):
        open_bundle(made.path).self_test()


def test_rejects_a_proof_without_an_engine(committed: Bundle):
    with pytest.raises(ValueError, match="at least one"):
        dataclasses.replace(committed.proof(), engines=())


def test_rejects_a_path_without_a_bundle(tmp_path: Path):
    with pytest.raises(errors.BundleNotFound, match="found nothing"):
        open_bundle(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(errors.BundleNotFound, match="found a file"):
        open_bundle(tmp_path / "file")


def test_lists_the_bundles_in_a_folder(bundle_copy: Path):
    with pytest.raises(errors.BundleNotFound, match="lenet-digits-int8"):
        open_bundle(bundle_copy.parent)


def test_opens_a_bundle_without_macs(bundle_copy: Path):
    edit_manifest(bundle_copy, lambda m: m["graphs"][0].pop("macs"))
    assert open_bundle(bundle_copy).manifest.macs is None


def test_opens_a_bundle_without_a_network(bundle_copy: Path):
    edit_manifest(bundle_copy, lambda m: (m.update(network=None), m["reference"].update(kind="onnx")))
    assert open_bundle(bundle_copy).manifest.network is None


def test_keeps_annotations(bundle_copy: Path):
    edit_manifest(bundle_copy, lambda m: m.update(annotations={"site": "hall 4", "deep": {"any": [1]}}))
    assert open_bundle(bundle_copy).manifest.annotations["site"] == "hall 4"


def test_writes_reproducible_bundles(committed: Bundle, tmp_path: Path):
    copy = create_bundle(
        tmp_path / "again",
        manifest=committed.manifest,
        model=committed.model.read_bytes(),
        self_test=committed.self_test(),
        proof=committed.proof(),
    )
    assert copy.digest == committed.digest
    assert open_bundle(tmp_path / "again") == copy
