"""Tests of the rules for names and versions."""

import pytest

from edgecnn.bundle.names import check_name, is_version, replace_invalid
from edgecnn.errors import UsageError


@pytest.mark.parametrize("name", ["", "../x", "a b", "é", ".hidden", "x" * 101, "x\n"])
def test_rejects_an_invalid_name(name: str):
    with pytest.raises(UsageError, match="is not a valid bundle name"):
        check_name(name)


@pytest.mark.parametrize("name", ["x", "7", "LeNet-digits_int8.v2", "x" * 100])
def test_accepts_a_valid_name(name: str):
    assert check_name(name) == name
    assert replace_invalid(name) == name


def test_replaces_invalid_characters():
    assert replace_invalid("what ever") == "what_ever"
    assert replace_invalid(".é/x") == "___x"
    assert replace_invalid("") == "_"
    assert len(replace_invalid("x" * 300)) == 100


@pytest.mark.parametrize("number", ["1", "10", "9" * 18])
def test_accepts_a_version(number: str):
    assert is_version(number)


@pytest.mark.parametrize("number", ["", "0", "01", "-1", "1.0", "1\n", "²", "9" * 19])
def test_rejects_an_invalid_version(number: str):
    assert not is_version(number)
