"""Tests of `edgecnn sign` and `verify --key`."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from signing_keys import Keys, make_keys

from edgecnn.bundle.store import open_bundle
from edgecnn.hints import install_command


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Keys of the signer."""
    return make_keys(tmp_path_factory.mktemp("keys") / "ours")


@pytest.fixture
def place(bundle_copy: Path) -> Path:
    """Default path of the signature."""
    return bundle_copy.with_name(f"{bundle_copy.name}.sig")


def test_signs_and_verifies_a_bundle(edgecnn: Callable, bundle_copy: Path, place: Path, keys: Keys):
    before = sorted(bundle_copy.iterdir())
    signed = edgecnn("sign", bundle_copy, "--key", keys.private)
    assert signed.code == 0, signed.err
    digest = open_bundle(bundle_copy).digest
    assert signed.out == f"{place} signs lenet-digits-int8, digest {digest[:12]}…\n"
    assert sorted(bundle_copy.iterdir()) == before
    assert {path.name for path in bundle_copy.parent.iterdir()} == {bundle_copy.name, place.name}
    verified = edgecnn("verify", bundle_copy, "--key", keys.public)
    assert verified.code == 0, verified.err
    assert verified.out.endswith(f"the proof holds\n  the signature is valid for the key {keys.public}\n")


def test_writes_json_and_another_signature_file(
    edgecnn: Callable, bundle_copy: Path, place: Path, tmp_path: Path, keys: Keys
):
    other = tmp_path / "signatures" / "one"
    signed = edgecnn("sign", bundle_copy, "--key", keys.private, "--out", other, "--json")
    assert json.loads(signed.out) == {
        "name": "lenet-digits-int8",
        "bundle": open_bundle(bundle_copy).digest,
        "signature": str(other),
    }
    assert not place.exists()
    assert edgecnn("verify", bundle_copy, "--key", keys.public).code == 3
    found = edgecnn("verify", bundle_copy, "--key", keys.public, "--signature", other, "--json")
    assert found.code == 0, found.err
    assert json.loads(found.out)["holds"]


def test_replaces_a_signature_only_with_force(edgecnn: Callable, bundle_copy: Path, place: Path, keys: Keys):
    place.write_text("something")
    refused = edgecnn("sign", bundle_copy, "--key", keys.private)
    assert refused.code == 2
    assert refused.error.startswith(f"error: {place} exists already")
    assert place.read_text() == "something"
    assert edgecnn("sign", bundle_copy, "--key", keys.private, "--force").code == 0
    assert edgecnn("verify", bundle_copy, "--key", keys.public).code == 0


def test_rejects_an_invalid_output(edgecnn: Callable, bundle_copy: Path, tmp_path: Path, keys: Keys):
    inside = edgecnn("sign", bundle_copy, "--key", keys.private, "--out", bundle_copy / "signature")
    assert inside.code == 2
    assert f"is inside the bundle {bundle_copy}, which is sealed" in inside.error
    folder = edgecnn("sign", bundle_copy, "--key", keys.private, "--out", tmp_path, "--force")
    assert folder.code == 2
    assert f"{tmp_path} is not a plain file" in folder.error
    (tmp_path / "file").touch()
    below = edgecnn("sign", bundle_copy, "--key", keys.private, "--out", tmp_path / "file" / "x")
    assert below.code == 1
    assert "cannot write" in below.error


def test_deletes_leftovers_of_a_killed_run(edgecnn: Callable, bundle_copy: Path, place: Path, keys: Keys):
    left = place.with_name(f".{place.name}.new-0123456789ab")
    left.mkdir()
    (left / place.name).write_text("half a sig")
    assert edgecnn("sign", bundle_copy, "--key", keys.private).code == 0
    assert not left.exists()


def test_rejects_a_damaged_bundle(edgecnn: Callable, bundle_copy: Path, place: Path, keys: Keys):
    (bundle_copy / "model.onnx").write_bytes(b"x")
    refused = edgecnn("sign", bundle_copy, "--key", keys.private)
    assert refused.code == 1
    assert f"{bundle_copy / 'model.onnx'} has 1 bytes" in refused.error
    assert not place.exists()


def test_checks_the_signature_before_the_self_test(edgecnn: Callable, bundle_copy: Path, tmp_path: Path, keys: Keys):
    unsigned = edgecnn("verify", bundle_copy, "--key", keys.public)
    assert unsigned.code == 3
    assert f"{bundle_copy} is not signed" in unsigned.error
    assert edgecnn("sign", bundle_copy, "--key", keys.private).code == 0
    (bundle_copy / "model.onnx").write_bytes(b"x")
    altered = edgecnn("verify", bundle_copy, "--key", keys.public)
    assert altered.code == 3
    assert f"{bundle_copy / 'model.onnx'} was changed after the bundle was signed" in altered.error
    assert altered.out == ""
    assert not (tmp_path / "state").exists()  # no record either


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--key", "{private}"), "is a private key"),
        (("--key", "nowhere"), "cannot read the key nowhere: No such file or directory"),
        (("--signature", "x.sig"), "--signature requires --key"),
    ],
)
def test_verify_rejects_invalid_keys(
    edgecnn: Callable, bundle_copy: Path, keys: Keys, arguments: tuple[str, ...], message: str
):
    result = edgecnn("verify", bundle_copy, *(each.format(private=keys.private) for each in arguments))
    assert result.code == 2
    assert message in result.error


def test_rejects_a_folder_of_bundles(edgecnn: Callable, bundle_copy: Path, keys: Keys):
    for command, key in (("sign", keys.private), ("verify", keys.public)):
        result = edgecnn(command, bundle_copy.parent, "--key", key)
        assert result.code == 1
        assert f"it contains the bundles {bundle_copy.name}: choose one" in result.error


def test_reports_a_missing_extra(edgecnn: Callable, bundle_copy: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch):
    for module in ("edgecnn.archive.openssf", "edgecnn.archive.keys"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    for command, key in (("sign", keys.private), ("verify", keys.public)):
        result = edgecnn(command, bundle_copy, "--key", key)
        assert result.code == 1
        assert result.error.endswith(f"model_signing, which is not installed: {install_command('signing')}")


def test_signs_the_working_directory(
    edgecnn: Callable, bundle_copy: Path, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    inner = Path(shutil.copytree(bundle_copy, tmp_path / "photos" / "2"))
    monkeypatch.chdir(inner)
    assert edgecnn("sign", ".", "--key", keys.private).code == 0
    assert (tmp_path / "photos" / "2.sig").is_file()
    assert edgecnn("verify", ".", "--key", keys.public).code == 0
