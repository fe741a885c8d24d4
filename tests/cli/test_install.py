"""Tests of `edgecnn install` and `edgecnn rollback`, also with a running server."""

import json
from pathlib import Path

import numpy as np
import pytest
from broken_models import reseal
from model_versions import put
from repository import COMMITTED
from server_process import Server, serving, wait_for
from signing_keys import make_keys

from edgecnn.bundle.store import Bundle, open_bundle


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"


@pytest.fixture
def further(tmp_path: Path) -> Path:
    """A bundle with the same logits as the committed one, and another digest."""
    put(tmp_path, 2)
    return tmp_path / "2"


def test_installs_and_rolls_back_versions(edgecnn, site: Path, further: Path):
    first = edgecnn("install", COMMITTED, "--to", site)
    assert first.code == 0
    assert first.out.splitlines() == [
        f"installed lenet-digits-int8: {site / 'current'} points to version 1",
        "  self-test passed: 32 images and 4 image files match the reference",
    ]
    again = edgecnn("install", COMMITTED, "--to", site)
    assert again.code == 0
    assert again.out == f"lenet-digits-int8 is already current as version 1 in {site}: not copied\n"
    second = edgecnn("install", further, "--to", site, "--keep", 1, "--no-verify")
    assert second.out.splitlines() == [
        f"installed lenet-digits-int8: {site / 'current'} points to version 2",
        "  a rollback goes to version 1",
    ]
    back = edgecnn("rollback", site)
    assert back.code == 0
    assert back.out == (f"rolled back from version 2: {site / 'current'} points to version 1, lenet-digits-int8\n")
    assert edgecnn("verify", site / "current").code == 0


def test_rejects_a_rollback_from_the_first_version(edgecnn, site: Path):
    edgecnn("install", COMMITTED, "--to", site, "--no-verify")
    result = edgecnn("rollback", site)
    assert result.code == 1
    assert "cannot roll back" in result.error
    assert open_bundle(site / "current").digest == open_bundle(COMMITTED).digest


def test_json_contains_the_result(edgecnn, site: Path, further: Path, committed: Bundle, tmp_path: Path):
    edgecnn("pack", committed.path, "--out", tmp_path / "digits.tar")
    first = json.loads(edgecnn("install", tmp_path / "digits.tar", "--to", site, "--json").out)
    assert first.pop("self_test")["failures"] == []
    assert first == {
        "current": str(site / "current"),
        "version": 1,
        "previous": None,
        "changed": True,
        "name": "lenet-digits-int8",
        "bundle": committed.digest,
        "signed": False,
        "removed": [],
    }
    second = json.loads(edgecnn("install", further, "--to", site, "--no-verify", "--json").out)
    assert (second["version"], second["previous"], second["self_test"]) == (2, 1, None)
    back = json.loads(edgecnn("rollback", site, "--json").out)
    assert back == {
        "current": str(site / "current"),
        "version": 1,
        "undone": 2,
        "previous": None,
        "name": "lenet-digits-int8",
        "bundle": committed.digest,
    }


def lying(bundle: Path) -> Path:
    """Reseal a bundle with a graph that differs from its reference."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(bundle / "model.onnx")
    scale = next(i for i in model.graph.initializer if i.data_type == onnx.TensorProto.FLOAT and np.prod(i.dims) > 1)
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * 3, scale.name))
    return reseal(bundle, model.SerializeToString())


def test_rejects_a_bundle_with_a_failed_self_test(edgecnn, site: Path, bundle_copy: Path):
    edgecnn("install", COMMITTED, "--to", site, "--no-verify")
    bad = lying(bundle_copy)
    result = edgecnn("install", bad, "--to", site)
    assert result.code == 3
    assert f"the proof of {bad} does not hold" in result.error
    assert [path.name for path in (site / "versions").iterdir()] == ["1"]
    assert edgecnn("install", bad, "--to", site, "--no-verify").code == 0


def test_runs_the_self_test_on_the_given_engine(edgecnn, site: Path):
    result = edgecnn("install", COMMITTED, "--to", site, "--device", "cuda:9", "--engine", "onnxruntime")
    assert result.code in {1, 2}
    assert "cuda" in result.error
    assert not (site / "current").exists()


def digest(server: Server) -> str:
    reply = server.infer(server.images[:1])
    assert reply.status == 200, reply.body
    return reply.headers["x-bundle-digest"]


@pytest.mark.slow
def test_server_follows_install_and_rollback(edgecnn, site: Path, further: Path):
    edgecnn("install", COMMITTED, "--to", site)
    first, second = open_bundle(COMMITTED).digest, open_bundle(further).digest
    with serving("--watch-s", 0.1, bundles=[site], name=COMMITTED.name) as server:
        assert digest(server) == first
        with server.good_neighbour():
            assert edgecnn("install", further, "--to", site, "--keep", 1).code == 0
            wait_for(lambda: digest(server) == second)
            assert edgecnn("rollback", site).code == 0
            wait_for(lambda: digest(server) == first)
        (entry,) = server.request("POST", "/v2/repository/index").json
        assert (entry["state"], entry["reason"]) == ("READY", "")
        assert not [line for line in server.lines if "ERROR" in line.upper()], server.lines


@pytest.mark.slow
def test_server_with_signatures_follows_install(edgecnn, site: Path, further: Path, bundle_copy: Path, tmp_path: Path):
    keys = make_keys(tmp_path / "keys")
    for bundle in (bundle_copy, further):
        assert edgecnn("sign", bundle, "--key", keys.private).code == 0
    edgecnn("pack", further, "--out", further.with_suffix(".tar"))
    edgecnn("install", bundle_copy, "--to", site)
    with serving("--watch-s", 0.1, "--require-signature", keys.public, bundles=[site / "current"]) as server:
        result = edgecnn("install", further.with_suffix(".tar"), "--to", site)
        assert "the signature is stored next to it" in result.out
        wait_for(lambda: digest(server) == open_bundle(further).digest)
        assert edgecnn("rollback", site).code == 0
        wait_for(lambda: digest(server) == open_bundle(bundle_copy).digest)


def test_requires_a_valid_signature_with_a_key(edgecnn, site: Path, further: Path, bundle_copy: Path, tmp_path: Path):
    ours, foreign = make_keys(tmp_path / "ours"), make_keys(tmp_path / "foreign")
    good = ours.sign(bundle_copy)
    first = edgecnn("install", bundle_copy, "--to", site, "--key", ours.public, "--no-verify")
    assert first.out.splitlines()[1:] == [
        "  the signature is stored next to it",
        f"  the signature is valid for the key {ours.public}",
    ]
    archive = further.with_suffix(".tar")
    edgecnn("pack", further, "--out", archive)
    before = {path: path.stat().st_ino for path in site.rglob("*")}

    def refused(source: Path, *options: object, reason: str) -> None:
        result = edgecnn("install", source, "--to", site, "--key", ours.public, *options)
        assert (result.code, result.out) == (3, "")
        assert reason in result.error
        assert {path: path.stat().st_ino for path in site.rglob("*")} == before

    refused(archive, reason=f"{archive} is not signed: expected its signature in {further}.sig, found none")
    foreign.sign(further)
    refused(archive, reason=f"{further}.sig does not match the key {ours.public}")
    refused(archive, "--signature", good, reason=f"{archive}: manifest.json was changed after the bundle was signed")
    foreign_too = foreign.sign(bundle_copy, at=tmp_path / "foreign.sig")
    refused(bundle_copy, "--signature", foreign_too, reason=f"{foreign_too} does not match the key")
    ours.sign(further)
    assert edgecnn("install", archive, "--to", site, "--key", ours.public).code == 0
    assert edgecnn("verify", site / "current", "--key", ours.public).code == 0


def test_rejects_a_missing_key(edgecnn, site: Path, tmp_path: Path):
    result = edgecnn("install", COMMITTED, "--to", site, "--key", tmp_path / "none.pem")
    assert result.code == 2
    assert "cannot read the key" in result.error
    assert not site.exists()
