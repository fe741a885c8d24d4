"""Tests of sites that other processes use, that are on full or read-only disks, or that have wrong file times."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sites import current, versions
from small_places import read_only, small_disk

from edgecnn.archive.installing import install, rollback
from edgecnn.bundle.store import open_bundle
from edgecnn.errors import EdgecnnError
from edgecnn.files.digest import digest_file
from edgecnn.files.locking import locked


def test_concurrent_installs_run_one_after_another(site: Path, bundles: dict[int, Path]):
    install(bundles[1], site)
    code = "import sys; from pathlib import Path; from edgecnn.archive.installing import install\n"
    code += "print(install(Path(sys.argv[1]), Path(sys.argv[2]), keep=9).version)"
    with locked(site):  # all processes wait for this lock first
        running = [
            subprocess.Popen([sys.executable, "-c", code, bundle, site], stdout=subprocess.PIPE, text=True)
            for bundle in (bundles[2], bundles[3], bundles[4])
        ]
        assert versions(site) == [1]
    numbers = sorted(int(process.communicate()[0]) for process in running)
    assert numbers == [2, 3, 4]
    assert versions(site) == [1, 2, 3, 4]
    assert [rollback(site).version for _ in range(3)] == [3, 2, 1]


def test_current_is_always_complete(site: Path, bundles: dict[int, Path]):
    install(bundles[1], site)
    ended = threading.Event()
    found: set[str] = set()

    def read() -> None:
        while not ended.is_set():
            found.add(open_bundle(site / "current").digest)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in (2, 3, 4):
            install(bundles[number], site, keep=9)
            rollback(site)
    finally:
        ended.set()
        reader.join()
    assert open_bundle(bundles[1]).digest in found
    assert found <= {open_bundle(bundle).digest for bundle in bundles.values()}


def test_opened_bundle_survives_a_switch(site: Path, bundles: dict[int, Path]):
    install(bundles[1], site)
    opened = open_bundle(site / "current")
    install(bundles[2], site)
    assert digest_file(opened.model.with_name("manifest.json")) == opened.digest
    assert opened.path.samefile(site / "versions" / "1")


def test_keeps_other_files(site: Path, bundles: dict[int, Path]):
    install(bundles[1], site)
    strangers = [site / "notes.txt", site / ".hidden", site / "versions" / ".1.new-backup", site / "versions" / "notes"]
    for path in strangers:
        path.write_text("x")
    install(bundles[2], site, keep=1)
    rollback(site)
    assert all(path.read_text() == "x" for path in strangers)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KiB, with space for two bundles."""
    with small_disk(tmp_path / "small", kib=400) as place:
        yield place


def test_full_disk_keeps_the_current_version(small: Path, bundles: dict[int, Path]):
    site = small / "site"
    install(bundles[1], site)
    install(bundles[2], site)
    with pytest.raises(EdgecnnError, match=rf"{site}.*No space left on device \(errno 28\)"):
        install(bundles[3], site)
    assert current(site) == open_bundle(bundles[2]).digest
    assert versions(site) == [1, 2]
    assert not list(site.rglob(".*"))
    assert rollback(site).version == 1


def test_read_only_disk_keeps_the_current_version(bundles: dict[int, Path], site: Path):
    install(bundles[1], site)
    install(bundles[2], site)
    with read_only(site):
        for attempt in (lambda: install(bundles[3], site), lambda: rollback(site)):
            with pytest.raises(EdgecnnError, match=rf"{site}.*Read-only file system \(errno 30\)"):
                attempt()
        assert not install(bundles[2], site).changed
        assert current(site) == open_bundle(bundles[2]).digest
    assert rollback(site).version == 1


@pytest.mark.parametrize("year", [1970, 2100])
def test_does_not_depend_on_file_times(year: int, site: Path, bundles: dict[int, Path]):
    """Wrong file times do not affect the current version, the deleted ones and the rollback target."""
    seconds = (year - 1970) * 31_557_600
    install(bundles[1], site, keep=2)
    install(bundles[2], site, keep=2)
    for number, path in enumerate(sorted(site.rglob("*"))):
        os.utime(path, (seconds + number, seconds - number if seconds else number), follow_symlinks=False)
    assert install(bundles[3], site, keep=2).removed == (1,)
    assert rollback(site).version == 2
