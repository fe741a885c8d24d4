"""Marks of tests that run on emulated processors."""

from collections.abc import Callable

import pytest

from benchmarks.devices.emulation import CORTEX_A72, HASWELL


def emulated(test: Callable) -> Callable:
    """Mark a test that runs on an emulated x86 processor: it needs QEMU, and seconds."""
    missing = HASWELL.missing()
    return pytest.mark.slow(pytest.mark.skipif(missing is not None, reason=missing or "")(test))


on_an_arm = [
    pytest.mark.slow,
    pytest.mark.skipif((missing := CORTEX_A72.missing()) is not None, reason=missing or ""),
]
"""The marks of a test on an emulated ARM processor: it needs QEMU, the file system of `make arm`, and seconds."""
