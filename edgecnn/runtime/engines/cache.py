"""Cache of compiled graphs, which makes the second start of a large network fast.

An entry is a folder of files that the engine wrote, and a file with their digests. Its name is the digest of the graph,
the engine's version, the options and the processor. An entry is used only if every digest matches; otherwise it is
deleted and compiled again. Entries are created atomically, so that processes can share the cache.
"""

import hashlib
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgecnn.bundle.manifest import FileEntry
from edgecnn.errors import CacheWarning, EdgecnnError, OutputExists
from edgecnn.files import schema
from edgecnn.files.digest import digest_file
from edgecnn.files.file import write_file
from edgecnn.files.folder import new_folder, sync_file
from edgecnn.files.places import cache_folder
from edgecnn.host.processor import emulator, processor

_ENTRY = "entry.json"


@dataclass(frozen=True)
class CacheKey:
    """Everything that determines the content of a cache entry.

    `graph` is the SHA-256 of the ONNX file. `options` and `processor` are text. Engines choose kernels by the
    processor's name and instruction sets.
    """

    graph: str
    engine: str
    version: str
    options: str
    processor: str


@dataclass(frozen=True)
class _Entry:
    key: CacheKey
    files: dict[str, FileEntry]


class CacheSlot:
    """The cache entry of one compiled graph."""

    def __init__(self, key: CacheKey, root: Path | None = None) -> None:
        """Args: `root` is the folder of all entries, by default in `$XDG_CACHE_HOME/edgecnn`."""
        self._key = key
        self._root = root or cache_folder() / "engines"
        self._folder = self._root / hashlib.sha256(schema.dump(key).encode()).hexdigest()[:32]

    def read(self) -> Path | None:
        """Return the folder of the entry after checking its digests; None if it does not exist or is damaged."""
        if not os.path.lexists(self._folder):
            return None
        if self._intact():
            return self._folder
        self.drop()
        return None

    def write(self, fill: Callable[[Path], None]) -> None:
        """Create the entry from the files that `fill` writes. On failure, issue a `CacheWarning`."""
        try:
            with new_folder(self._folder, marker=_ENTRY) as new:
                fill(new)
                files = {file.name: FileEntry(digest_file(file), file.stat().st_size) for file in new.iterdir()}
                for name in files:
                    sync_file(new / name)
                write_file(new / _ENTRY, schema.dump(_Entry(self._key, files)).encode())
        except OutputExists:  # another process created the entry first
            return
        except EdgecnnError as error:
            warnings.warn(f"cannot keep the compiled graph for the next start: {error}", CacheWarning, stacklevel=3)
            return
        self._drop_older_versions()

    def drop(self) -> None:
        """Delete the entry, because the engine rejected it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _intact(self) -> bool:
        try:
            entry = schema.parse(_Entry, (self._folder / _ENTRY).read_bytes())
            return entry.key == self._key and all(
                (self._folder / name).stat().st_size == file.size_bytes
                and digest_file(self._folder / name) == file.sha256
                for name, file in entry.files.items()
            )
        except (OSError, schema.SchemaError):
            return False

    def _drop_older_versions(self) -> None:
        """Delete entries of other versions of this engine: they are not used any more."""
        for file in self._root.glob(f"*/{_ENTRY}"):
            try:
                key = schema.parse(_Entry, file.read_bytes()).key
            except (OSError, schema.SchemaError):
                continue  # damaged: deleted when it is read next
            if key.engine == self._key.engine and key.version != self._key.version:
                shutil.rmtree(file.parent, ignore_errors=True)


def cache_key(graph: str, engine: str, version: str, options: str) -> CacheKey:
    """Return the key of a graph's entry on this machine."""
    here = processor()
    return CacheKey(graph, engine, version, options, ", ".join([here.name, *here.features, *emulator()]))
