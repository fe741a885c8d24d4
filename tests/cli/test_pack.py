"""Tests of `edgecnn pack` and `edgecnn unpack`: output and exit codes."""

import json
from pathlib import Path

from edgecnn.bundle.store import Bundle, open_bundle


def test_packs_and_unpacks_a_bundle(edgecnn, committed: Bundle, tmp_path: Path):
    packed = edgecnn("pack", committed.path, "--out", tmp_path / "digits.tar")
    assert packed.code == 0
    assert packed.out.startswith(f"packed {committed.manifest.name} into {tmp_path / 'digits.tar'}: ")
    unpacked = edgecnn("unpack", tmp_path / "digits.tar", "--out", tmp_path / "copy")
    assert unpacked.code == 0
    assert unpacked.out.startswith(f"unpacked {committed.manifest.name} into {tmp_path / 'copy'}")
    assert open_bundle(tmp_path / "copy").digest == committed.digest


def test_json_contains_the_result(edgecnn, committed: Bundle, tmp_path: Path):
    out = tmp_path / "digits.tar"
    packed = json.loads(edgecnn("pack", committed.path, "--out", out, "--json").out)
    again = json.loads(edgecnn("pack", committed.path, "--out", out, "--force", "--json").out)
    assert packed == again
    assert packed["archive"] == str(out)
    assert packed["size_bytes"] == out.stat().st_size
    assert packed["bundle"] == committed.digest
    unpacked = json.loads(edgecnn("unpack", out, "--out", tmp_path / "copy", "--json").out)
    assert unpacked == {
        "path": str(tmp_path / "copy"),
        "name": committed.manifest.name,
        "bundle": committed.digest,
    }


def test_rejects_an_existing_output(edgecnn, committed: Bundle, tmp_path: Path):
    edgecnn("pack", committed.path, "--out", tmp_path / "digits.tar")
    (tmp_path / "copy").mkdir()
    for arguments in (("pack", committed.path, "--out", tmp_path / "digits.tar"), ("unpack", tmp_path / "digits.tar")):
        result = edgecnn(*arguments, *(("--out", tmp_path / "copy") if arguments[0] == "unpack" else ()))
        assert result.code == 2
        assert "--force" in result.error


def test_rejects_a_malformed_archive(edgecnn, tmp_path: Path):
    (tmp_path / "bad.tar").write_bytes(b"hello" * 1000)
    result = edgecnn("unpack", tmp_path / "bad.tar", "--out", tmp_path / "copy")
    assert result.code == 1
    assert str(tmp_path / "bad.tar") in result.error
    assert [path.name for path in tmp_path.iterdir()] == ["bad.tar"]


def test_rejects_a_bundle_as_archive_and_vice_versa(edgecnn, committed: Bundle, tmp_path: Path):
    assert edgecnn("unpack", committed.path, "--out", tmp_path / "copy").code == 1
    edgecnn("pack", committed.path, "--out", tmp_path / "digits.tar")
    result = edgecnn("pack", tmp_path / "digits.tar", "--out", tmp_path / "twice.tar")
    assert result.code == 1
    assert "it is an archive: unpack it first" in result.error
