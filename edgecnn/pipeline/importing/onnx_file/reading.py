"""Read an ONNX file and its external data. The file is untrusted: nothing outside its folder is opened."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from edgecnn.errors import OnnxFileError
from edgecnn.files.digest import digest_bytes
from edgecnn.pipeline.canonical.support import all_nodes
from edgecnn.pipeline.importing.kinds import describe_no_graph

LARGEST = 2_000_000_000
"""Largest file in bytes, with its external data. Protocol Buffers allow 2 GiB."""


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file with all of its data.

    Attributes:
        model: the graph. Its external data is embedded.
        digest: SHA-256 of the file; with external data, of the digests of all files.
        size_bytes: size of all files.
    """

    model: onnx.ModelProto
    digest: str
    size_bytes: int


def read_onnx(path: Path) -> OnnxFile:
    """Read an ONNX file, and the files in its folder that hold its weights.

    Raises:
        OnnxFileError: a file is missing, too large, damaged, or not an ONNX graph; or the graph refers to a file
            outside its folder, or to a link.
    """
    content = _content(path)
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError:
        raise OnnxFileError(f"the file is {describe_no_graph(content)}") from None
    if not model.graph.node or not model.opset_import:
        raise OnnxFileError(f"the file is {describe_no_graph(content)}")
    files = _embed(model, path.absolute().parent, LARGEST - len(content))
    digest = digest_bytes(content)
    if files:
        parts = [digest, *(f"{name} {digest_bytes(data)}" for name, data in sorted(files.items()))]
        digest = hashlib.sha256("\n".join(parts).encode(errors="backslashreplace")).hexdigest()
    return OnnxFile(model, digest, len(content) + sum(map(len, files.values())))


def _content(path: Path) -> bytes:
    """Read the file itself."""
    try:
        if path.is_dir():
            inside = sorted(each.name for each in path.iterdir() if each.suffix == ".onnx")
            raise OnnxFileError(f"the path is a folder: pass {'the ONNX file' if not inside else path / inside[0]}")
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OnnxFileError("the path is not a plain file: pass an ONNX file")
        if found.st_size > LARGEST:
            raise OnnxFileError(
                f"the file has {found.st_size:,} bytes, expected at most {LARGEST:,}: edge networks are smaller"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise OnnxFileError("the file does not exist: pass an ONNX file") from None
    except (OSError, ValueError) as error:
        raise OnnxFileError(f"cannot read the file: {getattr(error, 'strerror', None) or error}") from None


def _embed(model: onnx.ModelProto, folder: Path, room: int) -> dict[str, bytes]:
    """Embed the external data of a graph, and return the content of the files by their names."""
    files: dict[str, bytes] = {}
    total = 0
    for tensor in tensors_of(model):
        if tensor.data_location != TensorProto.EXTERNAL and not tensor.external_data:
            continue
        found = {entry.key: entry.value for entry in tensor.external_data}
        location = found.get("location", "")
        if location not in files:
            files[location] = _external(folder, location, tensor.name, room - sum(map(len, files.values())))
        data = files[location]
        start, end = _range(found, len(data), tensor.name, location)
        total += end - start
        if total > room:
            raise OnnxFileError(f"its weights have more than {LARGEST:,} bytes: edge networks are smaller")
        tensor.raw_data = data[start:end]
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]
    return files


def tensors_of(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Yield all tensors of a model, also those in the attributes of nested graphs."""
    yield from model.graph.initializer
    for node in all_nodes(model):
        for each in node.attribute:
            if each.HasField("t"):
                yield each.t
            yield from each.tensors
            for graph in (*([each.g] if each.HasField("g") else []), *each.graphs):
                yield from graph.initializer


def _external(folder: Path, location: str, tensor: str, room: int) -> bytes:
    """Read a file with external data. Its name must lead to a plain file in the folder, without links."""
    what = f"the weights {tensor!r} are in the file {location!r}"
    parts = location.replace("\\", "/").split("/")
    if not location or "\0" in location or ".." in parts or "" in parts or Path(location).is_absolute():
        raise OnnxFileError(f"{what}, expected a file in the folder of the graph")
    place = folder.joinpath(location)
    inside = [place, *(parent for parent in place.parents if parent != folder and folder in parent.parents)]
    if any(os.path.islink(each) for each in inside):  # noqa: PTH114  # a name that is too long is not a link
        raise OnnxFileError(f"{what}, which is a link: copy the file itself")
    try:
        found = place.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OnnxFileError(f"{what}, which is not a plain file")
        if found.st_size > room:
            raise OnnxFileError(f"{what}; all files have more than {LARGEST:,} bytes: edge networks are smaller")
        return place.read_bytes()
    except FileNotFoundError:
        raise OnnxFileError(f"{what}, which is missing: copy it next to the graph") from None
    except OSError as error:
        raise OnnxFileError(f"{what}, which cannot be read: {error.strerror}") from None


def _range(found: dict[str, str], size: int, tensor: str, location: str) -> tuple[int, int]:
    """Return where the data of a tensor begins and ends in its file of `size` bytes."""
    try:
        start = int(found.get("offset") or 0)
        end = start + int(found["length"]) if found.get("length") else size
    except ValueError:
        start, end = -1, -1
    if not 0 <= start <= end <= size:
        raise OnnxFileError(
            f"the weights {tensor!r} are outside the file {location!r} of {size:,} bytes: it is truncated or of "
            f"another graph; copy both files again"
        )
    return start, end
