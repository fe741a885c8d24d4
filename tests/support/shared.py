"""Fixtures that all workers of a test run share: the first worker builds, the other ones wait."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecnn.files.locking import locked


def build_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """Return the file or folder `name` of this test run; if it is missing, `build` writes it in one step."""
    base = factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    lock = root / f"{name}.lock"
    lock.mkdir(parents=True, exist_ok=True)
    with locked(lock):
        if not (root / name).exists():
            build(root / name)
    return root / name
