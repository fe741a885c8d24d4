"""Tests on an emulated Raspberry Pi: full and read-only disks, and a clock in 1970.

These are rows 80 and 81 of the project's table of faults; kills are in `test_crashes`.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from command import Result
from crash_points import Crash, Ending
from marks import on_an_arm
from model_versions import put
from repository import COMMITTED
from small_places import read_only, small_disk

from benchmarks.devices.emulation import CORTEX_A72
from edgecnn.archive.packing import pack
from edgecnn.bundle.store import open_bundle

pytestmark = on_an_arm

NO_SPACE, READ_ONLY = "No space left on device (errno 28)", "Read-only file system (errno 30)"
PAGE = 4096
IN_1970 = """
import datetime, time

class In1970(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)

datetime.datetime = In1970
time.time = lambda: 12.5
time.time_ns = lambda: 12_500_000_000
for name in ("localtime", "gmtime"):
    setattr(time, name, lambda seconds=None, real=getattr(time, name): real(12.5 if seconds is None else seconds))
"""


def edgecnn(*arguments: object, paths: Sequence[Path] = ()) -> Result:
    """Run the command line on the device. `paths` are searched first for modules."""
    done = CORTEX_A72.run("-m", "edgecnn", *map(str, arguments), paths=paths)
    said = [line for line in done.stderr.splitlines(keepends=True) if not line.startswith("qemu-")]
    return Result(done.returncode, done.stdout, "".join(said))


def refused(reason: str, place: Path, *arguments: object) -> None:
    """Run a command that must fail with one line that names a path and a reason."""
    result = edgecnn(*arguments)
    assert (result.code, result.out) == (1, "")
    assert result.err.count("\n") == 1
    assert str(place) in result.error
    assert reason in result.error


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Three bundles with different digests, and an archive of the last one."""
    folder = tmp_path_factory.mktemp("bundles")
    for number in (1, 2, 3):
        put(folder, number)
    pack(folder / "3", folder / "3.tar")
    return {number: folder / str(number) for number in (1, 2, 3)}


@pytest.fixture(scope="module")
def device() -> Iterator[Ending]:
    """A process on the device that forks for each command, which is much faster than a start."""
    device = Ending(CORTEX_A72)
    yield device
    device.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KiB, with space for two bundles."""
    with small_disk(tmp_path / "small", kib=400) as place:
        yield place


def digest(bundle: Path) -> str:
    return open_bundle(bundle).digest


def test_full_disk_keeps_existing_files(small: Path, bundles: dict[int, Path], device: Ending):
    site, archive = small / "site", bundles[3].with_suffix(".tar")
    for number in (1, 2):
        device.done("install", bundles[number], site)
    before = sorted(small.rglob("*"))
    refused(NO_SPACE, site, "install", archive, "--to", site, "--no-verify")
    refused(NO_SPACE, small / "out", "unpack", archive, "--out", small / "out")
    refused(NO_SPACE, small / "out.tar", "pack", COMMITTED, "--out", small / "out.tar")
    assert sorted(small.rglob("*")) == before
    assert digest(site / "current") == digest(bundles[2])
    assert edgecnn("rollback", site).code == 0
    assert digest(site / "current") == digest(bundles[1])


def test_install_is_atomic_on_a_nearly_full_disk(small: Path, bundles: dict[int, Path], device: Ending):
    site, archive, filler = small / "site", bundles[3].with_suffix(".tar"), small / "filler"
    device.done("install", bundles[1], site)
    codes = []
    while not codes or codes[-1]:
        free = len(codes) * 4 * PAGE
        filler.write_bytes(bytes(available(small)))
        os.truncate(filler, filler.stat().st_size - free)
        (end,) = device.ends(Crash("install", (str(archive), str(site)), {}))
        codes.append(end.code)
        assert end.code == 0 or NO_SPACE in end.message
        assert digest(site / "current") == digest(bundles[3 if end.code == 0 else 1])
        assert not list(site.rglob(".*"))
        filler.unlink()
    assert len(codes) > 5
    assert set(codes) == {0, 1}
    assert device.done("rollback", site)["version"] == 1


def available(place: Path) -> int:
    """Return the free space in bytes."""
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize


def test_read_only_disk_keeps_existing_files(tmp_path: Path, bundles: dict[int, Path], device: Ending):
    place = tmp_path / "place"
    site, archive = place / "site", bundles[3].with_suffix(".tar")
    for number in (1, 2):
        device.done("install", bundles[number], site)
    with read_only(place):
        refused(READ_ONLY, site, "install", archive, "--to", site, "--no-verify")
        refused(READ_ONLY, site, "rollback", site)
        refused(READ_ONLY, place / "out", "unpack", archive, "--out", place / "out")
        refused(READ_ONLY, place / "out.tar", "pack", COMMITTED, "--out", place / "out.tar")
        assert edgecnn("verify", site / "current", "--record", tmp_path / "record.json").code == 0
    assert digest(site / "current") == digest(bundles[2])
    assert edgecnn("rollback", site).code == 0


def test_works_with_a_clock_in_1970(tmp_path: Path, bundles: dict[int, Path]):
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(IN_1970)
    paths = [tmp_path / "clock"]
    code = "import datetime, time; print(datetime.datetime.now(datetime.UTC).year, *time.gmtime()[:1])"
    assert CORTEX_A72.run("-c", code, paths=paths).stdout == "1970 1970\n"
    site, archive = tmp_path / "site", tmp_path / "3.tar"
    commands = [
        ("pack", bundles[3], "--out", archive),
        ("unpack", archive, "--out", tmp_path / "copy"),
        ("install", bundles[1], "--to", site, "--keep", 2),
        ("install", bundles[2], "--to", site, "--keep", 2),
        ("verify", site / "current", "--record", tmp_path / "record.json"),
        ("install", archive, "--to", site, "--keep", 2),
        ("rollback", site),
    ]
    for command in commands:
        result = edgecnn(*command, paths=paths)
        assert (result.code, result.err) == (0, ""), command
        for age, path in enumerate(sorted(site.rglob("*"))):  # newer files get older times
            os.utime(path, (age, 1000 - age), follow_symlinks=False)
    assert archive.read_bytes() == bundles[3].with_suffix(".tar").read_bytes()
    assert digest(tmp_path / "copy") == digest(bundles[3])
    assert digest(site / "current") == digest(bundles[2])
    assert sorted(path.name for path in (site / "versions").iterdir()) == ["2", "3"]
