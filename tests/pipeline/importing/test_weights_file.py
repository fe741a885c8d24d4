"""Files that are not weights, or damaged: one line that says what they are. No code of a file is executed."""

import gzip
import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgecnn.errors import CheckpointError
from edgecnn.pipeline.importing.options import WeightsOptions
from edgecnn.pipeline.importing.weights import from_file, open_weights
from edgecnn.pipeline.importing.weights_file import StandIn, read_weights_file
from edgecnn.pipeline.models.lenet import LeNet

pytestmark = pytest.mark.filterwarnings("ignore::edgecnn.errors.WeightsNote")

torch.manual_seed(0)
STATE = LeNet(3, 3).state_dict()


class Touching:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.path), "w")


def content_of(name: str, folder: Path) -> bytes:
    """Return an intact file: `zip` or `old` of PyTorch, or `safetensors`."""
    path = folder / name
    if name == "safetensors":
        save_file(STATE, path)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=name == "zip")
    return path.read_bytes()


def refusal(content: bytes, folder: Path, name: str = "weights.pth") -> str:
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as raised:
        read_weights_file(path)
    text = str(raised.value)
    assert text.startswith(f"{path} is ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".bin", ".ckpt", ""])
@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_content_decides_not_the_suffix(kind: str, suffix: str, tmp_path: Path):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content_of(kind, tmp_path))
    _, found = read_weights_file(path)
    assert all(torch.equal(found[key], value) for key, value in STATE.items())


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pth"))
    return buffer.getvalue()


def saved_array(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


OTHERS = {
    "empty": (b"", "is empty"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "git lfs pull"),
    "web page": (b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>", "a web page"),
    "web page in upper case": (b"<HTML><HEAD></HEAD></HTML>", "a web page"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page"),
    "JSON": (b'{"error": "not found"}', r"text, not weights of a PyTorch network: it begins with '{\"error\""),
    "text": (b"hello\n", "text, not weights"),
    "long text": (b"hello world\n" * 1000, "text, not weights"),
    "gzip": (gzip.compress(b"weights"), "compressed with gzip"),
    "tar": (tarred(), "a tar archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(40), "a 7z archive"),
    "zip of a file": (zipped("weights.pth"), "a zip archive with 'weights.pth': unpack it"),
    "zip of nothing": (zipped(), "not weights|damaged|neither"),
    "NumPy": (b"\x93NUMPY\x01\x00" + bytes(60), "a NumPy array"),
    "NumPy archive": (saved_array(a=np.zeros(3)), "an archive of NumPy arrays"),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(60), "an HDF5 file"),
    "ONNX": (b"\x08\x0a\x12\x07pytorch" + bytes(range(200, 256)), "an ONNX graph"),
    "pickle": (pickle.dumps({"conv1.weight": np.zeros(3)}), "a pickle that torch.save did not write"),
    "image": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "neither a file of torch.save nor of safetensors"),
    "noise": (bytes(range(255, -1, -1)) * 9, "neither a file of torch.save nor of safetensors"),
}


@pytest.mark.parametrize(("content", "named"), OTHERS.values(), ids=OTHERS)
def test_says_what_a_file_is(content: bytes, named: str, tmp_path: Path):
    text = refusal(content, tmp_path)
    assert any(each in text for each in named.replace("\\", "").split("|")), text


def test_rejects_torchscript(tmp_path: Path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script.pt")
    text = refusal((tmp_path / "script.pt").read_bytes(), tmp_path)
    assert "a TorchScript archive" in text
    assert "torch.save(model.state_dict(), 'weights.pth')" in text


def test_rejects_an_exported_program(tmp_path: Path):
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, tmp_path / "program.pt2")
    assert "a program of torch.export" in refusal((tmp_path / "program.pt2").read_bytes(), tmp_path)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", [lambda module: module, lambda module: {"model": module, "epoch": 3}])
def test_rejects_a_whole_module(wrap, legacy: bool, tmp_path: Path):
    path = tmp_path / "module.pth"
    torch.save(wrap(LeNet(3, 3)), path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"without executing its code; save its weights with torch\.save"):
        from_file("lenet", path, WeightsOptions())


def test_says_how_to_save_another_pickle_protocol(tmp_path: Path):
    torch.save(STATE, tmp_path / "four.pth", pickle_protocol=4)
    path = tmp_path / "four.pth"
    with pytest.raises(CheckpointError, match="pickle_protocol=2"):
        read_weights_file(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_executes_no_code(legacy: bool, tmp_path: Path):
    mark = tmp_path / "executed"
    torch.save({"extra": Touching(mark)} | STATE, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    _, found = read_weights_file(tmp_path / "x.pth")
    assert isinstance(found["extra"], StandIn)
    assert found["extra"].name in ("io.open", "_io.open", "builtins.open")
    assert not mark.exists()


def test_rejects_code_of_the_system(tmp_path: Path):
    class Shell:
        def __reduce__(self) -> tuple[object, ...]:
            import os

            return os.system, ("true",)

    torch.save({"extra": Shell()} | STATE, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="rejected without executing its code"):
        read_weights_file(tmp_path / "x.pth")


@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_rejects_every_truncation(kind: str, tmp_path: Path):
    content = content_of(kind, tmp_path)
    for size in (1, 2, 8, 9, 12, 40, 300, 1000, len(content) // 2, len(content) - 20, len(content) - 1):
        refusal(content[:size], tmp_path)


@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_damage_never_causes_another_error(kind: str, tmp_path: Path):
    content, generator = content_of(kind, tmp_path), np.random.default_rng(0)
    path = tmp_path / "damaged"
    messages = []
    for _ in range(60):
        damaged = bytearray(content)
        for place in generator.integers(0, min(len(damaged), 4000), 3):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(damaged)
        try:
            from_file("lenet", path, WeightsOptions(image_size=(32, 32), labels=("a", "b", "c")))
        except CheckpointError as error:
            messages.append(str(error))
    assert messages
    assert not any("\n" in message for message in messages)


def test_detects_changed_weights_in_a_zip(tmp_path: Path):
    content = bytearray(content_of("zip", tmp_path))
    place = content.index(STATE["fc1.weight"].numpy().tobytes()) + 1000
    content[place] ^= 1
    assert "truncated or damaged" in refusal(bytes(content), tmp_path)


def test_takes_a_file_without_checksums(tmp_path: Path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert set(read_weights_file(tmp_path / "x.pth")[1]) == set(STATE)


def test_names_the_file_in_a_folder(tmp_path: Path):
    with pytest.raises(CheckpointError, match="is a folder: expected a weights file"):
        open_weights("lenet", str(tmp_path), WeightsOptions())
    (tmp_path / "config.json").write_text(json.dumps({}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"is a folder: pass .*model\.safetensors"):
        open_weights("lenet", str(tmp_path), WeightsOptions())
    (tmp_path / "checkpoint.json").write_text(json.dumps({}))
    with pytest.raises(CheckpointError, match="is a checkpoint of edgecnn"):
        open_weights("lenet", str(tmp_path), WeightsOptions())
