"""Tests of new versions that the server rejects (a number in a comment is a row in the table of faults)."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from held_engine import Engine
from model_versions import NAME, put, put_with_another_class
from reloading import QUICK, digest, entry, wait_for_digest, wait_for_reason
from repository import COMMITTED
from server_process import serving, wait_for

from edgecnn.bundle.store import open_bundle


def _half_copied(folder: Path) -> None:
    target = folder / "2"
    target.mkdir()
    for name in ("manifest.json", "proof.json"):
        shutil.copy(COMMITTED / name, target)
    (target / "model.onnx").write_bytes((COMMITTED / "model.onnx").read_bytes()[:1000])


def _damaged(folder: Path) -> None:
    put(folder, 2)
    content = bytearray((folder / "2" / "model.onnx").read_bytes())
    content[-1] ^= 1
    (folder / "2" / "model.onnx").write_bytes(content)


def _unreadable_manifest(folder: Path) -> None:
    put(folder, 2)
    (folder / "2" / "manifest.json").write_text("{")


def _with_another_class(folder: Path) -> None:
    put_with_another_class(folder, 2)


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "half copied": (_half_copied, "it is not an intact bundle"),
    "damaged": (_damaged, "it is not an intact bundle"),
    "unreadable manifest": (_unreadable_manifest, "it is not an intact bundle"),
    "with another class": (
        _with_another_class,
        "expected logits float32 [-1,10] as in the current version, found logits float32 [-1,11]",
    ),
}


REPRESENTATIVE = ("damaged", "with another class")


@pytest.mark.parametrize(
    "fault", [each if each in REPRESENTATIVE else pytest.param(each, marks=pytest.mark.slow) for each in BAD]
)
def test_keeps_the_old_version_if_the_new_is_bad(folder: Path, fault: str):  # 78
    make, reason = BAD[fault]
    first = put(folder, 1)
    with serving(*QUICK, bundles=[folder], name=NAME) as server:
        with server.good_neighbour():
            make(folder)
            wait_for_reason(server, f"version 2 was refused: {reason}")
        assert entry(server)["state"] == "READY"
        assert entry(server)["version"] == "1"
        wait_for(lambda: any("ERROR" in line for line in server.lines))
        lines = [line for line in server.lines if "ERROR" in line]
        assert len(lines) == 1, lines
        assert f"{folder / '2'}" in lines[0]
        assert lines[0].rstrip().endswith(f"; the current version stays model={NAME}")
        assert digest(server) == first
        third = put(folder, 3)
        wait_for_digest(server, third)
        assert entry(server)["reason"] == ""


@pytest.mark.slow
def test_serves_a_version_once_it_is_complete(folder: Path):  # 78
    put(folder, 1)
    with serving(*QUICK, bundles=[folder], name=NAME) as server:
        _half_copied(folder)
        wait_for_reason(server, "version 2 was refused")
        for file in COMMITTED.iterdir():
            shutil.copy(file, folder / "2")
        wait_for_digest(server, open_bundle(COMMITTED).digest)
        assert entry(server)["version"] == "2"


@pytest.mark.slow
def test_keeps_the_old_version_if_the_engine_crashes(folder: Path, tmp_path: Path):  # 78
    put(folder, 1)
    (tmp_path / "engine").mkdir()
    engine = Engine(tmp_path / "engine")
    options = (*QUICK, "--engine", "openvino")
    with serving(*options, bundles=[folder], name=NAME, environment=engine.environment) as server:
        engine.set("crash-2", "SIGSEGV")
        with server.good_neighbour():
            put(folder, 2)
            wait_for_reason(server, "version 2 was refused: the engine crashed or timed out")
        server.unharmed()


@pytest.mark.slow
def test_starts_with_the_highest_valid_version(folder: Path):
    put(folder, 1)
    second = put(folder, 2)
    put(folder, 3)
    (folder / "3" / "model.onnx").write_bytes(b"")
    with serving(bundles=[folder.parent], name=NAME) as server:
        assert digest(server) == second
        assert entry(server)["reason"] == "version 3 was refused: it is not an intact bundle"


@pytest.mark.slow
def test_switches_to_the_highest_valid_version(folder: Path):
    put(folder, 1)
    with serving(*QUICK, bundles=[folder], name=NAME) as server:
        other = folder.parent / "aside"
        other.mkdir()
        second = put(other, 2)
        put(other, 3)
        (other / "3" / "model.onnx").write_bytes(b"")
        for number in ("3", "2"):
            (other / number).rename(folder / number)
        wait_for_digest(server, second)
        wait_for_reason(server, "version 3 was refused: it is not an intact bundle")


@pytest.mark.slow
def test_clears_the_reason_of_a_removed_version(folder: Path):
    put(folder, 1)
    with serving(*QUICK, bundles=[folder], name=NAME) as server:
        _half_copied(folder)
        wait_for_reason(server, "version 2 was refused")
        shutil.rmtree(folder / "2")
        wait_for(lambda: entry(server) == {"name": NAME, "version": "1", "state": "READY", "reason": ""})
        assert sum(" ready " in line and "version=" in line for line in server.lines) == 1  # loaded only once
        server.unharmed()
