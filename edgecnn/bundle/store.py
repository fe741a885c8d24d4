"""Create and open bundles: sealed folders whose digest is the SHA-256 of their manifest.

Digests show only that nothing has changed. So each time a bundle is opened, the graph is checked for external data and
foreign operators, and the weights of an INT8 bundle are checked against the manifest.
"""

import dataclasses
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.bundle.external_data import check_no_external_data
from edgecnn.bundle.finding import (
    LARGEST_MANIFEST,
    MANIFEST,
    PROOF,
    SELF_TEST,
    check_outside_bundles,
    led_to,
    mending,
    why_not_a_bundle,
)
from edgecnn.bundle.graph_entry import Graph
from edgecnn.bundle.manifest import MINOR, FileEntry, Manifest
from edgecnn.bundle.names import check_name
from edgecnn.bundle.operators import check_operators
from edgecnn.bundle.proof import Proof
from edgecnn.bundle.reading import parse_manifest, too_new
from edgecnn.bundle.self_test import SelfTest
from edgecnn.bundle.weights import check_weights
from edgecnn.errors import (
    BundleError,
    BundleNotFound,
    DigestMismatch,
    FileMissing,
    ManifestError,
    UnexpectedFile,
    UnsafePath,
    UnsupportedFormat,
    UsageError,
)
from edgecnn.files import schema
from edgecnn.files.digest import digest_bytes, digest_file
from edgecnn.files.folder import write_folder


@dataclass(frozen=True)
class Bundle:
    """An intact bundle. All digests and weight ranges were checked when it was opened."""

    path: Path
    manifest: Manifest
    digest: str

    def __repr__(self) -> str:
        height, width, channels = self.manifest.image_shape
        return (
            f"<Bundle {self.path}: {self.manifest.precision}, {self.classes} classes, {height} × {width} × {channels}, "
            f"{self.size_bytes / 1024:,.0f} KiB, digest {self.digest[:12]}>"
        )

    def _repr_html_(self) -> str:
        """Return the bundle and its proof as a table, for notebooks. Many classes are shortened."""
        from edgecnn.hints import few
        from edgecnn.html_table import table

        height, width, channels = self.manifest.image_shape
        rows = [
            ("folder", str(self.path)),
            ("precision", self.manifest.precision.upper()),
            ("graph", f"{self.size_bytes / 1024:,.0f} KiB"),
            ("image", f"{height} × {width} × {channels}"),
            ("classes", f"{self.classes:,}: {few(self.manifest.labels, 10)}"),
            ("reference", self.manifest.reference.name or self.manifest.reference.kind),
            ("digest", self.digest[:12]),
        ]
        try:
            proven = self.proof().engines
        except (OSError, BundleError) as error:  # the folder was removed or replaced
            rows.append(("proof", str(error)))
        else:
            name = self.manifest.scores.accuracy_name
            rows += [(f"proof on {each.engine}", each.comparison.summary(name)) for each in proven]
        return table(f"Bundle {self.manifest.name}", rows)

    @property
    def model(self) -> Path:
        """Path of the ONNX graph of a bundle with one graph."""
        return self.path / self.manifest.graph.file

    @property
    def models(self) -> tuple[Path, ...]:
        """Paths of the ONNX graphs: one, or the fast and the accurate one of a cascade."""
        return tuple(self.path / graph.file for graph in self.manifest.graphs)

    def check_one_graph(self, command: str) -> None:
        """Check that a command for bundles with one graph can take this one.

        Raises:
            UsageError: this bundle is a cascade.
        """
        if self.manifest.cascade is not None:
            raise UsageError(
                f"{command}: expected a bundle with one graph, {self.path} is a cascade: use its fast or its accurate "
                f"bundle"
            )

    @property
    def classes(self) -> int:
        """Number of logits."""
        return len(self.manifest.labels)

    @property
    def size_bytes(self) -> int:
        """Size of the ONNX graph in bytes; of both graphs of a cascade."""
        return sum(self.manifest.files[graph.file].size_bytes for graph in self.manifest.graphs)

    def self_test(self) -> SelfTest:
        """Read the self-test: real images and the reference's logits."""
        try:
            self_test = SelfTest.from_bytes((self.path / SELF_TEST).read_bytes())
        except ValueError as error:
            raise BundleError(f"{self.path / SELF_TEST} does not follow the format: {error}") from None
        found = (*self_test.images.shape[1:], self_test.logits.shape[1])
        if found != (expected := (*self.manifest.image_shape, self.classes)):
            raise BundleError(
                f"{self.path / SELF_TEST} does not match the graph: expected [H, W, C, K] of {expected}, found {found}"
            )
        return self_test

    def proof(self) -> Proof:
        """Read the proof, which was made when the bundle was built."""
        try:
            return schema.parse(Proof, (self.path / PROOF).read_bytes())
        except schema.SchemaError as error:
            if self.manifest.format.minor > MINOR:
                raise too_new(self.manifest.format.minor, error) from None
            raise BundleError(f"{self.path / PROOF} does not follow the format: {error}") from None


def open_bundle(path: str | Path, *, digest: str | None = None) -> Bundle:
    """Open a bundle and check that it is intact.

    Args:
        path: the folder, or a link to it, which is followed once.
        digest: the expected digest; pass it if the bundle was checked before, because it may have been replaced.

    Raises:
        BundleError: the bundle is not intact. Each fault has a subclass, and the message names the file, and in a site
            the command that mends it.
    """
    path = Path(path)
    try:
        path = led_to(path)
        return _open(path, digest)
    except PermissionError as error:
        raise BundleError(f"cannot read {error.filename}: {error.strerror}: make it readable for this user") from None
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}{mending(path)}") from None
    except UnsupportedFormat:
        raise
    except BundleError as error:
        error.args = (f"{error}{mending(path)}",)
        raise


def _open(path: Path, digest: str | None) -> Bundle:
    content = _read_manifest(path)
    if digest is not None and digest_bytes(content) != digest:
        raise DigestMismatch(f"{path / MANIFEST} was replaced after it was checked: run the command again")
    try:
        manifest = parse_manifest(content)
    except BundleError as error:
        raise type(error)(f"{path}: {error}") from None
    for needed in (*(graph.file for graph in manifest.graphs), SELF_TEST, PROOF):
        if needed not in manifest.files:
            raise ManifestError(f"{path}: manifest.json does not name {needed}")
    _check_no_strangers(path, manifest)
    for name, entry in manifest.files.items():
        _check_file(path / name, entry)
    for graph in manifest.graphs:
        _check_graph(_mapped(path / graph.file), graph, path / graph.file)
    return Bundle(path, manifest, digest_bytes(content))


def create_bundle(
    out: Path,
    *,
    manifest: Manifest,
    model: bytes | tuple[bytes, bytes],
    self_test: SelfTest,
    proof: Proof,
    force: bool = False,
) -> Bundle:
    """Write a new bundle to `out`, atomically. The manifest's `files` are set here.

    `model` is the ONNX graph, or for a cascade the fast and the accurate one.

    Raises:
        OutputExists: `out` exists and `force` is false.
        ExternalData: the graph refers to another file.
        ForeignOperator: the graph has an operator that is not ONNX's own, other than that of 4-bit weights.
        WeightBeyondRange: a weight is larger than the manifest claims.
        ManifestError: the manifest names other 4-bit weights than the graph has.
        EdgecnnError: writing failed, for example because the disk is full; nothing has changed.
    """
    check_name(manifest.name)
    check_outside_bundles(out)
    models = (model,) if isinstance(model, bytes) else model
    graphs = {graph.file: content for graph, content in zip(manifest.graphs, models, strict=True)}
    for graph in manifest.graphs:
        _check_graph(np.frombuffer(graphs[graph.file], np.uint8), graph, out / graph.file)
    files: Mapping[str, bytes] = {**graphs, SELF_TEST: self_test.to_bytes(), PROOF: schema.dump(proof).encode()}
    entries = {name: FileEntry(digest_bytes(content), len(content)) for name, content in files.items()}
    sealed = dataclasses.replace(manifest, files=entries)
    content = schema.dump(sealed).encode()
    write_folder(out, {**files, MANIFEST: content}, marker=MANIFEST, force=force)
    return Bundle(out, sealed, digest_bytes(content))


def _read_manifest(path: Path) -> bytes:
    manifest = path / MANIFEST
    if not path.is_dir():
        raise BundleNotFound(why_not_a_bundle(path))
    if manifest.is_symlink():
        raise UnsafePath(f"{manifest} is a link: a bundle contains plain files only")
    if manifest.exists() and not manifest.is_file():  # reading a pipe would never end
        raise UnsafePath(f"{manifest} is not a plain file: a bundle contains plain files only")
    try:
        if manifest.stat().st_size > LARGEST_MANIFEST:
            raise ManifestError(f"{manifest} is too large: expected at most {LARGEST_MANIFEST >> 20} MiB")
        return manifest.read_bytes()
    except FileNotFoundError:
        raise BundleNotFound(why_not_a_bundle(path)) from None
    except OSError as error:
        raise BundleError(f"cannot read {manifest}: {error.strerror}") from None


def _check_no_strangers(path: Path, manifest: Manifest) -> None:
    for child in path.iterdir():
        if child.is_symlink():
            raise UnsafePath(f"{child} is a link: a bundle contains plain files only")
        if child.name != MANIFEST and child.name not in manifest.files:
            raise UnexpectedFile(f"{child} is not named in {MANIFEST}: remove it or copy the bundle again")


def _check_file(path: Path, entry: FileEntry) -> None:
    """Check that a file is a plain file with the sealed size and digest. Hard links are allowed."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        raise FileMissing(f"{path} is missing: copy the whole bundle again") from None
    if not stat.S_ISREG(status.st_mode):
        raise UnsafePath(f"{path} is not a plain file: a bundle contains plain files only")
    if status.st_size != entry.size_bytes:
        raise DigestMismatch(f"{path} has {status.st_size} bytes, expected {entry.size_bytes}: copy the bundle again")
    try:
        digest = digest_file(path)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from None
    if digest != entry.sha256:
        raise DigestMismatch(f"{path} has changed since it was sealed (sha256 differs): copy the bundle again")


def _check_graph(model: np.ndarray, graph: Graph, path: Path) -> None:
    """Check data, operators and weights of a graph; `model` is the content of the file at `path`."""
    check_no_external_data(model, path=path)
    check_operators(model, has_four_bits=graph.quantization is not None, path=path)
    if graph.quantization is not None:
        check_weights(model, graph.quantization.weight_limit, four_bits=graph.four_bits, path=path)


def _mapped(path: Path) -> np.ndarray:
    """Return a file's bytes as a memory-mapped uint8 array."""
    try:
        return np.memmap(path, np.uint8, "r")
    except ValueError:  # the file is empty
        return np.zeros(0, np.uint8)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from None
