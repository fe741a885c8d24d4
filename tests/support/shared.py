"""Fixtures that all workers of one test run share: the first worker builds, the others wait."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecnn.files.locking import locked


def build_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """Return the folder or file `name` of this test run; `build` writes it, in one step, where it is missing."""
    base = factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    lock = root / f"{name}.lock"
    lock.mkdir(parents=True, exist_ok=True)
    with locked(lock):
        if not (root / name).exists():
            build(root / name)
    return root / name
