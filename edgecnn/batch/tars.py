"""The images in uncompressed tar archives, also of WebDataset.

Nothing is extracted. The place of each image in its archive is listed once, and its bytes are read from there.
"""

import itertools
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from edgecnn.batch.plan import Entry
from edgecnn.bundle.formats import SIGNATURE_BYTES, SUFFIXES, identify
from edgecnn.errors import SourceError
from edgecnn.hints import shown
from edgecnn.runtime.images import Item

TAR = ".tar"


class TarSource:
    """Tar archives. Members that are not images, such as WebDataset's `.json` and `.cls`, are left out."""

    kind = "tar"

    def __init__(self, place: Path, files: Sequence[Path]) -> None:
        self.place, self._files = place, files

    def entries(self) -> Iterator[Entry]:
        """See `Source.entries`."""
        for path in self._files:
            found = False
            for entry in self._images_in(path):
                found = True
                yield entry
            if not found:
                raise SourceError(f"{path} contains no images")

    def read(self, entries: Sequence[Entry]) -> Iterator[Item]:
        """See `Source.read`."""
        for path, members in itertools.groupby(entries, key=lambda entry: entry.file):
            try:
                with Path(path).open("rb") as file:
                    contents = [(entry, os.pread(file.fileno(), entry.size, entry.start)) for entry in members]
            except OSError as error:
                raise SourceError(f"cannot read {path}: {error.strerror}") from None
            for entry, content in contents:
                if len(content) != entry.size:
                    raise SourceError(f"{path} has become shorter: restore it")
                yield content

    def path(self, entry: Entry) -> Path:
        """See `Source.path`."""
        return Path(entry.file)

    def _images_in(self, path: Path) -> Iterator[Entry]:
        """Yield the images of an archive."""
        name = os.path.relpath(path, self.place)
        try:
            with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
                size = path.stat().st_size
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep all of them in memory
                    if not member.isreg() or member.issparse():
                        continue
                    _check_name(path, member.name)
                    if member.offset_data + member.size > size:
                        raise SourceError(f"{path} is not an intact tar archive: it ends within {shown(member.name)}")
                    start = os.pread(file.fileno(), min(SIGNATURE_BYTES, member.size), member.offset_data)
                    if _is_image(member.name, start):
                        yield Entry(f"{name}/{member.name}", str(path), member.offset_data, member.size)
                if os.pread(file.fileno(), tarfile.BLOCKSIZE, archive.offset) != bytes(tarfile.BLOCKSIZE):
                    raise SourceError(f"{path} is not an intact tar archive: it has no end, or a damaged header")
        except (OSError, EOFError, tarfile.TarError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SourceError(f"{path} is not an intact, uncompressed tar archive: {reason}") from None


def _is_image(name: str, start: bytes) -> bool:
    """Return whether a member is an image, or has the suffix of one, although its content is damaged."""
    path = PurePosixPath(name)
    return not path.name.startswith(".") and (path.suffix.lower() in SUFFIXES or identify(start) is not None)


def _check_name(archive: Path, name: str) -> None:
    """Check that a member's name is a path below the archive, because the names are written to the output.

    Raises:
        SourceError: the name is absolute or contains `..`.
    """
    if name.startswith("/") or ".." in name.split("/"):
        raise SourceError(f"{archive} contains {shown(name)}, a path outside the archive: expected relative paths")
