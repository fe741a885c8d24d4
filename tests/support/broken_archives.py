"""Malicious and damaged archives, made from a good one, with the error that each must raise."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable

from edgecnn import errors
from edgecnn.archive.packing import write_header

FOLDER = "lenet-digits-int8"
BLOCK = 512


def member(name: str, content: bytes = b"", **fields: object) -> bytes:
    """Return a member as another tar program writes it."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    form = tarfile.GNU_FORMAT if "gnu" in name else tarfile.USTAR_FORMAT
    return info.tobuf(form) + content + bytes(-len(content) % BLOCK)


def offset(archive: bytes, name: str) -> int:
    """Return the offset of a file's header."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.getmember(f"{FOLDER}/{name}").offset


def before(name: str, new: bytes) -> Callable[[bytes], bytes]:
    return lambda archive: archive[: (at := offset(archive, name))] + new + archive[at:]


def after_the_last(new: bytes) -> Callable[[bytes], bytes]:
    return lambda archive: archive[:-1024] + new + archive[-1024:]


def without(name: str) -> Callable[[bytes], bytes]:
    def cut(archive: bytes) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            info = tar.getmember(f"{FOLDER}/{name}")
        end = info.offset_data + -(-info.size // BLOCK) * BLOCK
        return archive[: info.offset] + archive[end:]

    return cut


def header_of(name: str, **fields: object) -> Callable[[bytes], bytes]:
    """Change fields of a file's header."""

    def change(archive: bytes) -> bytes:
        at = offset(archive, name)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            info = tar.getmember(f"{FOLDER}/{name}")
        for key, value in fields.items():
            setattr(info, key, value)
        return archive[:at] + info.tobuf(tarfile.GNU_FORMAT)[-BLOCK:] + archive[at + BLOCK :]

    return change


def in_place_of(name: str, **fields: object) -> Callable[[bytes], bytes]:
    """Replace a file with a member of another type and the same name."""
    return lambda archive: without(name)(before(name, member(f"{FOLDER}/{name}", **fields))(archive))


def with_manifest(change: Callable[[dict], object]) -> Callable[[bytes], bytes]:
    def made(archive: bytes) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            stream = tar.extractfile(f"{FOLDER}/manifest.json")
            assert stream is not None
            document = json.load(stream)
        change(document)
        content = json.dumps(document).encode()
        header = write_header(FOLDER, "manifest.json", len(content))
        return header + content + bytes(-len(content) % BLOCK) + without("manifest.json")(archive)

    return made


def flipped(name: str) -> Callable[[bytes], bytes]:
    def flip(archive: bytes) -> bytes:
        content = bytearray(archive)
        content[offset(archive, name) + BLOCK + 100] ^= 1
        return bytes(content)

    return flip


def clashing(document: dict) -> None:
    document["files"]["Model.onnx"] = document["files"]["model.onnx"]


def zipped(_: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../evil", bytes(10**7))
    return stream.getvalue()


def pax(archive: bytes) -> bytes:
    info = tarfile.TarInfo(f"{FOLDER}/model.onnx")
    info.pax_headers = {"path": "../evil"}
    return before("model.onnx", info.tobuf(tarfile.PAX_FORMAT))(archive)


def long_name(archive: bytes) -> bytes:
    return before("model.onnx", tarfile.TarInfo(f"{FOLDER}/" + "n" * 200).tobuf(tarfile.GNU_FORMAT))(archive)


Unsafe, Stranger, Missing = errors.UnsafePath, errors.UnexpectedFile, errors.FileMissing
FAULTS: dict[str, tuple[Callable[[bytes], bytes], type[errors.BundleError], str]] = {
    "path traversal": (before("model.onnx", member("../evil", b"x")), Unsafe, "'../evil'"),
    "path traversal in the folder": (before("model.onnx", member(f"{FOLDER}/../../evil", b"x")), Unsafe, "../../evil'"),
    "path traversal at the start": (
        before("manifest.json", member("../manifest.json", b"x")),
        Unsafe,
        "../manifest.json",
    ),
    "path traversal at the end": (after_the_last(member("../evil", b"x")), Unsafe, "'../evil'"),
    "absolute path": (before("model.onnx", member("/etc/evil", b"x")), Unsafe, "'/etc/evil'"),
    "drive letter": (before("model.onnx", member("C:evil", b"x")), Unsafe, "'C:evil'"),
    "backslashes": (before("model.onnx", member("..\\evil", b"x")), Unsafe, "evil'"),
    "empty path part": (before("model.onnx", member(f"{FOLDER}//model.onnx")), Unsafe, "//model.onnx'"),
    "dot": (before("model.onnx", member(f"./{FOLDER}/model.onnx")), Unsafe, "model.onnx'"),
    "symbolic link": (in_place_of("model.onnx", type=b"2", linkname="/etc/passwd"), Unsafe, "model.onnx"),
    "hard link": (in_place_of("model.onnx", type=b"1", linkname=f"{FOLDER}/manifest.json"), Unsafe, "model.onnx"),
    "character device": (in_place_of("model.onnx", type=b"3", devmajor=1, devminor=5), Unsafe, "model.onnx"),
    "block device": (in_place_of("model.onnx", type=b"4"), Unsafe, "model.onnx"),
    "folder": (in_place_of("model.onnx", type=b"5"), Unsafe, "model.onnx"),
    "pipe": (in_place_of("model.onnx", type=b"6"), Unsafe, "model.onnx"),
    "contiguous file": (in_place_of("model.onnx", type=b"7"), Unsafe, "model.onnx"),
    "sparse file": (header_of("model.onnx", type=b"S"), Unsafe, "model.onnx"),
    "unknown type": (header_of("model.onnx", type=b"Z"), Unsafe, "model.onnx"),
    "pax extension": (pax, Unsafe, "pax extension"),
    "global pax extension": (before("manifest.json", member("pax_global_header", type=b"g")), Unsafe, "pax"),
    "GNU long name": (long_name, Unsafe, "GNU extension"),
    "manifest link": (header_of("manifest.json", type=b"2"), Unsafe, "manifest.json"),
    "duplicate file": (before("proof.json", member(f"{FOLDER}/model.onnx", b"x")), Stranger, "model.onnx twice"),
    "duplicate last file": (after_the_last(member(f"{FOLDER}/self_test.npz", b"x")), Stranger, "self_test.npz twice"),
    "duplicate manifest": (
        before("model.onnx", member(f"{FOLDER}/manifest.json", b"x")),
        Stranger,
        "manifest.json twice",
    ),
    "upper and lower case": (before("model.onnx", member(f"{FOLDER}/Model.onnx", b"x")), Stranger, "Model.onnx"),
    "upper and lower case at the end": (after_the_last(member(f"{FOLDER}/MODEL.ONNX", b"x")), Stranger, "MODEL.ONNX"),
    "other case of the folder": (before("model.onnx", member("Lenet-digits-int8/a", b"x")), Stranger, "Lenet"),
    "case in the manifest": (with_manifest(clashing), errors.ManifestError, "model.onnx"),
    "manifest names itself": (
        with_manifest(lambda m: m["files"].update({"manifest.json": m["files"]["model.onnx"]})),
        errors.ManifestError,
        "manifest.json",
    ),
    "path traversal in the manifest": (
        with_manifest(lambda m: m["files"].update({"../evil": m["files"]["model.onnx"]})),
        Unsafe,
        "'../evil'",
    ),
    "unexpected file": (before("model.onnx", member(f"{FOLDER}/run.sh", b"#!")), Stranger, "run.sh"),
    "unexpected file at the end": (after_the_last(member(f"{FOLDER}/run.sh", b"#!")), Stranger, "run.sh"),
    "file in another folder": (before("model.onnx", member("other/model.onnx", b"x")), Stranger, "other/model.onnx"),
    "no model": (without("model.onnx"), Missing, "model.onnx"),
    "no last file": (without("self_test.npz"), Missing, "self_test.npz"),
    "no manifest": (without("manifest.json"), Missing, "manifest.json"),
    "size above the manifest's": (header_of("model.onnx", size=8**11 - 1), errors.DigestMismatch, "model.onnx"),
    "size below the manifest's": (header_of("model.onnx", size=1), errors.DigestMismatch, "model.onnx"),
    "size in base 256": (header_of("model.onnx", size=2**60), errors.BundleError, "model.onnx"),
    "manifest of 8 GiB": (header_of("manifest.json", size=8**11 - 1), errors.ManifestError, "manifest.json"),
    "manifest beyond the end": (
        header_of("manifest.json", size=10**6),
        errors.BundleError,
        "manifest.json",
    ),
    "sealed size beyond the end": (
        with_manifest(lambda m: m["files"]["model.onnx"].update(size_bytes=8**11 - 1)),
        errors.DigestMismatch,
        "model.onnx",
    ),
    "impossible size": (
        with_manifest(lambda m: m["files"]["model.onnx"].update(size_bytes=-1)),
        errors.DigestMismatch,
        "model.onnx",
    ),
    "owner": (header_of("model.onnx", uid=1000, uname="me"), errors.BundleError, "model.onnx"),
    "time": (header_of("model.onnx", mtime=1), errors.BundleError, "model.onnx"),
    "mode": (header_of("model.onnx", mode=0o4755), errors.BundleError, "model.onnx"),
    "changed model": (flipped("model.onnx"), errors.DigestMismatch, "model.onnx"),
    "changed self-test": (flipped("self_test.npz"), errors.DigestMismatch, "self_test.npz"),
    "newer format": (
        with_manifest(lambda m: m.update(format={"major": 9, "minor": 0})),
        errors.UnsupportedFormat,
        "9",
    ),
    "another name": (with_manifest(lambda m: m.update(name="other")), Stranger, f"{FOLDER}/manifest.json"),
    "extra bytes after the end": (lambda archive: archive + b"\0", errors.BundleError, "self_test.npz"),
    "extra bytes between": (
        lambda archive: archive[:-1025] + b"x" + archive[-1024:],
        errors.BundleError,
        "self_test.npz",
    ),
    "missing end": (lambda archive: archive[:-1024], errors.BundleError, "self_test.npz"),
    "truncated end": (lambda archive: archive[:-1], errors.BundleError, "self_test.npz"),
    "two archives": (lambda archive: archive + archive, errors.BundleError, "self_test.npz"),
    "gzip": (gzip.compress, errors.BundleError, "gzip"),
    "zip": (zipped, errors.BundleError, "zip"),
    "empty": (lambda _: b"", errors.BundleError, "0 bytes"),
    "zeros": (lambda _: bytes(10240), errors.BundleError, "bad.tar"),
    "text": (lambda _: b"hello" * 1000, errors.BundleError, "bad.tar"),
}
