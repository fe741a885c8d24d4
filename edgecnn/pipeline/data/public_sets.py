"""Find public data sets in local folders, or download them."""

import os
import socket
import tempfile
from pathlib import Path

from edgecnn.errors import SourceError
from edgecnn.files.folder import new_folder, sync_file

_TIMEOUT_S = 15.0


def _data_folder() -> Path:
    # Path.expanduser raises if the user has no home folder; os.path.expanduser returns the path unchanged.
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "edgecnn" / "data"  # noqa: PTH111


def places(name: str, *others: str) -> tuple[Path, ...]:
    """Return the folders to search for a data set, in order.

    Args:
        name: name of the source. The folders of this name in `$EDGECNN_DATA` and in the cache come first.
        others: more folders. A relative one is searched in the cache, where downloads go, and in `data/` of the working
            directory, as in torchvision's example.
    """
    named, cache = os.environ.get("EDGECNN_DATA"), _data_folder()
    found = [Path(named) / name] if named else []
    found.append(cache / name)
    for other in others:
        found += [Path(other)] if Path(other).is_absolute() else [cache / other, Path("data") / other]
    return tuple(found)


def find(name: str, dataset: str, folder: str, marker: str, looked: tuple[Path, ...], *, hint: str = "") -> Path:
    """Return the first folder that has a data set, or download the data set.

    Args:
        name: name of the source.
        dataset: name of its class in `torchvision.datasets`.
        folder: folder below the root where that class stores the data set.
        marker: a file that every copy of the data set has.
        looked: the folders to search.
        hint: another way to get the data set, for the error message.

    Raises:
        SourceError: no folder has the data set, and it cannot be downloaded.
    """
    for place in looked:
        if (place / marker).is_file():
            return place
    try:
        return download(dataset, folder, marker)
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
    command = f"torchvision.datasets.{dataset}('data', download=True)"
    raise SourceError(
        f"{name} is not found (searched {', '.join(map(str, looked))}) and cannot be downloaded ({reason}): "
        f"{hint}on a machine with internet access run "
        f'`python -c "import torchvision; {command}"`, copy the folder here as {name}/, and set '
        f"EDGECNN_DATA to its parent folder"
    )


def download(dataset: str, folder: str, marker: str) -> Path:
    """Download a data set with torchvision and return its folder. The folder is created atomically."""
    import torchvision

    root = _data_folder()
    root.mkdir(parents=True, exist_ok=True)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_S)  # torchvision sets no timeout, and a firewall that drops packets would block
    try:
        with tempfile.TemporaryDirectory(dir=root) as temporary:
            getattr(torchvision.datasets, dataset)(temporary, download=True)
            with new_folder(root / folder, marker=marker, force=True) as new:
                for file in (Path(temporary) / folder).iterdir():
                    sync_file(file)
                    file.rename(new / file.name)
    finally:
        socket.setdefaulttimeout(before)
    return root / folder
