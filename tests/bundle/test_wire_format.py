"""Tests of the protocol buffers reader."""

import pytest

from edgecnn.bundle.wire_format import FIXED32, FIXED64, LENGTH, VARINT, WireFormatError, read_fields, read_integers


def test_finds_fields_of_every_wire_type():
    message = b"\x08\xac\x02" + b"\x11" + bytes(8) + b"\xba\x3e\x03abc" + b"\x25" + bytes(4)
    fields = list(read_fields(message))
    assert fields == [(1, VARINT, 300, 3), (2, FIXED64, 4, 12), (999, LENGTH, 15, 18), (4, FIXED32, 19, 23)]
    assert list(read_fields(memoryview(message))) == fields
    assert message[15:18] == b"abc"


def test_accepts_an_empty_message():
    assert list(read_fields(b"")) == []


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (b"\x08", "at byte 1: expected an integer"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "at byte 1: expected an integer"),
        (b"\x88\x80\x80\x80\x80\x00\x00", "at byte 0: expected an integer"),
        (b"\x0a\x80\x80\x80\x80\x80\x00", "at byte 1: expected an integer"),
        (b"\xf8\xff\xff\xff\x7f\x00", "at byte 0: a field has the number 4294967295"),
        (b"\x0b", "at byte 1: a field has the wire type 3"),
        (b"\x0a\x05abcd", "cut off: expected 7 bytes or more, found 6"),
        (b"\x0d\x00\x00\x00", "cut off: expected 5 bytes or more, found 4"),
    ],
)
def test_rejects_malformed_messages(message: bytes, error: str):
    with pytest.raises(WireFormatError, match=error):
        list(read_fields(message))


def test_reads_packed_integers():
    assert read_integers(memoryview(b""), 0) == []
    assert read_integers(memoryview(b"\x04\xac\x02\x00"), 3) == [4, 300, 0]


def test_rejects_damaged_or_too_many_packed_integers():
    with pytest.raises(WireFormatError, match="expected an integer"):
        read_integers(memoryview(b"\x04\xac"), 3)
    with pytest.raises(WireFormatError, match="expected at most 2 integers"):
        read_integers(memoryview(b"\x01\x02\x03"), 2)
