"""The package `openvino`, imported so that it calls nobody.

Its import sends an event to a statistics service of its makers, unless the user has opted out in a dialog that no
device shows; there is no variable that forbids it. Where `openvino_telemetry` cannot be imported, it uses a stub.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TELEMETRY = "openvino_telemetry"


@contextmanager
def _absent(package: str) -> Iterator[None]:
    """Let a package that has not been imported yet look as if it were not installed, and only here."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


with _absent(_TELEMETRY):
    import openvino as openvino  # noqa: PLC0414  # it is what this module gives
