"""Marks of tests that run on emulated processors."""

from collections.abc import Callable

import pytest

from benchmarks.devices.emulation import CORTEX_A72, HASWELL


def emulated(test: Callable) -> Callable:
    """Mark a slow test that needs QEMU for an emulated x86 processor."""
    missing = HASWELL.missing()
    return pytest.mark.slow(pytest.mark.skipif(missing is not None, reason=missing or "")(test))


on_an_arm = [
    pytest.mark.slow,
    pytest.mark.skipif((missing := CORTEX_A72.missing()) is not None, reason=missing or ""),
]
"""The marks of a slow test that needs QEMU and the file system of `make arm` for an emulated ARM processor."""
