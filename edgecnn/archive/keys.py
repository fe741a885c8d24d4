"""The keys that sign and verify: PEM files, on the curves that model-signing takes. Nothing of a key is ever shown."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from edgecnn.archive.signature import LARGEST_KEY, read_small_file
from edgecnn.errors import UsageError

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_EXPECTED = "expected one on the curve P-256, P-384 or P-521, which docs/signing.md makes with openssl"


def check_private_key(path: Path) -> None:
    """Check that a file contains a private key that can sign; raises `UsageError` if not, or if it is encrypted."""
    content = _read(path)
    if b"PUBLIC KEY-----" in content:
        raise UsageError(f"{path} holds a public key, which verifies: sign with the private one")
    try:
        key = load_pem_private_key(content, None)
    except TypeError:  # a password is expected
        raise UsageError(f"{path} is encrypted: expected a private key that is not") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{path} holds no private key in PEM that can be read: {_EXPECTED}") from None
    _check_curve(path, key)


def read_public_key(path: Path) -> bytes:
    """Return the content of a file with a public key that can verify; raises `UsageError` if it has none."""
    content = _read(path)
    if b"PRIVATE KEY-----" in content:
        raise UsageError(
            f"{path} holds a private key, which stays where bundles are signed: verify with the public one, "
            f"which `openssl pkey -pubout` makes from it"
        )
    if b"-----BEGIN CERTIFICATE-----" in content:
        raise UsageError(f"{path} holds a certificate: expected a public key, which `openssl x509 -pubkey` takes out")
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{path} holds no public key in PEM that can be read: {_EXPECTED}") from None
    _check_curve(path, key)
    return content


def _read(path: Path) -> bytes:
    try:
        return read_small_file(path, LARGEST_KEY)
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path} {error}: expected a key in PEM") from None


def _check_curve(path: Path, key: object) -> None:
    if not isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        raise UsageError(f"{path} holds a key that is not of an elliptic curve: {_EXPECTED}")
    if key.curve.name not in _CURVES:
        raise UsageError(f"{path} holds a key on the curve {key.curve.name}: {_EXPECTED}")
