"""Tests of install, rollback, unpack and pack with a crash or an error at every change of the disk.

The old or the new state must be complete afterwards. The same command must finish the job and delete leftovers, on
this machine and on an emulated Raspberry Pi. These are rows 80 and 81 of the project's table of faults.
"""

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crash_points import Crash, End, Ending
from marks import on_an_arm
from model_versions import put
from repository import COMMITTED

from benchmarks.devices.emulation import CORTEX_A72, HERE
from edgecnn.archive.installing import install, rollback
from edgecnn.archive.packing import pack
from edgecnn.archive.unpacking import open_archive
from edgecnn.bundle.store import open_bundle

HOWS = ("kill", "ENOSPC", "EIO")
SIGNATURE = b"a signature" * 100
REASONS = {"ENOSPC": "No space left on device", "EIO": "Input/output error"}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four bundles with different digests; the last is signed."""
    folder = tmp_path_factory.mktemp("bundles")
    for number in range(1, 5):
        put(folder, number)
    (folder / "4.sig").write_bytes(SIGNATURE)
    return [folder / str(number) for number in range(1, 5)]


@pytest.fixture(scope="module")
def archive(bundles: list[Path]) -> Path:
    """An archive of the last bundle."""
    pack(bundles[3], bundles[3].parent / "4.tar")
    return bundles[3].parent / "4.tar"


@pytest.fixture(scope="module")
def ending(request: pytest.FixtureRequest) -> Iterator[Ending]:
    """Runs commands that crash, on the requested processor."""
    ending = Ending(request.param)
    yield ending
    ending.close()


def digest(bundle: Path) -> str:
    return open_bundle(bundle).digest


def current(site: Path) -> str | None:
    """Return the digest of the current bundle, which must be intact; None if no version is current."""
    return digest(site / "current") if os.path.lexists(site / "current") else None


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*")]


def unowned(site: Path) -> list[str]:
    """Return the numbers of deleted versions that still have a signature or a link."""
    owned = {path.stem for path in site.glob("versions/*.sig")} | {path.name for path in site.glob("previous/*")}
    return sorted(number for number in owned if not (site / "versions" / number).exists())


def ended(ending: Ending, asked: Crash, base: Path, how: str) -> list[tuple[Path, End]]:
    """Run a command in copies of `base`, ending at its first change, its second, …; return each copy and its end.

    In the command's paths, `base` is replaced with the copy.
    """
    asked = dataclasses.replace(asked, how=how, deletions=how != "ENOSPC")  # deleting needs no space

    def copied(at: int) -> tuple[Path, Crash]:
        place = base.with_name(f"{base.name}-{at}")
        if base.exists():
            shutil.copytree(base, place, symlinks=True)
        paths = tuple(path.replace(str(base), str(place)) for path in asked.arguments)
        return place, dataclasses.replace(asked, at=at, arguments=paths)

    (whole,) = ending.ends(copied(0)[1])
    assert whole.code == 0, whole.message
    assert whole.changes >= 4
    places, crashes = zip(*map(copied, range(1, whole.changes + 1)), strict=True)
    ends = ending.ends(*crashes)
    assert {end.code for end in ends} == {-9} if how == "kill" else {end.code for end in ends} <= {0, 1}
    for place, end in zip(places, ends, strict=True):
        if end.code == 1:
            assert REASONS[how] in end.message
            assert str(place) in end.message
            assert "\n" not in end.message
    return list(zip(places, ends, strict=True))


def ways(*states: object, quick: object = None) -> list[Any]:
    """Combine the states with the ways to end.

    Emulated ARM runs a kill in the state `quick` only. All other states are slow, and so is EIO.
    """
    found = []
    for state in [(state,) for state in states] or [()]:
        name = "".join(getattr(each, "__name__", str(each)) + "-" for each in state)
        for how in HOWS:
            marks = () if how != "EIO" and quick in (None, *state) else pytest.mark.slow
            found.append(pytest.param(*state, how, HERE, id=name + how, marks=marks))
        if quick in (None, *state):
            found.append(pytest.param(*state, "kill", CORTEX_A72, id=f"{name}kill-{CORTEX_A72.name}", marks=on_an_arm))
    return found


def nothing(site: Path, bundles: list[Path]) -> None:
    """No version is installed."""


def two(site: Path, bundles: list[Path]) -> None:
    """Two signed versions are installed; a third one deletes the first."""
    for number, bundle in enumerate(bundles[:2], start=1):
        install(bundle, site)
        (site / "versions" / f"{number}.sig").write_bytes(SIGNATURE)


def rolled_back(site: Path, bundles: list[Path]) -> None:
    """The new version was installed and rolled back."""
    install(bundles[0], site)
    install(bundles[3], site)
    rollback(site)


def damaged(site: Path, bundles: list[Path]) -> None:
    """The new version was installed, rolled back and damaged."""
    rolled_back(site, bundles)
    (site / "versions" / "2" / "model.onnx").write_bytes(b"")


def half_rolled_back(site: Path, bundles: list[Path]) -> None:
    """A rollback crashed after its switch."""
    two(site, bundles)
    rollback(site)
    (site / ".rolling-back").symlink_to("versions/2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "how", "ending"),
    ways(nothing, two, rolled_back, damaged, half_rolled_back, quick=two),
    indirect=["ending"],
)
def test_next_install_finishes_a_crashed_one(
    before: Callable[[Path, list[Path]], None],
    how: str,
    bundles: list[Path],
    archive: Path,
    ending: Ending,
    tmp_path: Path,
):
    base = tmp_path / "site"
    before(base, bundles)
    source = archive if before is two else bundles[3]
    old, new = current(base), digest(bundles[3])
    for site, end in ended(ending, Crash("install", (str(source), str(base)), {"keep": 2}), base, how):
        found = current(site)
        assert found in {old, new}
        assert end.code or found == new
        again = ending.done("install", source, site, keep=2)
        assert again["bundle"] == current(site) == new
        assert not hidden(site)
        assert not unowned(site)
        assert (site / "versions" / f"{again['version']}.sig").read_bytes() == SIGNATURE
        for version in (site / "versions").glob("*[0-9]"):
            assert before is damaged or digest(version)
        if old is None:
            assert again["previous"] is None
        else:
            ending.done("rollback", site)
            assert current(site) == old


@pytest.mark.parametrize(("how", "ending"), ways(), indirect=["ending"])
def test_crashed_rollback_is_not_done_twice(how: str, bundles: list[Path], ending: Ending, tmp_path: Path):
    base = tmp_path / "site"
    two(base, bundles)
    install(bundles[2], base)
    first, second, third = map(digest, bundles[:3])
    for site, end in ended(ending, Crash("rollback", (str(base),), {}), base, how):
        assert current(site) in {third, second}
        assert end.code or current(site) == second
        if end.code:
            again = ending.done("rollback", site)
            assert (again["undone"], again["version"], again["previous"]) == (3, 2, 1)
        assert current(site) == second
        assert not hidden(site)
        ending.done("rollback", site)
        assert current(site) == first


@pytest.mark.parametrize(("how", "ending"), [way for way in ways() if way.values[0] == "kill"], indirect=["ending"])
def test_install_after_a_crashed_rollback(how: str, bundles: list[Path], ending: Ending, tmp_path: Path):
    base = tmp_path / "site"
    two(base, bundles)
    for site, _ in ended(ending, Crash("rollback", (str(base),), {}), base, how):
        old = current(site)
        ending.done("install", bundles[2], site)
        assert not hidden(site)
        ending.done("rollback", site)
        assert current(site) == old


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "how", "ending"), ways("new", "exchanged", "moved", quick="exchanged"), indirect=["ending"]
)
def test_crashed_unpack_leaves_old_or_new(
    kind: str, how: str, bundles: list[Path], archive: Path, ending: Ending, tmp_path: Path
):
    base = tmp_path / "place"
    base.mkdir()
    old = None if kind == "new" else digest(Path(shutil.copytree(bundles[0], base / "out")))
    options = {"force": kind != "new"}
    asked = Crash("unpack", (str(archive), str(base / "out")), options, exchange=kind != "moved")
    for place, end in ended(ending, asked, base, how):
        found = digest(place / "out") if (place / "out").exists() else None
        # Without an exchange, a kill may leave the old folder under a hidden name; the next writer restores it.
        assert found in {old, digest(bundles[3])} or (kind, how, found) == ("moved", "kill", None)
        assert end.code or found == digest(bundles[3])
        ending.done("unpack", archive, place / "out", force=True)
        assert digest(place / "out") == digest(bundles[3])
        assert [path.name for path in place.iterdir()] == ["out"]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "how", "ending"), ways("new", "replaced", quick="replaced"), indirect=["ending"])
def test_crashed_pack_leaves_old_or_new(kind: str, how: str, archive: Path, ending: Ending, tmp_path: Path):
    base = tmp_path / "place"
    base.mkdir()
    if kind == "replaced":
        shutil.copy(archive, base / "out.tar")
    old = archive.read_bytes() if kind == "replaced" else None
    asked = Crash("pack", (str(COMMITTED), str(base / "out.tar")), {"force": kind == "replaced"})
    for place, _ in ended(ending, asked, base, how):
        out = place / "out.tar"
        if out.exists() and out.read_bytes() != old:
            with open_archive(out) as found:
                assert found.digest == digest(COMMITTED)
        else:
            assert out.exists() == (old is not None)
        ending.done("pack", COMMITTED, out, force=True)
        ending.done("unpack", out, place / "bundle")
        assert digest(place / "bundle") == digest(COMMITTED)
        assert sorted(path.name for path in place.iterdir()) == ["bundle", "out.tar"]
