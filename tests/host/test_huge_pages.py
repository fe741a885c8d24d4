"""Huge pages: which memory is moved, and the settings of other systems."""

import mmap
from pathlib import Path

import numpy as np
import pytest

from edgecnn.host.huge_pages import (
    VARIABLE,
    _without,
    huge_page_bytes,
    new_memory_on_huge_pages,
    on_huge_pages_bytes,
    why_no_huge_pages,
    writable_memory,
)
from edgecnn.host.resources import resident_bytes

SETTINGS = Path("sys/kernel/mm/transparent_hugepage")
MIB = 1 << 20

MAPS = """\
00400000-00401000 r-xp 00000000 fe:00 123        /usr/bin/python3
00601000-00602000 rw-p 00001000 fe:00 123        /usr/bin/python3
01000000-02000000 rw-p 00000000 00:00 0          [heap]
7f0000000000-7f0000400000 rw-p 00000000 00:00 0
7f0000400000-7f0000800000 ---p 00000000 00:00 0
7f0000800000-7f0000c00000 rw-s 00000000 00:01 99  /dev/shm/x (deleted)
7f0000c00000-7f0000e00000 r-xp 00000000 00:00 0
7ffd00000000-7ffd00800000 rw-p 00000000 00:00 0  [stack]
"""

here = pytest.mark.skipif(why_no_huge_pages() is not None, reason=f"{why_no_huge_pages()}")


def settings(root: Path, enabled: str) -> Path:
    (root / SETTINGS).mkdir(parents=True)
    (root / SETTINGS / "enabled").write_text(enabled)
    (root / SETTINGS / "hpage_pmd_size").write_text("2097152\n")
    return root


def private_memory(size: int) -> mmap.mmap:
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


@pytest.mark.parametrize(
    ("enabled", "reason"),
    [
        ("always [madvise] never\n", None),
        ("[always] madvise never\n", None),
        ("always madvise [never]\n", "the system's setting is never"),
        ("", "the system has none"),
    ],
)
def test_follows_the_setting_of_the_system(tmp_path: Path, enabled: str, reason: str | None):
    root = settings(tmp_path, enabled)
    assert why_no_huge_pages(root) == reason
    assert huge_page_bytes(root) == 2 * MIB


def test_a_system_without_huge_pages_has_none(tmp_path: Path):
    assert why_no_huge_pages(tmp_path) == "the system has none"
    assert huge_page_bytes(tmp_path) is None
    assert on_huge_pages_bytes(tmp_path) is None
    assert writable_memory(tmp_path) == []


def test_the_variable_turns_them_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "0")
    assert why_no_huge_pages(settings(tmp_path, "[always] madvise never")) == f"{VARIABLE} is 0"


def test_finds_private_writable_memory_without_files_and_stacks(tmp_path: Path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/maps").write_text(MAPS)
    assert writable_memory(tmp_path) == [(0x1000000, 0x2000000), (0x7F0000000000, 0x7F0000400000)]


@pytest.mark.parametrize(
    ("others", "left"),
    [
        ([], [(10, 20), (30, 40)]),
        ([(0, 10), (20, 30)], [(10, 20), (30, 40)]),
        ([(12, 14), (16, 18)], [(10, 12), (14, 16), (18, 20), (30, 40)]),
        ([(5, 35)], [(35, 40)]),
        ([(10, 15)], [(15, 20), (30, 40)]),
        ([(0, 50)], []),
    ],
)
def test_only_new_memory_counts(others: list[tuple[int, int]], left: list[tuple[int, int]]):
    assert _without([(10, 20), (30, 40)], others) == left


@here
def test_moves_resident_memory_and_keeps_its_content():
    before, size = on_huge_pages_bytes(), 16 * MIB
    with new_memory_on_huge_pages():
        numbers = np.frombuffer(private_memory(size), np.uint32)
        numbers[:] = np.arange(len(numbers))
        resident = resident_bytes()
    assert before is not None
    assert (on_huge_pages_bytes() or 0) - before >= size // 2  # fragmented memory may give fewer
    assert resident_bytes() - resident < 2 * MIB
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)))


@here
def test_leaves_memory_that_is_not_resident():
    with new_memory_on_huge_pages():
        memory = private_memory(64 * MIB)
        memory[::MIB] = bytes(64)
        resident = resident_bytes()
    assert resident_bytes() - resident < 2 * MIB


def test_an_error_in_the_block_is_raised():
    with pytest.raises(KeyError), new_memory_on_huge_pages():
        raise KeyError
