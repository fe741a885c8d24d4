"""Tests of packing and unpacking bundles."""

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from repository import COMMITTED
from small_places import read_only, small_disk

from edgecnn.archive.packing import LARGEST, pack, write_header
from edgecnn.archive.unpacking import open_archive, unpack
from edgecnn.bundle.store import open_bundle
from edgecnn.errors import BundleNotFound, DigestMismatch, EdgecnnError, OutputExists, UsageError

HEADER = "ce78b36d00052a628e91c5c02e49f05763961bce5c814b74e455dc22c8f661d0"


def content(path: Path) -> dict[str, bytes]:
    return {child.name: child.read_bytes() for child in path.iterdir()}


def test_pack_and_unpack_are_inverse(tmp_path: Path):
    packed = pack(COMMITTED, tmp_path / "deep" / "digits.tar")
    bundle = unpack(tmp_path / "deep" / "digits.tar", tmp_path / "copy")
    assert content(tmp_path / "copy") == content(COMMITTED)
    assert bundle == open_bundle(tmp_path / "copy")
    assert bundle.digest == packed.bundle.digest
    assert sorted(child.name for child in tmp_path.iterdir()) == ["copy", "deep"]
    assert [child.name for child in (tmp_path / "deep").iterdir()] == ["digits.tar"]


def test_archives_are_reproducible(bundle_copy: Path, tmp_path: Path):
    first = pack(COMMITTED, tmp_path / "first.tar")
    other = bundle_copy.rename(tmp_path / "other-name")
    for number, file in enumerate(sorted(other.iterdir(), reverse=True)):
        file.chmod(0o600)
        os.utime(file, (number, 4_102_444_800))
    mask = os.umask(0o077)
    try:
        second = pack(other, tmp_path / "second.tar")
    finally:
        os.umask(mask)
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()
    assert first.sha256 == second.sha256 == hashlib.sha256((tmp_path / "first.tar").read_bytes()).hexdigest()
    assert first.size_bytes == (tmp_path / "first.tar").stat().st_size


def test_header_bytes_are_fixed():
    """Check the bytes of a header: a change would make existing archives unreadable."""
    assert hashlib.sha256(write_header("digits-int8", "model.onnx", 102_916)).hexdigest() == HEADER
    assert write_header("a" * 100, "b" * 100, LARGEST)[124:136] == b"77777777777\0"


def test_other_tar_programs_read_the_archive(tmp_path: Path):
    pack(COMMITTED, tmp_path / "digits.tar")
    with tarfile.open(tmp_path / "digits.tar") as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == [
        f"lenet-digits-int8/{name}" for name in ("manifest.json", "model.onnx", "proof.json", "self_test.npz")
    ]
    assert {(m.mode, m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0o644, 0, 0, "", "", 0)}
    if shutil.which("tar"):
        subprocess.run(["tar", "-xf", "digits.tar"], cwd=tmp_path, check=True)
        assert content(tmp_path / "lenet-digits-int8") == content(COMMITTED)


def test_rejects_a_damaged_bundle(bundle_copy: Path, tmp_path: Path):
    with (bundle_copy / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DigestMismatch, match=r"model\.onnx"):
        pack(bundle_copy, tmp_path / "digits.tar")
    assert not (tmp_path / "digits.tar").exists()


def test_replaces_an_archive_only_with_force(tmp_path: Path):
    out = tmp_path / "digits.tar"
    out.write_bytes(b"old")
    with pytest.raises(OutputExists, match="--force"):
        pack(COMMITTED, out)
    assert out.read_bytes() == b"old"
    pack(COMMITTED, out, force=True)
    with open_archive(out) as archive:
        assert archive.digest == open_bundle(COMMITTED).digest
    assert [child.name for child in tmp_path.iterdir()] == ["digits.tar"]


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_force_replaces_plain_files_only(tmp_path: Path, kind: str):
    out = tmp_path / "out"
    {"folder": out.mkdir, "link": lambda: out.symlink_to("elsewhere"), "pipe": lambda: os.mkfifo(out)}[kind]()
    with pytest.raises(UsageError, match="not a plain file"):
        pack(COMMITTED, out, force=True)
    assert [child.name for child in tmp_path.iterdir()] == ["out"]


def test_rejects_an_archive_inside_a_bundle(bundle_copy: Path):
    with pytest.raises(UsageError, match="sealed"):
        pack(bundle_copy, bundle_copy / "digits.tar")


def test_rejects_a_folder_that_is_not_a_bundle(tmp_path: Path):
    with pytest.raises(BundleNotFound):
        pack(tmp_path, tmp_path / "out.tar")


def test_reports_an_unwritable_path(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(EdgecnnError, match=r"file: File exists \(errno 17\)|Not a directory"):
        pack(COMMITTED, tmp_path / "file" / "out.tar")


def test_replaces_a_bundle_only_with_force(bundle_copy: Path, tmp_path: Path):
    pack(COMMITTED, tmp_path / "digits.tar")
    (bundle_copy / "model.onnx").unlink()
    with pytest.raises(OutputExists, match="--force"):
        unpack(tmp_path / "digits.tar", bundle_copy)
    assert not (bundle_copy / "model.onnx").exists()
    unpack(tmp_path / "digits.tar", bundle_copy, force=True)
    assert content(bundle_copy) == content(COMMITTED)


def test_full_disk_leaves_no_partial_output(tmp_path: Path):
    with small_disk(tmp_path / "small", kib=240) as small:
        pack(COMMITTED, small / "digits.tar")
        for attempt in (
            lambda: pack(COMMITTED, small / "second.tar"),
            lambda: pack(COMMITTED, small / "digits.tar", force=True),
            lambda: unpack(small / "digits.tar", small / "copy"),
        ):
            with pytest.raises(EdgecnnError, match=rf"{small}.*No space left on device \(errno 28\)"):
                attempt()
            assert [child.name for child in small.iterdir()] == ["digits.tar"]
        assert unpack(small / "digits.tar", tmp_path / "copy").digest == open_bundle(COMMITTED).digest


def test_reports_a_read_only_folder(bundle_copy: Path, tmp_path: Path):
    place = tmp_path / "place"
    place.mkdir()
    bundle_copy.rename(place / "bundle")
    pack(place / "bundle", place / "digits.tar")
    before = sorted(place.rglob("*"))
    with read_only(place):
        for attempt in (
            lambda: pack(COMMITTED, place / "second.tar"),
            lambda: pack(COMMITTED, place / "digits.tar", force=True),
            lambda: unpack(place / "digits.tar", place / "copy"),
            lambda: unpack(place / "digits.tar", place / "bundle", force=True),
        ):
            with pytest.raises(EdgecnnError, match=rf"{place}.*Read-only file system \(errno 30\)"):
                attempt()
    assert sorted(place.rglob("*")) == before
