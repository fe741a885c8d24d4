"""Where public data sets are looked for, and how they come here: local folders first, then the network."""

import os
import socket
import tempfile
from pathlib import Path

from edgecnn.errors import SourceError
from edgecnn.files.folder import new_folder, sync_file

_TIMEOUT_S = 15.0


def _data_folder() -> Path:
    # Path.expanduser raises where a user has no home folder; this leaves a place where nothing is.
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "edgecnn" / "data"  # noqa: PTH111


def places(name: str, *others: str) -> tuple[Path, ...]:
    """Return the folders where a data set is looked for, in order.

    Args:
        name: of the source; a folder of that name in `$EDGECNN_DATA`, then in the cache.
        others: relative ones are looked for in the cache, where downloads go, and in `data/` here, where torchvision's
            own example puts them; absolute ones as they are.
    """
    named, cache = os.environ.get("EDGECNN_DATA"), _data_folder()
    found = [Path(named) / name] if named else []
    found.append(cache / name)
    for other in others:
        found += [Path(other)] if Path(other).is_absolute() else [cache / other, Path("data") / other]
    return tuple(found)


def find(name: str, dataset: str, folder: str, marker: str, looked: tuple[Path, ...], *, hint: str = "") -> Path:
    """Return the first folder that holds a data set; download the data set if there is none.

    Args:
        name: name of the source.
        dataset: its class in `torchvision.datasets`.
        folder: where that class puts it, below its root.
        marker: a file that is present when the data set is.
        looked: the folders to look into.
        hint: another way to get it, for the message.

    Raises:
        SourceError: it is in none of the folders and cannot be downloaded.
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
        f"{name} is not here (looked in {', '.join(map(str, looked))}) and cannot be downloaded ({reason}): {hint}on a "
        f'machine with a network `python -c "import torchvision; {command}"`, copy the folder here as {name}/, and set '
        f"EDGECNN_DATA to the folder that holds it"
    )


def download(dataset: str, folder: str, marker: str) -> Path:
    """Download a data set with torchvision, and return its folder, which appears complete or not at all."""
    import torchvision

    root = _data_folder()
    root.mkdir(parents=True, exist_ok=True)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_S)  # torchvision sets none, and a firewall that drops packets would block us
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
