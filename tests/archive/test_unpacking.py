"""Tests that unsafe and damaged archives are rejected and leave no files (rows 81 and 77 of the table of faults)."""

import contextlib
import os
import random
import socket
from pathlib import Path

import pytest
from broken_archives import BLOCK, FAULTS, FOLDER, offset, with_manifest
from broken_models import external, linear, reseal
from crash_points import Crash, Ending
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from marks import on_an_arm
from repository import COMMITTED

from benchmarks.devices.emulation import CORTEX_A72, Processor
from edgecnn import errors
from edgecnn.archive.packing import pack, write_header
from edgecnn.archive.unpacking import unpack
from edgecnn.bundle.store import open_bundle


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _packed(tmp_path_factory.mktemp("good"))


def _packed(folder: Path) -> bytes:
    pack(COMMITTED, folder / "good.tar")
    return (folder / "good.tar").read_bytes()


def refused(archive: bytes, folder: Path) -> errors.BundleError:
    """Unpack an archive that must be rejected, and check that no files are left. Return the error."""
    folder.mkdir(exist_ok=True)
    (folder / "bad.tar").write_bytes(archive)
    target = folder / "inner" / "deep"
    target.mkdir(parents=True, exist_ok=True)
    with pytest.raises(errors.BundleError) as raised:
        unpack(folder / "bad.tar", target / "bundle")
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == [
        "bad.tar",
        "inner",
        "inner/deep",
    ]
    message = str(raised.value)
    assert "bad.tar" in message
    assert "\n" not in message
    assert ".new-" not in message
    return raised.value


@pytest.mark.parametrize("fault", FAULTS)
def test_rejects_a_malformed_archive(fault: str, good: bytes, tmp_path: Path):
    change, error, named = FAULTS[fault]
    bad = change(good)
    assert bad != good
    found = refused(bad, tmp_path / "work")
    assert type(found) is error, found
    assert named in str(found)


@pytest.mark.parametrize("processor", [pytest.param(CORTEX_A72, marks=on_an_arm, id=CORTEX_A72.name)])
def test_reports_the_same_errors_on_a_raspberry_pi(processor: Processor, good: bytes, tmp_path: Path):
    work = tmp_path / "work"
    words = [str(refused(change(good), work)) for change, _, _ in FAULTS.values()]
    there = Ending(processor)
    try:
        for (change, _, _), message in zip(FAULTS.values(), words, strict=True):
            (work / "bad.tar").write_bytes(change(good))
            (end,) = there.ends(Crash("unpack", (str(work / "bad.tar"), str(work / "inner" / "deep" / "bundle")), {}))
            assert (end.code, end.message) == (1, message)
            assert sorted(path.name for path in work.rglob("*")) == ["bad.tar", "deep", "inner"]
    finally:
        there.close()


def test_rejects_a_truncated_archive(good: bytes, tmp_path: Path):
    names = [offset(good, name) for name in ("manifest.json", "model.onnx", "proof.json", "self_test.npz")]
    edges = {at + shift for at in names for shift in (-1, 0, 1, 511, 512, 513)}
    for length in sorted(edges | set(range(0, len(good), 9973))):
        if 0 <= length < len(good):
            refused(good[:length], tmp_path / "work")


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 15])
def test_rejects_any_changed_byte_of_a_header(step: int, good: bytes, tmp_path: Path):
    for name in ("manifest.json", "model.onnx", "self_test.npz"):
        at = offset(good, name)
        for place in range(at, at + BLOCK, step):
            refused(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :], tmp_path / "work")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), places=st.integers(1, 20))
@example(seed=0, places=1)
def test_rejects_changed_files(seed: int, places: int, good: bytes, tmp_path: Path):
    chance = random.Random(seed)
    content = bytearray(good)
    first = offset(good, "model.onnx")  # the manifest precedes it
    for _ in range(places):
        content[chance.randrange(first, len(content))] ^= chance.randrange(1, 256)
    if bytes(content) != good:
        refused(bytes(content), tmp_path / "work")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_manifest_changes_the_digest(data: st.DataObject, good: bytes, tmp_path: Path):
    content = bytearray(good)
    content[data.draw(st.integers(0, offset(good, "model.onnx") - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "changed.tar").write_bytes(content)
    with contextlib.suppress(errors.BundleError):
        assert unpack(tmp_path / "changed.tar", tmp_path / "bundle", force=True).digest != open_bundle(COMMITTED).digest


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=2000))
def test_rejects_random_bytes(content: bytes, tmp_path: Path):
    refused(content, tmp_path / "work")


def test_rejects_an_impossible_size(good: bytes, tmp_path: Path):
    huge = 8**11 - 1
    changed = with_manifest(lambda m: m["files"]["model.onnx"].update(size_bytes=huge))(good)
    at = offset(changed, "model.onnx")
    claimed = changed[:at] + write_header(FOLDER, "model.onnx", huge) + changed[at + BLOCK :]
    found = refused(claimed, tmp_path / "work")
    assert "truncated" in str(found)
    assert "model.onnx" in str(found)


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "device", "nothing"])
def test_rejects_special_files(tmp_path: Path, kind: str):
    path = tmp_path / "bad.tar"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with (
            socket.socket(socket.AF_UNIX) as sock,
            contextlib.chdir(tmp_path),
        ):  # the length of a socket's path is limited
            sock.bind(path.name)
    elif kind == "device":
        path = Path("/dev/zero")
    with pytest.raises(errors.BundleError, match=path.name):
        unpack(path, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_follows_a_link_to_an_archive(good: bytes, tmp_path: Path):
    (tmp_path / "real.tar").write_bytes(good)
    (tmp_path / "latest.tar").symlink_to("real.tar")
    assert unpack(tmp_path / "latest.tar", tmp_path / "bundle").manifest.name == FOLDER


def test_rejects_external_data(bundle_copy: Path, tmp_path: Path):
    """Row 77: the extracted bundle is checked before it is renamed to its path."""
    reseal(bundle_copy, linear(external("../../etc/passwd")))
    files = {path.name: path.read_bytes() for path in sorted(bundle_copy.iterdir())}
    parts = [write_header(FOLDER, name, len(data)) + data + bytes(-len(data) % BLOCK) for name, data in files.items()]
    found = refused(b"".join(parts) + bytes(1024), tmp_path / "work")
    assert type(found) is errors.ExternalData
    assert "model.onnx" in str(found)
