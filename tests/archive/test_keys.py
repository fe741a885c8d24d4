"""Tests of errors for invalid keys. A message has one line and contains no key material."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from signing_keys import Keys, openssl

from edgecnn.archive.keys import check_private_key, read_public_key
from edgecnn.errors import UsageError


def check_public_key(path: Path) -> None:
    read_public_key(path)


def generated(*arguments: str) -> Callable[[Path], None]:
    """Create a private key with openssl, and its public key in `public`."""

    def make(path: Path) -> None:
        openssl(path.parent, "genpkey", "-out", path.name, *arguments)
        openssl(path.parent, "pkey", "-in", path.name, "-pubout", "-out", "public")

    return make


RSA = generated("-algorithm", "RSA")
ED25519 = generated("-algorithm", "ED25519")
BITCOIN = generated("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1")
SMALL = generated("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp224r1")
OTHERS = {
    "RSA": (RSA, "is not an elliptic curve key"),
    "Ed25519": (ED25519, "is not an elliptic curve key"),
    "secp256k1": (BITCOIN, "is a key on the curve secp256k1"),
    "secp224r1": (SMALL, "is a key on the curve secp224r1"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_rejects_a_key_of_another_kind(kind: str, tmp_path: Path):
    make, said = OTHERS[kind]
    make(tmp_path / "private")
    for check, path in ((check_private_key, tmp_path / "private"), (check_public_key, tmp_path / "public")):
        with pytest.raises(UsageError) as caught:
            check(path)
        assert str(caught.value).startswith(f"{path} {said}: expected a PEM key on the curve P-256, P-384 or P-521")


@pytest.mark.parametrize("check", [check_private_key, check_public_key])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"hello",
        b"-----BEGIN PRIVATE",
        b"x" * (1 << 20),
        b"-----BEGIN X-----\nAAAA\n-----END X-----\n",
    ],
)
def test_rejects_a_file_without_a_key(check: Callable[[Path], None], content: bytes, tmp_path: Path):
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        check(tmp_path / "key")
    assert str(caught.value).startswith(str(tmp_path / "key"))


@pytest.mark.parametrize("check", [check_private_key, check_public_key])
def test_rejects_a_missing_or_special_file(check: Callable[[Path], None], tmp_path: Path):
    with pytest.raises(UsageError, match=f"cannot read the key {tmp_path / 'nowhere'}: No such file"):
        check(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(UsageError, match=f"{place} is not a plain file"):
            check(place)


def test_rejects_the_other_half_of_a_key_pair(keys: Keys, tmp_path: Path):
    with pytest.raises(UsageError, match="is a public key: sign with the private key"):
        check_private_key(keys.public)
    with pytest.raises(UsageError, match="is a private key, which must stay on the signing machine"):
        read_public_key(keys.private)
    lines = keys.private.read_text().splitlines()
    (tmp_path / "cut.pem").write_text("\n".join([lines[0], lines[1], lines[-1]]))
    with pytest.raises(UsageError) as caught:
        check_private_key(tmp_path / "cut.pem")
    assert lines[1] not in str(caught.value)


def test_rejects_an_encrypted_key(keys: Keys, tmp_path: Path):
    for name, extra in (("pkcs8.pem", ("pkcs8", "-topk8")), ("ec.pem", ("ec", "-aes128"))):
        openssl(tmp_path, *extra, "-in", str(keys.private), "-out", name, "-passout", "pass:secret")
        with pytest.raises(UsageError, match="is encrypted: expected an unencrypted private key"):
            check_private_key(tmp_path / name)


def test_rejects_a_certificate(keys: Keys, tmp_path: Path):
    openssl(tmp_path, "req", "-x509", "-key", str(keys.private), "-subj", "/CN=x", "-out", "certificate.pem")
    with pytest.raises(UsageError, match="is a certificate: expected a public key"):
        read_public_key(tmp_path / "certificate.pem")


def test_accepts_the_older_private_key_format(tmp_path: Path):
    openssl(tmp_path, "ecparam", "-name", "prime256v1", "-genkey", "-out", "parameters-too.pem")
    openssl(tmp_path, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem")
    check_private_key(tmp_path / "parameters-too.pem")
    check_private_key(tmp_path / "key.pem")
