"""Real full and read-only file systems. Tests are skipped if they cannot be mounted."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(place: Path, *, kib: int) -> Iterator[Path]:
    """Mount a file system of `kib` KiB in a new folder."""
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextlib.contextmanager
def read_only(place: Path) -> Iterator[None]:
    """Make a folder read-only, for root too."""
    _mount("--bind", str(place), str(place))
    try:
        _mount("-o", "remount,bind,ro", str(place))
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _mount(*arguments: str) -> None:
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("mount is not installed")
    if done.returncode:
        pytest.skip(f"mount failed: {' '.join(done.stderr.split())}")
