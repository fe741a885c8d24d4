"""Imports `openvino` without its telemetry.

The import sends an event to the vendor's statistics service unless the user has opted out in a dialog, which devices
do not show. No environment variable turns it off. Without `openvino_telemetry`, OpenVINO uses a stub.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TELEMETRY = "openvino_telemetry"


@contextmanager
def _absent(package: str) -> Iterator[None]:
    """Make a package that is not imported yet look uninstalled while the context is active."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


with _absent(_TELEMETRY):
    import openvino as openvino  # noqa: PLC0414  # re-export
