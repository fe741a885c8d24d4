"""Open a data source by its name or by the path of an image folder. An existing path takes precedence over a name."""

from collections.abc import Callable
from pathlib import Path

from edgecnn.errors import SourceError, UsageError
from edgecnn.pipeline.data.cifar import Cifar10
from edgecnn.pipeline.data.digits import Digits
from edgecnn.pipeline.data.folder import ImageFolder
from edgecnn.pipeline.data.mnist import FashionMnist, Mnist
from edgecnn.pipeline.data.source import DataSource

_KINDS: tuple[type[Digits | Mnist | Cifar10], ...] = (Digits, FashionMnist, Mnist, Cifar10)
_NAMED: dict[str, Callable[[], DataSource]] = {kind.name: kind for kind in _KINDS}
NAMES = tuple(_NAMED)


def open_source(source: str, *, relative_to: Path | None = None) -> DataSource:
    """Open a data source.

    Args:
        source: a name in `NAMES`, or the path of an image folder.
        relative_to: base folder of a relative path. The default is the working directory.

    Raises:
        UsageError: `source` is empty, for example from an unset shell variable.
        SourceError: `source` is neither a name nor a folder, or the images are missing.
    """
    if not source:
        raise UsageError(f"the data source is empty: expected {', '.join(NAMES)} or an image folder")
    path = (relative_to or Path()) / source
    try:
        exists = path.exists()
    except OSError:  # the name is too long for a path
        exists = False
    if exists:
        return ImageFolder(path)
    if source in _NAMED:
        return _NAMED[source]()
    raise SourceError(f"unknown data source {source!r}: expected {', '.join(NAMES)} or an existing image folder")
