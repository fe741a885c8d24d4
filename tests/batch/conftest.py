"""Fixtures of batch jobs."""

from pathlib import Path

import pytest
from batch_sources import digit_folder


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A folder with ten images."""
    return digit_folder(tmp_path / "digits", 10)
