"""Create the TLS context of a listener."""

import ssl
from pathlib import Path

from edgecnn.errors import UsageError


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
    return context
