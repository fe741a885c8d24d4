"""Tests of signing and verifying. Every error is one line that names the file.

A number in a comment is a row of the project's table of faults.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from model_signing import hashing, signing
from model_versions import reseal_as
from repository import COMMITTED
from signing_keys import Keys, make_keys

from edgecnn.archive.openssf import sign_bundle, verify_signature
from edgecnn.bundle.finding import signature_beside
from edgecnn.bundle.store import open_bundle
from edgecnn.errors import BundleNotFound, DigestMismatch, SignatureInvalid, SignatureMissing
from edgecnn.host.child import child_environment


def refusal(bundle: Path, keys: Keys, signature: Path | None = None) -> str:
    with pytest.raises(SignatureInvalid) as caught:
        verify_signature(bundle, key=keys.public, signature=signature)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_verifies_with_the_public_key(curve: str, bundle_copy: Path, tmp_path: Path):
    keys = make_keys(tmp_path / "keys", curve=curve)
    keys.sign(bundle_copy)
    assert verify_signature(bundle_copy, key=keys.public) == open_bundle(bundle_copy).digest


def test_signature_contains_no_path(bundle_copy: Path, tmp_path: Path, keys: Keys):
    signature = keys.sign(bundle_copy)
    statement = base64.b64decode(json.loads(signature.read_text())["dsseEnvelope"]["payload"]).decode()
    assert str(tmp_path) not in statement
    signature.rename(tmp_path / "2.sig")
    moved = bundle_copy.rename(tmp_path / "2")
    assert verify_signature(moved, key=keys.public) == open_bundle(moved).digest


def test_rejects_an_unsigned_bundle(bundle_copy: Path, keys: Keys):  # 81
    with pytest.raises(SignatureMissing) as caught:
        verify_signature(bundle_copy, key=keys.public)
    assert f"{bundle_copy} is not signed: expected its signature in {bundle_copy}.sig" in str(caught.value)


def test_rejects_a_signature_of_another_key(bundle_copy: Path, keys: Keys, foreign_keys: Keys):  # 81
    signature = foreign_keys.sign(bundle_copy)
    said = refusal(bundle_copy, keys)
    expected = f"{signature} does not match the key {keys.public}, or was altered: use the signer's public key"
    assert said == expected


def test_rejects_a_forged_key_hint(bundle_copy: Path, keys: Keys, foreign_keys: Keys):
    ours = json.loads(keys.sign(bundle_copy).read_text())
    signature = foreign_keys.sign(bundle_copy)
    forged = json.loads(signature.read_text()) | {"verificationMaterial": ours["verificationMaterial"]}
    signature.write_text(json.dumps(forged))
    assert "does not match the key" in refusal(bundle_copy, keys)


def _altered(name: str) -> Callable[[Path], None]:
    def alter(bundle: Path) -> None:
        content = bytearray((bundle / name).read_bytes())
        content[-2] ^= 1
        (bundle / name).write_bytes(content)

    return alter


def _resealed(bundle: Path) -> None:
    reseal_as(bundle, "evil")


def _added(bundle: Path) -> None:
    (bundle / ".gitignore").write_text("*")  # the library ignores it by default


def _taken_away(bundle: Path) -> None:
    (bundle / "proof.json").unlink()


ALTERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "model": (_altered("model.onnx"), "model.onnx was changed after the bundle was signed:"),
    "self_test": (_altered("self_test.npz"), "self_test.npz was changed after the bundle was signed:"),
    "proof": (_altered("proof.json"), "proof.json was changed after the bundle was signed:"),
    "manifest": (_altered("manifest.json"), "manifest.json was changed after the bundle was signed:"),
    "resealed": (_resealed, "manifest.json was changed after the bundle was signed:"),
    "added file": (_added, ".gitignore was added after the bundle was signed:"),
    "removed file": (_taken_away, "proof.json was removed after the bundle was signed:"),
}


@pytest.mark.parametrize("fault", ALTERED)
def test_rejects_a_changed_bundle(fault: str, bundle_copy: Path, keys: Keys):  # 81
    alter, said = ALTERED[fault]
    signature = keys.sign(bundle_copy)
    alter(bundle_copy)
    assert refusal(bundle_copy, keys) == f"{bundle_copy}/{said} use the bundle that {signature} belongs to"


def test_rejects_a_link_in_the_bundle(bundle_copy: Path, tmp_path: Path, keys: Keys):
    keys.sign(bundle_copy)
    (bundle_copy / "model.onnx").rename(tmp_path / "model.onnx")
    (bundle_copy / "model.onnx").symlink_to(tmp_path / "model.onnx")
    assert "model.onnx" in refusal(bundle_copy, keys)


def test_rejects_a_signature_of_another_bundle(bundle_copy: Path, tmp_path: Path, keys: Keys):  # 81
    other = Path(shutil.copytree(bundle_copy, tmp_path / "other"))
    reseal_as(other, "other")
    signature = keys.sign(other)
    assert "manifest.json was changed after" in refusal(bundle_copy, keys, signature)


def _empty(content: bytes) -> bytes:
    return b""


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _turned_bit(content: bytes) -> bytes:
    document = json.loads(content)
    signature = bytearray(base64.b64decode(document["dsseEnvelope"]["signatures"][0]["sig"]))
    signature[-1] ^= 1
    document["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return json.dumps(document).encode()


def _without(name: str) -> Callable[[bytes], bytes]:
    def cut(content: bytes) -> bytes:
        document = json.loads(content)
        del document[name]
        return json.dumps(document).encode()

    return cut


def _without_signatures(content: bytes) -> bytes:
    document = json.loads(content)
    document["dsseEnvelope"]["signatures"] = []
    return json.dumps(document).encode()


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": _empty,
    "truncated": _cut,
    "random": lambda _: bytes(range(256)) * 20,
    "number": lambda _: b"5",
    "empty object": lambda _: b"{}",
    "nested": lambda _: b"[" * 100_000,
    "flipped bit": _turned_bit,
    "no envelope": _without("dsseEnvelope"),
    "no media type": _without("mediaType"),
    "no key": _without("verificationMaterial"),
    "no signatures": _without_signatures,
    "huge": lambda content: content + b" " * (2 << 20),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_rejects_a_damaged_signature(fault: str, bundle_copy: Path, keys: Keys):  # 81
    signature = keys.sign(bundle_copy)
    signature.write_bytes(BROKEN[fault](signature.read_bytes()))
    assert refusal(bundle_copy, keys).startswith(str(signature))


def test_accepts_a_link_but_only_plain_files(bundle_copy: Path, tmp_path: Path, keys: Keys):
    signature = keys.sign(bundle_copy)
    signature.rename(tmp_path / "elsewhere")
    signature.symlink_to(tmp_path / "elsewhere")
    assert verify_signature(bundle_copy, key=keys.public)
    (tmp_path / "elsewhere").unlink()
    with pytest.raises(SignatureMissing):
        verify_signature(bundle_copy, key=keys.public)
    os.mkfifo(tmp_path / "elsewhere")
    assert "is not a plain file" in refusal(bundle_copy, keys)
    signature.unlink()
    signature.mkdir()
    assert "is not a plain file" in refusal(bundle_copy, keys)


def test_follows_a_link_to_the_bundle(bundle_copy: Path, tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch):
    signature = keys.sign(bundle_copy)
    (tmp_path / "current").symlink_to(bundle_copy)
    assert signature_beside(tmp_path / "current") == signature
    monkeypatch.chdir(bundle_copy)
    assert signature_beside(Path()) == signature
    assert verify_signature(Path(), key=keys.public) == verify_signature(tmp_path / "current", key=keys.public)


def test_rejects_a_missing_bundle(tmp_path: Path, keys: Keys):
    with pytest.raises(BundleNotFound):
        verify_signature(tmp_path / "nowhere", key=keys.public)


def test_rejects_a_bundle_replaced_after_verification(bundle_copy: Path, keys: Keys):
    keys.sign(bundle_copy)
    digest = verify_signature(bundle_copy, key=keys.public)
    reseal_as(bundle_copy, "evil")
    assert open_bundle(bundle_copy).manifest.name == "evil"
    with pytest.raises(DigestMismatch, match=r"manifest\.json was replaced after it was checked"):
        open_bundle(bundle_copy, digest=digest)


def test_rejects_files_that_a_signature_ignores(bundle_copy: Path, keys: Keys):
    signature = signature_beside(bundle_copy)
    passing_over = hashing.Config().set_ignored_paths(paths=["model.onnx"])
    signer = signing.Config().use_elliptic_key_signer(private_key=keys.private)
    signer.set_hashing_config(passing_over).sign(bundle_copy, signature)
    _altered("model.onnx")(bundle_copy)
    digest = verify_signature(bundle_copy, key=keys.public)
    with pytest.raises(DigestMismatch, match=r"model\.onnx has changed since it was sealed"):
        open_bundle(bundle_copy, digest=digest)
    passing_over.set_ignored_paths(paths=["manifest.json"])
    signer.sign(bundle_copy, signature)
    assert "does not cover" in refusal(bundle_copy, keys)


def test_rejects_another_hash_algorithm(bundle_copy: Path, keys: Keys):
    signature = signature_beside(bundle_copy)
    signer = signing.Config().use_elliptic_key_signer(private_key=keys.private)
    signer.set_hashing_config(hashing.Config().use_file_serialization(hashing_algorithm="blake3"))
    signer.sign(bundle_copy, signature)
    assert "is damaged or not a signature of `edgecnn sign`" in refusal(bundle_copy, keys)


def test_rejects_a_bundle_that_changes_while_signing(bundle_copy: Path, keys: Keys):
    opened = open_bundle(bundle_copy)
    _altered("model.onnx")(bundle_copy)
    with pytest.raises(DigestMismatch, match="changed while it was signed"):
        sign_bundle(opened, key=keys.private)


def test_hides_the_output_of_the_library(bundle_copy: Path, keys: Keys, capsys: pytest.CaptureFixture[str]):
    signature = keys.sign(bundle_copy)
    document = json.loads(signature.read_text())
    del document["verificationMaterial"]["publicKey"]["hint"]
    signature.write_text(json.dumps(document))
    assert verify_signature(bundle_copy, key=keys.public)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_is_compatible_with_the_library_program(bundle_copy: Path, keys: Keys):
    program = [sys.executable, "-m", "model_signing"]
    signature = keys.sign(bundle_copy)
    verify = ["verify", "key", str(bundle_copy), "--signature", str(signature), "--public_key", str(keys.public)]
    assert subprocess.run([*program, *verify], capture_output=True, check=False).returncode == 0
    sign = ["sign", "key", str(bundle_copy), "--signature", str(signature), "--private_key", str(keys.private)]
    assert subprocess.run([*program, *sign], capture_output=True, check=False).returncode == 0
    assert verify_signature(bundle_copy, key=keys.public) == open_bundle(bundle_copy).digest


def test_needs_no_network_and_no_clock(bundle_copy: Path, keys: Keys):
    code = f"""
import socket, time
def none(*_, **__): raise AssertionError("the network was used")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = none
time.time, time.time_ns = lambda: 0.0, lambda: 0
from pathlib import Path
from edgecnn.bundle.store import open_bundle
from edgecnn.archive.openssf import sign_bundle, verify_signature
bundle, place = open_bundle({str(bundle_copy)!r}), Path({str(bundle_copy)!r} + ".sig")
place.write_bytes(sign_bundle(bundle, key=Path({str(keys.private)!r})))
assert verify_signature(bundle.path, key=Path({str(keys.public)!r})) == bundle.digest
"""
    done = subprocess.run([sys.executable, "-c", code], env=child_environment(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_does_not_change_the_bundle(keys: Keys):
    before = sorted((path.name, path.stat().st_mtime_ns) for path in COMMITTED.iterdir())
    assert sign_bundle(open_bundle(COMMITTED), key=keys.private)
    assert sorted((path.name, path.stat().st_mtime_ns) for path in COMMITTED.iterdir()) == before
