"""`serve --require-signature` serves only bundles with a valid signature, at the start and later.

The number in a comment is a row in the project's table of faults.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model_versions import NAME, put, reseal_as
from repository import COMMITTED
from server_process import Server, serving, start, wait_for
from signing_keys import Keys, make_keys

from edgecnn.bundle.store import open_bundle
from edgecnn.errors import DigestMismatch, SignatureError, SignatureInvalid, SignatureMissing
from edgecnn.server.models import loading
from edgecnn.server.models.catalogue import Source, candidates
from edgecnn.server.options import ServeOptions
from edgecnn.server.preflight.signature_check import check_signature
from edgecnn.server.preflight.trial import Preflight, try_bundle

QUICK = ("--watch-s", 0.1)
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Return the keys of the bundles' owner."""
    return make_keys(tmp_path_factory.mktemp("keys") / "ours")


@pytest.fixture(scope="module")
def foreign_keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Return keys that the server does not trust."""
    return make_keys(tmp_path_factory.mktemp("keys") / "foreign")


def named(folder: Path, name: str) -> Path:
    bundle = Path(shutil.copytree(COMMITTED, folder / name))
    reseal_as(bundle, name)
    return bundle


def digest(server: Server) -> str:
    return server.infer(server.images[:1]).headers["x-bundle-digest"]


def index(server: Server) -> dict[str, Any]:
    reply = server.request("POST", "/v2/repository/index")
    assert "/" not in reply.body.decode(), "the index contains a path"
    return {entry["name"]: entry for entry in reply.json}


def wait_for_reason(server: Server, reason: str) -> None:
    wait_for(lambda: index(server)[NAME]["reason"] == reason)


def put_signed(folder: Path, number: int, keys: Keys) -> str:
    """Add a signed version to a model folder, the signature first: the order of the copies must not matter."""
    aside = folder / ".aside"
    aside.mkdir()
    put(aside, number)
    keys.sign(aside / str(number), at=folder / f"{number}.sig")
    bundle = (aside / str(number)).rename(folder / str(number))
    aside.rmdir()
    return open_bundle(bundle).digest


@pytest.mark.slow
def test_serves_only_signed_bundles(tmp_path: Path, keys: Keys, foreign_keys: Keys):  # 81
    models = tmp_path / "models"
    for signed in ("good", "altered", "resealed"):
        keys.sign(named(models, signed))
    foreign_keys.sign(named(models, "foreign"))
    named(models, "unsigned")
    content = bytearray((models / "altered" / "model.onnx").read_bytes())
    content[-1] ^= 1
    (models / "altered" / "model.onnx").write_bytes(content)
    manifest = json.loads((models / "resealed" / "manifest.json").read_text()) | {"annotations": {"by": "somebody"}}
    (models / "resealed" / "manifest.json").write_text(json.dumps(manifest))
    with serving("--require-signature", keys.public, bundles=[models], name="good") as server:
        found = index(server)
        missing, invalid = "its signature is missing", "its signature is invalid"
        assert {name: entry["reason"] for name, entry in found.items()} == {
            "good": "",
            "altered": invalid,
            "foreign": invalid,
            "resealed": invalid,
            "unsigned": missing,
        }
        assert [name for name, entry in found.items() if entry["state"] == "READY"] == ["good"]
        errors = "".join(line for line in server.lines if "ERROR" in line)
        for file, what in (
            ("altered/model.onnx", "was changed after the bundle was signed"),
            ("foreign.sig", "does not match the key"),
            ("resealed/manifest.json", "was changed after the bundle was signed"),
            ("unsigned", "is not signed"),
        ):
            assert f"{models / file} {what}" in errors
        refused = server.request("POST", "/v2/models/unsigned/infer", b"{}")
        assert refused.status == 503
        assert str(tmp_path) not in refused.error
        server.unharmed()


@pytest.mark.slow
def test_worker_does_not_load_cryptography(tmp_path: Path, keys: Keys):
    bundle = named(tmp_path, "good")
    keys.sign(bundle)
    with serving("--require-signature", keys.public, bundles=[bundle], name="good") as server:
        for pid in (server.process.pid, *server.worker_pids()):
            assert "cryptography" not in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.slow
def test_serves_a_bundle_once_it_is_signed(tmp_path: Path, keys: Keys):
    good, late = named(tmp_path, "good"), named(tmp_path, "late")
    keys.sign(good)
    with serving(*QUICK, "--require-signature", keys.public, bundles=[good, late], name="good") as server:
        assert index(server)["late"]["reason"] == "its signature is missing"
        keys.sign(late)
        wait_for(lambda: index(server)["late"]["state"] == "READY")
        assert index(server)["late"]["reason"] == ""


@pytest.mark.slow
def test_serves_a_new_version_once_it_is_signed(folder: Path, keys: Keys, foreign_keys: Keys):  # 78, 81
    first = put_signed(folder, 1, keys)
    options = (*QUICK, "--require-signature", keys.public)
    with serving(*options, bundles=[folder], name=NAME) as server:
        with server.good_neighbour():
            second = put(folder, 2)
            wait_for_reason(server, "version 2 was refused: its signature is missing")
            foreign_keys.sign(folder / "2")
            wait_for_reason(server, "version 2 was refused: its signature is invalid")
        assert digest(server) == first
        keys.sign(folder / "2")
        wait_for(lambda: digest(server) == second)
        wait_for_reason(server, "")
        third = put_signed(folder, 3, keys)
        wait_for(lambda: digest(server) == third)


@pytest.mark.slow
def test_serves_on_after_the_signature_is_deleted(folder: Path, keys: Keys):
    first = put_signed(folder, 1, keys)
    with serving(*QUICK, "--require-signature", keys.public, bundles=[folder], name=NAME) as server:
        (folder / "1.sig").unlink()
        wait_for_reason(server, "version 1 was refused: its signature is missing")
        assert index(server)[NAME]["state"] == "READY"
        assert digest(server) == first


@pytest.mark.slow
def test_reports_a_deleted_key(folder: Path, tmp_path: Path, keys: Keys):
    key = Path(shutil.copy(keys.public, tmp_path / "public.pem"))
    put_signed(folder, 1, keys)
    with serving(*QUICK, "--require-signature", key, bundles=[folder], name=NAME) as server:
        key.unlink()
        put_signed(folder, 2, keys)
        wait_for_reason(server, "version 2 was refused: its signature could not be checked")
        (line,) = [line for line in server.lines if "ERROR" in line]
        assert f"cannot read the key {key}" in line
        server.unharmed()


@pytest.mark.slow
def test_starts_with_the_highest_signed_version(folder: Path, keys: Keys):
    first = put_signed(folder, 1, keys)
    put(folder, 2)
    with serving("--require-signature", keys.public, bundles=[folder.parent], name=NAME) as server:
        assert digest(server) == first
        assert index(server)[NAME]["reason"] == "version 2 was refused: its signature is missing"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda keys, place: None, "cannot read the key {place}: No such file or directory"),
        (lambda keys, place: shutil.copy(keys.private, place), "{place} is a private key"),
    ],
)
def test_rejects_an_unusable_key_before_listening(
    make: Callable[[Keys, Path], object], message: str, tmp_path: Path, keys: Keys
):
    place = tmp_path / "key.pem"
    make(keys, place)
    process, lines = start("--require-signature", place)
    assert process.wait(PATIENCE_S) == 2
    wait_for(lambda: lines)
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {message.format(place=place)}")


@pytest.mark.slow
def test_strict_exits_if_a_bundle_is_unsigned(tmp_path: Path, keys: Keys):
    process, lines = start("--strict", "--require-signature", keys.public, bundles=[named(tmp_path, "unsigned")])
    assert process.wait(PATIENCE_S) == 1
    assert any(f"{tmp_path / 'unsigned'} is not signed" in line for line in lines)


@pytest.mark.slow
def test_raises_an_error_class_per_cause(tmp_path: Path, keys: Keys, foreign_keys: Keys):
    bundle = named(tmp_path, "bundle")
    with pytest.raises(SignatureMissing):
        check_signature(bundle, key=keys.public, timeout_s=PATIENCE_S)
    keys.sign(bundle)
    assert check_signature(bundle, key=keys.public, timeout_s=PATIENCE_S) == open_bundle(bundle).digest
    with pytest.raises(SignatureInvalid):
        check_signature(bundle, key=foreign_keys.public, timeout_s=PATIENCE_S)
    with pytest.raises(SignatureError, match=re.escape("was not checked within 0.01 s")):
        check_signature(bundle, key=keys.public, timeout_s=0.01)


def test_rejects_a_bundle_replaced_after_the_check(tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch):
    bundle = named(tmp_path, "bundle")
    keys.sign(bundle)

    def check_and_lose(path: Path, *, key: Path, timeout_s: float) -> str:
        digest = check_signature(path, key=key, timeout_s=timeout_s)
        reseal_as(path, "evil")
        return digest

    monkeypatch.setattr(loading, "check_signature", check_and_lose)
    with pytest.raises(DigestMismatch, match=r"manifest\.json was replaced after it was checked"):
        loading.load(bundle, ServeOptions(require_signature=keys.public), 1)


def test_rejects_a_model_replaced_in_preflight(tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch):
    bundle = named(tmp_path, "bundle")
    keys.sign(bundle)

    def try_and_lose(path: Path, **options: Any) -> Preflight:
        trial = try_bundle(path, **options)
        (path / "model.onnx").write_bytes(b"evil")
        return trial

    monkeypatch.setattr(loading, "try_bundle", try_and_lose)
    with pytest.raises(DigestMismatch, match=r"model\.onnx has 4 bytes"):
        loading.load(bundle, ServeOptions(require_signature=keys.public), 1)


def test_rejects_a_bundle_replaced_before_preflight(tmp_path: Path):
    bundle = named(tmp_path, "bundle")
    digest = open_bundle(bundle).digest
    reseal_as(bundle, "evil")
    with pytest.raises(DigestMismatch, match=r"manifest\.json was replaced after it was checked"):
        try_bundle(bundle, digest=digest)


def test_a_signature_changes_only_signed_candidates(folder: Path, keys: Keys):
    put(folder, 1)

    def signature(*, signed: bool) -> tuple[str, ...]:
        (candidate,) = candidates(Source(NAME, folder, has_versions=True), signed=signed)
        return candidate.signature

    plain = signature(signed=False)
    assert signature(signed=True) == plain
    keys.sign(folder / "1")
    assert signature(signed=False) == plain
    first = signature(signed=True)
    assert first != plain
    (folder / "1.sig").write_bytes((folder / "1.sig").read_bytes() + b"\n")
    assert signature(signed=True) != first
