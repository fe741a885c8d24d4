"""Tests of installing versions and rolling back."""

import shutil
from pathlib import Path

import pytest
from repository import COMMITTED
from sites import current, versions

from edgecnn.archive.installing import install, rollback
from edgecnn.archive.packing import pack
from edgecnn.bundle.finding import signature_beside
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import (
    BundleNotFound,
    DigestMismatch,
    EdgecnnError,
    ProofFailed,
    SignatureMissing,
    UsageError,
)


def test_installs_a_bundle(site: Path):
    done = install(COMMITTED, site)
    assert (done.version, done.previous, done.changed, done.removed) == (1, None, True, ())
    assert done.bundle == current(site) == open_bundle(COMMITTED).digest
    assert str((site / "current").readlink()) == "versions/1"
    assert sorted(path.name for path in site.iterdir()) == ["current", "versions"]


def test_installs_an_archive(site: Path, tmp_path: Path):
    pack(COMMITTED, tmp_path / "digits.tar")
    install(tmp_path / "digits.tar", site)
    assert not install(COMMITTED, site).changed
    assert versions(site) == [1]


def test_second_install_changes_nothing(site: Path):
    install(COMMITTED, site)
    before = sorted(path.stat().st_ino for path in site.rglob("*"))
    again = install(COMMITTED, site, prove=pytest.fail)
    assert (again.changed, again.version) == (False, 1)
    assert sorted(path.stat().st_ino for path in site.rglob("*")) == before


def test_rollback_follows_history_not_numbers(site: Path, bundles: dict[int, Path]):
    for number in (1, 2, 3):
        install(bundles[number], site, keep=9)
    assert rollback(site).version == 2
    install(bundles[4], site, keep=9)  # version 4, when 2 was current
    done = rollback(site)
    assert (done.undone, done.version, done.previous) == (4, 2, 1)
    assert rollback(site).version == 1
    with pytest.raises(EdgecnnError, match="cannot roll back"):
        rollback(site)
    assert current(site) == open_bundle(bundles[1]).digest


def test_reuses_a_rolled_back_version(site: Path, bundles: dict[int, Path]):
    install(bundles[1], site)
    install(bundles[2], site)
    rollback(site)
    proven: list[Bundle] = []
    done = install(bundles[2], site, prove=proven.append)
    assert (done.version, done.previous, done.changed) == (2, 1, True)
    assert [bundle.path for bundle in proven] == [site / "versions" / "2"]


def test_copies_a_bundle_that_is_a_rollback_target(site: Path, bundles: dict[int, Path]):
    for number in (1, 2, 1):
        install(bundles[number], site)
    assert [rollback(site).version for _ in range(2)] == [2, 1]


def test_keeps_highest_current_and_previous_versions(site: Path, bundles: dict[int, Path]):
    for number in range(1, 5):
        install(bundles[number], site, keep=3)
    assert versions(site) == [2, 3, 4]
    assert sorted(path.name for path in (site / "previous").iterdir()) == ["2", "3", "4"]
    rollback(site)
    rollback(site)
    done = install(bundles[5], site, keep=1)
    assert (done.version, done.previous, done.removed) == (5, 2, (3, 4))
    assert versions(site) == [2, 5]
    assert rollback(site).previous is None


def test_copies_and_deletes_signatures(site: Path, bundles: dict[int, Path], tmp_path: Path):
    for number in (1, 2):
        signature_beside(bundles[number]).write_text(f"of {number}")
    pack(bundles[2], bundles[2].with_suffix(".tar"))
    assert install(bundles[1], site).signed
    assert install(bundles[2].with_suffix(".tar"), site).signed
    (tmp_path / "other").write_text("another of 2")
    assert not install(bundles[2], site, signature=tmp_path / "other").changed
    assert not install(bundles[3], site, keep=1).signed
    assert sorted(path.name for path in (site / "versions").iterdir()) == ["2", "2.sig", "3"]
    rollback(site)
    assert signature_beside(site / "current").read_text() == "another of 2"


def test_rejects_a_missing_signature(site: Path, tmp_path: Path):
    with pytest.raises(SignatureMissing, match=r"none\.sig"):
        install(COMMITTED, site, signature=tmp_path / "none.sig")
    assert not site.exists()


def test_rejects_a_damaged_bundle(bundle_copy: Path, site: Path):
    (bundle_copy / "self_test.npz").write_bytes(b"")
    with pytest.raises(DigestMismatch, match=r"self_test\.npz"):
        install(bundle_copy, site)
    assert not site.exists()


def test_rejects_a_missing_source(site: Path, tmp_path: Path):
    with pytest.raises(BundleNotFound, match=r"found nothing at .*nowhere"):
        install(tmp_path / "nowhere", site)
    assert not site.exists()


def test_keeps_the_current_version_if_proof_fails(site: Path, bundles: dict[int, Path]):
    def prove(bundle: Bundle) -> None:
        raise ProofFailed(f"the proof of {bundle.path} does not hold here")

    install(bundles[1], site)
    with pytest.raises(ProofFailed, match=rf"^the proof of {bundles[2]} does not hold here$"):
        install(bundles[2], site, prove=prove)
    assert current(site) == open_bundle(bundles[1]).digest
    assert versions(site) == [1]
    assert not list((site / "versions").glob(".*"))


def test_replaces_a_damaged_current_version(site: Path, bundles: dict[int, Path]):
    install(bundles[1], site)
    (site / "versions" / "1" / "model.onnx").write_bytes(b"")
    done = install(bundles[1], site)
    assert (done.version, done.previous) == (2, None)
    assert current(site) == open_bundle(bundles[1]).digest
    with pytest.raises(EdgecnnError, match="no version before version 2 is kept"):
        rollback(site)
    assert current(site) == open_bundle(bundles[1]).digest


def test_a_damaged_version_is_no_rollback_target(site: Path, bundles: dict[int, Path]):
    for number in (1, 2):
        install(bundles[number], site)
    (site / "versions" / "2" / "model.onnx").write_bytes(b"")
    assert install(bundles[3], site).previous == 1
    assert rollback(site).version == 1


def test_replaces_a_deleted_current_version(site: Path, bundles: dict[int, Path]):
    install(bundles[1], site)
    shutil.rmtree(site / "versions" / "1")
    done = install(bundles[1], site)
    assert (done.version, done.previous) == (2, None)


@pytest.mark.parametrize("kind", ["file", "other folder", "bundle", "inside a bundle", "foreign link"])
def test_rejects_a_folder_that_is_not_a_site(kind: str, bundle_copy: Path, tmp_path: Path):
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("x")
    elif kind == "other folder":
        place.mkdir()
        (place / "letters").mkdir()
    elif kind == "bundle":
        place = bundle_copy
    elif kind == "inside a bundle":
        place = bundle_copy / "site"
    else:
        (place / "versions").mkdir(parents=True)
        (place / "current").symlink_to("/etc")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=str(place)):
        install(COMMITTED, place)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("exists", [True, False])
def test_rejects_a_rollback_without_versions(exists: bool, site: Path):
    if exists:
        site.mkdir()
    with pytest.raises(EdgecnnError, match="no bundle is installed in"):
        rollback(site)
    assert list(site.rglob("*")) == []
    assert site.exists() == exists


def test_rejects_current_as_the_site(site: Path, bundles: dict[int, Path]):
    install(bundles[1], site)
    install(bundles[2], site)
    named = "current is a bundle: choose the folder that contains `current`"
    with pytest.raises(UsageError, match=named):
        rollback(site / "current")
    with pytest.raises(UsageError, match=named):
        install(bundles[3], site / "current")
    assert current(site) == open_bundle(bundles[2]).digest
    assert versions(site) == [1, 2]
