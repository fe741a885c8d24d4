"""Certificates that openssl makes."""

import ssl
import subprocess
from pathlib import Path

from signing_keys import openssl


def make_pair(folder: Path, name: str = "localhost", *, days: int = 30) -> tuple[Path, Path]:
    """Write a self-signed certificate and its private key, `cert.pem` and `key.pem`; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem")
    subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-days", str(days))
    openssl(folder, "req", "-x509", *ec, "-out", "cert.pem", *subject)
    return folder / "cert.pem", folder / "key.pem"


def end_date(cert: Path) -> float:
    """Return when openssl says that a certificate expires, in seconds since 1970."""
    command = ["openssl", "x509", "-in", str(cert), "-noout", "-enddate"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return ssl.cert_time_to_seconds(found.strip().partition("=")[2])
