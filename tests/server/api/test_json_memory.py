"""Estimates of the memory of parsed JSON: upper bounds of the real peak for the worst texts."""

import gc
import os
import re
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from edgecnn.protocol.tensors import from_json
from edgecnn.server.api.json_memory import json_bytes

SIZE = 4 << 20


def repeated(unit: str) -> bytes:
    return f"[{','.join([unit] * (SIZE // (len(unit) + 1)))}]".encode()


TEXTS = {unit: repeated(unit) for unit in (
    "[]", "[1]", "[1,2,3,4,5]", "{}", '{"a":1}', '{"a":{}}', "1.5", "1e9", "0", "255", "1000", "-9", "-7000000000",
    '""', '"ab"', "null", '"é😀"', '"\\ud83d\\ude00"',
)} | {
    "a long string": b'["' + b"a" * SIZE + b'"]',
    "a long string with a wide character": b'["' + b"a" * SIZE + "😀".encode() + b'"]',
    "many keys": ("{" + ",".join(f'"{number}":0' for number in range(SIZE // 10)) + "}").encode(),
    "many wide keys": ("{" + ",".join(f'"{number}😀":0' for number in range(SIZE // 14)) + "}").encode(),
    "deep": repeated("[" * 500 + "]" * 500),
}  # fmt: skip


def peak_of(text: bytes) -> int:
    """Return the growth of the resident set while a text is parsed in a child process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        gc.disable()
        Path("/proc/self/clear_refs").write_text("5")
        before = resident("VmRSS")
        parsed = orjson.loads(text)
        if type(parsed) is list and type(parsed[0]) is int and 0 <= parsed[0] <= 255:
            from_json("image", "UINT8", (len(parsed),), parsed)
        os.write(writing, str(resident("VmHWM") - before).encode())
        os._exit(0)
    os.close(writing)
    found = int(os.read(reading, 100))
    os.close(reading)
    os.waitpid(child, 0)
    return found


def resident(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/clear_refs")
@pytest.mark.parametrize("name", TEXTS)
def test_bounds_the_peak(name: str):
    assert 0.95 * peak_of(TEXTS[name]) <= json_bytes(TEXTS[name])


def test_leaves_room_for_usual_requests():
    pixels = np.random.default_rng(1).integers(0, 256, 1 << 20)
    text = orjson.dumps({"inputs": [{"name": "image", "data": pixels.tolist()}]})
    assert json_bytes(text) < 24 * len(text)
