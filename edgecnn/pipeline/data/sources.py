"""From what the user typed to a data source: a name, or an image folder. A path that exists wins over a name."""

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
        source: a name of `NAMES`, or the path of an image folder.
        relative_to: where a relative path starts; None is the working directory.

    Raises:
        UsageError: it is empty, as an unset shell variable is.
        SourceError: it is neither, or the images are not there.
    """
    if not source:
        raise UsageError(f"the data source is empty: expected {', '.join(NAMES)} or an image folder")
    path = (relative_to or Path()) / source
    try:
        exists = path.exists()
    except OSError:  # a name longer than any file's
        exists = False
    if exists:
        return ImageFolder(path)
    if source in _NAMED:
        return _NAMED[source]()
    raise SourceError(f"there is no data source {source!r}: expected {', '.join(NAMES)} or an image folder that exists")
