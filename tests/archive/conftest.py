"""One key pair for all tests, and another that is not meant."""

import pytest
from signing_keys import Keys, make_keys


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Of whoever makes bundles."""
    return make_keys(tmp_path_factory.mktemp("keys") / "ours")


@pytest.fixture(scope="session")
def foreign_keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Of somebody else."""
    return make_keys(tmp_path_factory.mktemp("keys") / "foreign")
