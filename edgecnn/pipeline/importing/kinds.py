"""Recognise files that are not weights, or not ONNX graphs, by their content, so that the message says what to do."""

import codecs
import io
import re
import zipfile

from edgecnn.hints import few

SAVE = "save its weights with torch.save(model.state_dict(), 'weights.pth')"
"""What to do with a file that has more than weights."""

_UNPACK = "unpack it first"
_BEGINNINGS = (
    (b"version https://git-lfs", "a Git LFS pointer, not {expected}: run `git lfs pull` in its repository"),
    (b"\x89HDF\r\n", "an HDF5 file, as Keras writes: expected {expected}"),
    (b"\x93NUMPY", "a NumPy array: expected {expected}"),
    (b"GGUF", "a GGUF file: expected {expected}"),
    (b"\x1f\x8b", f"compressed with gzip: {_UNPACK}"),
    (b"BZh", f"compressed with bzip2: {_UNPACK}"),
    (b"\xfd7zXZ", f"compressed with xz: {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"compressed with zstd: {_UNPACK}"),
    (b"7z\xbc\xaf", f"a 7z archive: {_UNPACK}"),
    (b"Rar!", f"a RAR archive: {_UNPACK}"),
)
_ONNX = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x2a\x32\x3a\x42]")
"""An ONNX `ModelProto`: the field `ir_version`, a small number, and then another field."""
_LONGEST_HEAD = 512
_EXPORT = "export it with edgecnn export ARCH --weights FILE --out FOLDER"


def describe_other(content: bytes) -> str | None:
    """Return what a file is and what to do, if it is neither of PyTorch nor of safetensors; None if unknown."""
    if _ONNX.match(content[:_LONGEST_HEAD]):
        return f"an ONNX graph: expected the weights of the PyTorch network that it comes from; {SAVE}"
    return _described(content, expected="weights of a PyTorch network")


def describe_no_graph(content: bytes) -> str:
    """Return what a file is that is not an ONNX graph, and what to do."""
    if not content:
        return "empty: copy or download it again"
    if content.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x04")):
        return f"a zip archive or a pickle, as torch.save writes, not an ONNX graph: if it has weights, {_EXPORT}"
    if content[8:10] == b'{"' and int.from_bytes(content[:8], "little") < len(content):
        return f"a safetensors file, not an ONNX graph: {_EXPORT}"
    if content[4:8] == b"TFL3":
        return "a TensorFlow Lite graph: expected an ONNX graph; convert it with tf2onnx"
    found = _described(content, expected="an ONNX graph")
    return found or "truncated, damaged, or not an ONNX graph: copy or download it again"


def _described(content: bytes, *, expected: str) -> str | None:
    head = content[:_LONGEST_HEAD]
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind.format(expected=expected)
    if content[257:262] == b"ustar":
        return f"a tar archive: {_UNPACK}"
    text = _text(head)
    if text is None:
        return None
    if re.match(r"\s*<(!doctype|html|head|\?xml)", text, re.IGNORECASE):
        return f"a web page, not {expected}: the download failed or needs a login; download it again"
    if len(content) > len(head) and _text(content) is None:
        return None
    return f"text, not {expected}: it begins with {text[:40].strip()!r}"


def describe_zip(content: bytes) -> str | None:
    """Return what a zip archive is and what to do; None if `torch.save` wrote it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            for entry in archive.infolist():
                if entry.CRC:  # PyTorch has an option to write 0
                    archive.read(entry)
    except Exception as error:  # damaged content can cause any exception
        return f"truncated or damaged ({' '.join(str(error).split())[:100]}): copy or download it again"
    inside = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inside or any(name.startswith("code/") for name in inside):
        return f"a TorchScript archive, not a state dict: load it with torch.jit.load and {SAVE}"
    if {"archive_format", "models/model.json"} & inside or "serialized_exported_program.json" in names:
        return f"a program of torch.export, not a state dict: {SAVE}"
    if "data.pkl" in inside:
        return None
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of NumPy arrays: expected a dictionary of names and tensors from torch.save"
    return f"a zip archive with {few([*map(repr, names)]) or 'nothing'}: unpack it and pass the weights file"


def _text(content: bytes) -> str | None:
    """Return content as text; None if it is not UTF-8 text."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content)  # a cut character at the end is allowed
    except UnicodeDecodeError:
        return None
    return text if all(char.isprintable() or char in "\t\r\n" for char in text) else None
