"""The public API: its names, and where they are defined."""

import pytest

import edgecnn


def test_every_public_name_resolves():
    for name in edgecnn.__all__:
        assert getattr(edgecnn, name) is not None


def test_dir_lists_only_public_names():
    assert dir(edgecnn) == sorted(edgecnn.__all__)


def test_unknown_name_raises_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = edgecnn.nonsense
