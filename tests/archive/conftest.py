"""Two key pairs for all tests (the signer's, and a foreign one), five bundles, and a site."""

from pathlib import Path

import pytest
from model_versions import put
from signing_keys import Keys, make_keys


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Keys of the signer."""
    return make_keys(tmp_path_factory.mktemp("keys") / "ours")


@pytest.fixture(scope="session")
def foreign_keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Keys of another signer."""
    return make_keys(tmp_path_factory.mktemp("keys") / "foreign")


@pytest.fixture
def bundles(tmp_path: Path) -> dict[int, Path]:
    """Five bundles with different digests, numbered from 1."""
    (tmp_path / "bundles").mkdir()
    for number in range(1, 6):
        put(tmp_path / "bundles", number)
    return {number: tmp_path / "bundles" / str(number) for number in range(1, 6)}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"
