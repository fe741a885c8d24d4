"""Tests that a damaged bundle is rejected by name, and that special files in it are never read."""

import contextlib
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from manifest_edits import edit_manifest

from edgecnn import errors
from edgecnn.bundle.store import open_bundle


def damage_byte(bundle: Path) -> None:
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[1000] ^= 1
    (bundle / "model.onnx").write_bytes(content)


def link_inside(bundle: Path) -> None:
    (bundle / "self_test.npz").rename(bundle.parent / "self_test.npz")
    (bundle / "self_test.npz").symlink_to(bundle.parent / "self_test.npz")


def manifest_link(bundle: Path) -> None:
    (bundle / "manifest.json").rename(bundle.parent / "m.json")
    (bundle / "manifest.json").symlink_to(bundle.parent / "m.json")


def folder_in_place_of_a_file(bundle: Path) -> None:
    (bundle / "self_test.npz").unlink()
    (bundle / "self_test.npz").mkdir()


def manifest_pipe(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    os.mkfifo(bundle / "manifest.json")


FAULTS: dict[str, tuple[Callable[[Path], object], type[errors.BundleError], str]] = {
    "changed byte": (damage_byte, errors.DigestMismatch, "model.onnx"),
    "truncated file": (
        lambda b: (b / "self_test.npz").write_bytes((b / "self_test.npz").read_bytes()[:-1]),
        errors.DigestMismatch,
        "self_test.npz",
    ),
    "missing file": (lambda b: (b / "proof.json").unlink(), errors.FileMissing, "proof.json"),
    "unexpected file": (lambda b: (b / "run.sh").write_text("#!"), errors.UnexpectedFile, "run.sh"),
    "link": (link_inside, errors.UnsafePath, "self_test.npz"),
    "manifest link": (manifest_link, errors.UnsafePath, "manifest.json"),
    "folder instead of a file": (folder_in_place_of_a_file, errors.UnsafePath, "self_test.npz"),
    "no manifest": (lambda b: (b / "manifest.json").unlink(), errors.BundleNotFound, "manifest.json"),
    "empty manifest": (lambda b: (b / "manifest.json").write_text(""), errors.ManifestError, "manifest.json"),
    "random manifest": (
        lambda b: (b / "manifest.json").write_bytes(bytes(range(256))),
        errors.ManifestError,
        "manifest.json",
    ),
    "unknown key": (
        lambda b: edit_manifest(b, lambda m: m.update(surprise=1)),
        errors.ManifestError,
        "'surprise'",
    ),
    "nested unknown key": (
        lambda b: edit_manifest(b, lambda m: m["preprocessing"].update(gamma=2)),
        errors.ManifestError,
        "'preprocessing.gamma'",
    ),
    "missing key": (lambda b: edit_manifest(b, lambda m: m.pop("labels")), errors.ManifestError, "'labels'"),
    "path traversal": (
        lambda b: edit_manifest(b, lambda m: m["files"].update({"../x": m["files"]["self_test.npz"]})),
        errors.UnsafePath,
        "'../x'",
    ),
    "absolute path": (
        lambda b: edit_manifest(b, lambda m: m["files"].update({"/etc/passwd": m["files"]["self_test.npz"]})),
        errors.UnsafePath,
        "'/etc/passwd'",
    ),
    "newer format": (
        lambda b: edit_manifest(b, lambda m: m.update(format={"major": 3, "minor": 0, "new": True})),
        errors.UnsupportedFormat,
        "upgrade edgecnn",
    ),
    "newer minor format": (
        lambda b: edit_manifest(b, lambda m: m.update(format={"major": 2, "minor": 9}, surprise=1)),
        errors.UnsupportedFormat,
        "2.9",
    ),
    "format 1": (
        lambda b: edit_manifest(b, lambda m: m.update(format={"major": 1, "minor": 2})),
        errors.UnsupportedFormat,
        "this bundle has format 1, this edgecnn reads format 2: export and quantize it again",
    ),
    "cascade": (
        lambda b: edit_manifest(b, lambda m: m["graphs"].append(m["graphs"][0])),
        errors.ManifestError,
        "a cascade requires two graphs and the key cascade",
    ),
    "4-bit weights": (
        lambda b: edit_manifest(b, lambda m: m["graphs"][0]["weights"].update({"fc1.weight": "int4"})),
        errors.ManifestError,
        "the graph has the 4-bit weights none, manifest.json names fc1.weight",
    ),
    "threshold above 1": (
        lambda b: edit_manifest(b, lambda m: m["scores"].update(activation="sigmoid", multi_label=True, threshold=1.5)),
        errors.ManifestError,
        "threshold",
    ),
    "negative margin": (
        lambda b: edit_manifest(b, lambda m: m["scores"].update(unsure_margin=-0.1)),
        errors.ManifestError,
        "unsure_margin",
    ),
    "multi-label softmax": (
        lambda b: edit_manifest(b, lambda m: m["scores"].update(multi_label=True)),
        errors.ManifestError,
        "multi_label",
    ),
    "no graph": (lambda b: edit_manifest(b, lambda m: m["graphs"].clear()), errors.ManifestError, "graphs"),
    "graph outside the folder": (
        lambda b: edit_manifest(b, lambda m: m["graphs"][0].update(file="../model.onnx")),
        errors.UnsafePath,
        "'../model.onnx'",
    ),
    "missing network": (
        lambda b: edit_manifest(b, lambda m: m.update(network=None)),
        errors.ManifestError,
        "network",
    ),
    "path traversal of records": (
        lambda b: edit_manifest(b, lambda m: m.update(name="../../evil")),
        errors.UnsafePath,
        "'../../evil'",
    ),
    "manifest pipe": (manifest_pipe, errors.UnsafePath, "manifest.json"),
    "huge image size": (
        lambda b: edit_manifest(b, lambda m: m["preprocessing"].update(crop=[100000, 100000])),
        errors.ManifestError,
        "crop",
    ),
    "no model": (
        lambda b: edit_manifest(b, lambda m: m["files"].pop("model.onnx")),
        errors.ManifestError,
        "model.onnx",
    ),
    "negative macs": (
        lambda b: edit_manifest(b, lambda m: m["graphs"][0].update(macs=-1)),
        errors.ManifestError,
        "macs",
    ),
    "too many labels": (
        lambda b: edit_manifest(b, lambda m: m["labels"].append("10")),
        errors.ManifestError,
        "11 labels",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_rejects_a_damaged_bundle(fault: str, bundle_copy: Path):
    damage, error, named = FAULTS[fault]
    damage(bundle_copy)
    with pytest.raises(error) as raised:
        open_bundle(bundle_copy)
    assert type(raised.value) is error
    assert named in str(raised.value)
    assert str(bundle_copy) in str(raised.value)
    assert "\n" not in str(raised.value)


def _a_pipe(path: Path) -> None:
    os.mkfifo(path)


def _a_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o644, os.makedev(1, 5))  # the device of /dev/zero
    except PermissionError:
        pytest.skip("only root makes devices")


def _a_socket(path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX) as sock,
        contextlib.chdir(path.parent),
    ):  # the length of a socket's path is limited
        sock.bind(path.name)


def _a_link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("name", ["model.onnx", "self_test.npz", "proof.json", "manifest.json"])
@pytest.mark.parametrize("make", [_a_pipe, _a_device, _a_socket, _a_link_to_a_device])
def test_rejects_special_files_without_reading(make: Callable[[Path], None], name: str, bundle_copy: Path):
    (bundle_copy / name).unlink()
    make(bundle_copy / name)
    with pytest.raises(errors.UnsafePath, match=name.replace(".", r"\.")):
        open_bundle(bundle_copy)


@pytest.mark.parametrize("name", ["model.onnx", "self_test.npz", "manifest.json"])
def test_rejects_a_link_to_the_same_file(name: str, bundle_copy: Path):
    aside = (bundle_copy / name).rename(bundle_copy.parent / "aside")
    (bundle_copy / name).symlink_to(aside)
    with pytest.raises(errors.UnsafePath, match="plain files only"):
        open_bundle(bundle_copy)


def test_rejects_a_huge_manifest(bundle_copy: Path):
    os.truncate(bundle_copy / "manifest.json", 1 << 30)  # a sparse file needs no space
    with pytest.raises(errors.ManifestError, match="expected at most 64 MiB"):
        open_bundle(bundle_copy)
