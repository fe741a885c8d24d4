"""Open a data source by its name or by its path. An existing path takes precedence over a name."""

from collections.abc import Callable
from pathlib import Path

from edgecnn.errors import SourceError, UsageError
from edgecnn.files.listing import is_pattern, subfolders
from edgecnn.hints import did_you_mean
from edgecnn.pipeline.data.cifar import Cifar10
from edgecnn.pipeline.data.digits import Digits
from edgecnn.pipeline.data.folder import ImageFolder
from edgecnn.pipeline.data.mnist import FashionMnist, Mnist
from edgecnn.pipeline.data.pictures import open_pictures
from edgecnn.pipeline.data.source import DataSource
from edgecnn.pipeline.data.table import SUFFIX, LabelTable

_KINDS: tuple[type[Digits | Mnist | Cifar10], ...] = (Digits, FashionMnist, Mnist, Cifar10)
_NAMED: dict[str, Callable[[], DataSource]] = {kind.name: kind for kind in _KINDS}
NAMES = tuple(_NAMED)
_EXPECTED = f"{', '.join(NAMES)}, an existing image folder or a CSV file"


def open_source(
    source: str, *, relative_to: Path | None = None, needs_classes: bool = True, strict: bool = False
) -> DataSource:
    """Open a data source.

    Args:
        source: a name in `NAMES`, or the path of an image folder or of a CSV file, see `LabelTable`. If `needs_classes`
            is not set, also images without classes: see `open_pictures`.
        relative_to: base folder of a relative path. The default is the working directory.
        needs_classes: whether the images must have classes.
        strict: turn warnings into errors, also when the splits are read.

    Warns:
        SourceWarning: files are left out.

    Raises:
        UsageError: `source` is empty, for example from an unset shell variable.
        SourceError: `source` is neither a name nor a folder nor a CSV file, the file is damaged, the images are
            missing, or files are left out and `strict` is set.
    """
    if not source:
        raise UsageError(f"the data source is empty: expected {_EXPECTED}")
    base = relative_to or Path()
    try:
        exists = (base / source).exists()
    except OSError:  # the name is too long for a path
        exists = False
    if exists and ((base / source).is_dir() and (needs_classes or subfolders(base / source))):
        return ImageFolder(base / source, strict=strict)
    if exists and Path(source).suffix.lower() == SUFFIX:
        return LabelTable(base / source, strict=strict)
    if exists and needs_classes:
        raise SourceError(
            f"{base / source} is a file: expected an image folder with one subfolder per class, or a CSV file"
        )
    if exists or (not needs_classes and source not in _NAMED and is_pattern(source)):
        return open_pictures(source, base, strict=strict)
    if source in _NAMED:
        return _NAMED[source]()
    hint = did_you_mean(source, NAMES)
    raise SourceError(f"unknown data source {source!r}{hint}: expected {_EXPECTED}")
