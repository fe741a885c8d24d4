"""Create the TLS context of a listener, and read when its certificate expires."""

import binascii
import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

from edgecnn.errors import UsageError

_PEM = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([^-]*)-----END ")
_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18
"""Tags of DER (ITU-T X.690)."""


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Return a context for TLS 1.2 and later.

    `cert` contains the certificate and its chain in PEM. `key` contains the private key in PEM, without
    encryption, because a service cannot prompt for a password.

    Raises:
        UsageError: a file is missing or is not in PEM, or the key is encrypted or belongs to another certificate.
    """
    for path, what in ((cert, "certificate"), (key, "private key")):
        try:
            path.read_bytes()
        except OSError as error:
            raise UsageError(f"expected the {what} in PEM at {path}, found: {error.strerror}") from None

    def refuse() -> str:
        raise UsageError(f"the private key {key} is encrypted; decrypt it: openssl pkey -in {key.name} -out plain.pem")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, password=refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(f"the private key {key} does not match the certificate {cert}") from None
        raise UsageError(
            f"expected a certificate and a private key in PEM, found another format in {cert} or {key}"
        ) from None
    except OSError as error:
        raise UsageError(f"cannot read {cert} or {key}: {error.strerror}") from None
    return context


def expires_at(chain: bytes) -> float:
    """Return when the first certificate of a chain in PEM expires, in seconds since 1970 (RFC 5280, 4.1.2.5).

    Raises:
        ValueError: the chain contains no certificate, or it is malformed.
    """
    found = _PEM.search(chain)
    if found is None:
        raise ValueError("no certificate in PEM")
    try:
        fields = _content(_content(binascii.a2b_base64(found[1]), 0), 0)  # Certificate, TBSCertificate
        at = _end(fields, 0) if fields[0] == _VERSION else 0
        for _ in ("serialNumber", "signature", "issuer"):
            at = _end(fields, at)
        validity = _content(fields, at)
        return _seconds(validity, _end(validity, 0))
    except (IndexError, binascii.Error) as error:
        raise ValueError(f"the certificate is malformed: {error}") from None


def _bounds(der: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the element at an offset begins and ends."""
    length, begin = der[at + 1], at + 2
    if length >= 0x80:  # the length of the length
        begin += length & 0x7F
        length = int.from_bytes(der[at + 2 : begin])
    return begin, begin + length


def _content(der: bytes, at: int) -> bytes:
    return der[slice(*_bounds(der, at))]


def _end(der: bytes, at: int) -> int:
    return _bounds(der, at)[1]


def _seconds(der: bytes, at: int) -> float:
    """Read a time. Its year has two digits (1950 to 2049) or four."""
    tag, text = der[at], _content(der, at).decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if text < "50" else "19") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError(f"expected a time, found the tag {tag:#x}")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
