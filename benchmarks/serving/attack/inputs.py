"""Files that attacks send: small ones that need much memory or time when they are decoded.

They are written once, to `build/serving/attack/`. Writing an image of 64 megapixels takes hundreds of megabytes for a
moment.
"""

import gzip
import subprocess
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from benchmarks.serving.recipes import SERVING

FOLDER = SERVING / "attack"
CMYK_64, CMYK_24, PALETTE_64, GREY_28 = "cmyk64.jpg", "cmyk24.jpg", "palette64.png", "grey28.png"
ZEROS_GZIP, CERTIFICATE, KEY = "zeros.gz", "cert.pem", "key.pem"
_GZIP_BYTES = 64 << 20


def _cmyk(file: Path, side: int) -> None:
    """Write a progressive CMYK JPEG: libjpeg holds all its coefficients, 2 bytes for each of 4 components."""
    Image.new("CMYK", (side, side), (10, 90, 160, 40)).save(file, "JPEG", progressive=True, quality=75)


def _palette(file: Path) -> None:
    """Write a PNG with a palette: 1 byte per pixel in Pillow, 3 more when it is converted."""
    image = Image.new("P", (8000, 8000), 3)
    image.putpalette(bytes(range(256)) * 3)
    image.save(file, "PNG")


def _certificate(file: Path) -> None:
    """Write a certificate for localhost, and its key in the same folder."""
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "3650", *subject, "-keyout", str(file.with_name(KEY)), "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True)


_WRITERS: dict[str, Callable[[Path], object]] = {
    CMYK_64: lambda file: _cmyk(file, 8000),
    CMYK_24: lambda file: _cmyk(file, 4900),
    PALETTE_64: _palette,
    GREY_28: lambda file: Image.new("L", (28, 28), 200).save(file, "PNG"),
    ZEROS_GZIP: lambda file: file.write_bytes(gzip.compress(bytes(_GZIP_BYTES), 9)),
    CERTIFICATE: _certificate,
}


def write_inputs() -> None:
    """Write the files that do not exist."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, write in _WRITERS.items():
        if not (FOLDER / name).exists():
            part = FOLDER / f".{name}"
            write(part)
            part.replace(FOLDER / name)
