"""Estimate the memory of a parsed JSON request, from counts of its characters.

The figures are for orjson and 64-bit CPython: an upper bound of the objects, and of the lists that `protocol.tensors`
makes of them. A test compares the estimates with peaks of the resident set for the worst texts.
"""

_FIXED_BYTES = 64 << 10
_ITEM_BYTES, _NUMBER_BYTES = 28, 32
"""Places of an element in lists that grow, and a number that Python does not keep ready, such as 257 or 0.5."""
_LIST_BYTES, _OBJECT_BYTES, _PAIR_BYTES, _QUOTE_BYTES = 88, 80, 190, 34
"""A list, an object, a pair in an object, and half a string without its characters."""
_WIDEST_CHARACTER = 4
_TREE_BYTES = 3
"""Bytes of the tree of orjson's parser for each byte of text: 16 for each 6 (yyjson, estimated ratio)."""


def json_bytes(text: bytes) -> int:
    """Return an upper bound of the memory in bytes that parsing takes besides the text itself."""
    items = text.count(b",") + 1
    lists, objects, pairs, quotes = (text.count(each) for each in (b"[", b"{", b":", b'"'))
    numbers = min(items + lists + objects, (len(text) - items) // 2 + 1)  # others have one digit
    character = 1 if text.isascii() and b"\\u" not in text else _WIDEST_CHARACTER
    return (
        _FIXED_BYTES
        + len(text) * _TREE_BYTES
        + items * _ITEM_BYTES
        + numbers * _NUMBER_BYTES
        + lists * _LIST_BYTES
        + objects * _OBJECT_BYTES
        + pairs * _PAIR_BYTES
        + quotes * _QUOTE_BYTES
        + (len(text) * (character + 1) if quotes else 0)
    )
