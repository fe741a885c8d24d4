"""Two key pairs for all tests: the signer's, and a foreign one."""

import pytest
from signing_keys import Keys, make_keys


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Keys of the signer."""
    return make_keys(tmp_path_factory.mktemp("keys") / "ours")


@pytest.fixture(scope="session")
def foreign_keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Keys of another signer."""
    return make_keys(tmp_path_factory.mktemp("keys") / "foreign")
