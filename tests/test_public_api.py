"""The public API: what it holds, and that each name is where it says."""

import pytest

import edgecnn


def test_every_public_name_resolves():
    for name in edgecnn.__all__:
        assert getattr(edgecnn, name) is not None


def test_dir_lists_the_public_names_only():
    assert dir(edgecnn) == sorted(edgecnn.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = edgecnn.nonsense
