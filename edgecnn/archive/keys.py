"""Read and check keys: PEM files on the curves that model-signing supports. Messages never contain key material."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from edgecnn.archive.signature import LARGEST_KEY, read_small_file
from edgecnn.errors import UsageError

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_EXPECTED = "expected a PEM key on the curve P-256, P-384 or P-521; docs/signing.md describes how to create one"


def check_private_key(path: Path) -> None:
    """Check that a file contains a supported, unencrypted private key; raise `UsageError` if not."""
    content = _read(path)
    if b"PUBLIC KEY-----" in content:
        raise UsageError(f"{path} is a public key: sign with the private key")
    try:
        key = load_pem_private_key(content, None)
    except TypeError:  # the key needs a password
        raise UsageError(f"{path} is encrypted: expected an unencrypted private key") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{path} contains no readable private key: {_EXPECTED}") from None
    _check_curve(path, key)


def read_public_key(path: Path) -> bytes:
    """Return the content of a public key file. Raise `UsageError` if it contains no supported public key."""
    content = _read(path)
    if b"PRIVATE KEY-----" in content:
        raise UsageError(
            f"{path} is a private key, which must stay on the signing machine: verify with the public key, "
            f"extracted by `openssl pkey -pubout`"
        )
    if b"-----BEGIN CERTIFICATE-----" in content:
        raise UsageError(f"{path} is a certificate: expected a public key, extracted by `openssl x509 -pubkey`")
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{path} contains no readable public key: {_EXPECTED}") from None
    _check_curve(path, key)
    return content


def _read(path: Path) -> bytes:
    try:
        return read_small_file(path, LARGEST_KEY)
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path} {error}: {_EXPECTED}") from None


def _check_curve(path: Path, key: object) -> None:
    if not isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        raise UsageError(f"{path} is not an elliptic curve key: {_EXPECTED}")
    if key.curve.name not in _CURVES:
        raise UsageError(f"{path} is a key on the curve {key.curve.name}: {_EXPECTED}")
