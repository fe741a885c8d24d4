"""Images without classes: a flat folder, a list of files, a glob pattern, or a tar archive."""

import hashlib
import lzma
import os
import tarfile
import tempfile
import weakref
import zlib
from pathlib import Path

from edgecnn.bundle.decoding import ImageLike, Mode, read_header
from edgecnn.errors import ImageError, SourceError, UnknownFormat
from edgecnn.files.listing import files_in, is_pattern, listed_in, matching
from edgecnn.hints import few
from edgecnn.pipeline.data.images import FileImages, Images
from edgecnn.pipeline.data.scanning import counted, report_others, scan
from edgecnn.pipeline.data.source import Split, check_split, report, split_by_content


class Pictures:
    """A data source without classes. Its splits are chosen by image content."""

    labels: tuple[str, ...] = ()
    mode: Mode = "RGB"

    def __init__(self, name: str, images: Images, *, root: Path | None = None, strict: bool = False) -> None:
        self.name = name
        self._images, self._root, self._strict = images, root, strict

    def split(self, name: str) -> Split:
        """See `DataSource.split`. The targets are unknown."""
        check_split(self.name, name)
        remedy = "add more, or pass other images for the proof with --data"
        return split_by_content(self.everything(name), name, place=self.name, remedy=remedy)

    def everything(self, name: str = "all") -> Split:
        """Return all images as one split of this name."""
        return Split(self.name, name, self._images, None, self._root, strict=self._strict)


def open_pictures(text: str, folder: Path, *, strict: bool = False) -> Pictures:
    """Open images without classes. `folder` is the base of a relative path.

    Args:
        text: a folder with images and no subfolders, a text file with one path per line, a tar archive, or a glob
            pattern such as `photos/**/*.jpg`. Paths in a text file are relative to its folder.
        folder: base folder of a relative path.
        strict: turn warnings into errors.

    Warns:
        SourceWarning: files are left out.

    Raises:
        SourceError: there are no images, a listed file is missing, or files are left out and `strict` is set.
    """
    path = folder / text
    if path.is_dir():
        return _of_files(path, files_in(path), path, strict=strict)
    if path.is_file():
        if tarfile.is_tarfile(path):
            return Pictures(path.name, _TarImages(path, strict=strict), strict=strict)
        return _of_files(path, _listed(path), path.parent, strict=strict)
    if is_pattern(text):
        return _of_files(path, matching(text, folder), folder, strict=strict)
    raise SourceError(f"{text!r} does not exist: expected a folder, a list of files, a tar archive or a glob pattern")


def _of_files(path: Path, files: list[Path], root: Path, *, strict: bool) -> Pictures:
    found = scan(files)
    if not found.images:
        raise SourceError(f"{path} has no images: expected a folder, a list, a pattern or a tar archive of images")
    base = root if all(each.is_relative_to(root) for each in files) else None
    report_others(found.others, base or Path(path.anchor), strict=strict)
    return Pictures(path.resolve().name, FileImages(found.paths), root=base, strict=strict)


def _listed(path: Path) -> list[Path]:
    """Return the paths in a text file.

    Raises:
        SourceError: the file is not text, or a path does not exist.
    """
    files = []
    for number, file in listed_in(path):
        if not file.is_file():
            raise SourceError(f"{path}, line {number}: {str(file)!r} is not a file")
        files.append(file)
    return files


class _TarImages:
    """The images in a tar archive. They are copied to a temporary file, for random access."""

    def __init__(self, path: Path, *, strict: bool) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the images are used
        weakref.finalize(self, self._file.close)
        self._places: list[tuple[int, int]] = []  # offset and size of each image
        others = []
        try:
            with tarfile.open(path) as archive:
                for member in sorted(_files_of(archive), key=lambda each: each.name):
                    content = archive.extractfile(member)
                    if not self._add(b"" if content is None else content.read()):
                        others.append(member.name)
        except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError) as error:
            raise SourceError(f"{path} is not an intact tar archive: {error}") from None
        self._file.flush()
        if not self._places:
            raise SourceError(f"{path} has no images")
        if others:
            report(f"{path}: {counted(others)} left out ({few(others, 1)}): not images", strict=strict)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int, /) -> ImageLike:
        offset, size = self._places[index]
        return os.pread(self._file.fileno(), size, offset)

    def digest(self, index: int) -> bytes:
        """See `Images.digest`."""
        offset, size = self._places[index]
        return hashlib.sha256(os.pread(self._file.fileno(), size, offset)).digest()

    def _add(self, content: bytes) -> bool:
        """Keep a member if it is an image. Decoding reports a damaged one later."""
        try:
            read_header(content)
        except UnknownFormat:
            return False
        except ImageError:
            pass
        self._places.append((self._file.tell(), len(content)))
        self._file.write(content)
        return True


def _files_of(archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """Return the visible regular files of an archive."""
    return [member for member in archive if member.isreg() and not Path(member.name).name.startswith(".")]
