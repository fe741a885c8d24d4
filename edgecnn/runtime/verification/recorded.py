"""Recorded logits: the reference's logits on a split in a file, for devices without PyTorch."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.bundle.finding import check_outside_bundles
from edgecnn.errors import EdgecnnError
from edgecnn.files.file import write_file

_FORMAT = 1
_OTHER = "contains no recorded logits: create them with `edgecnn evaluate CHECKPOINT --save-logits FILE.npz`"


@dataclass(frozen=True)
class RecordedLogits:
    """Logits of the reference, recorded on another machine.

    Attributes:
        reference: the reference's digest, as in a bundle's manifest.
        checkpoint: digest of its weights.
        images_digest: digest of the split.
        logits: float32 [N, K].
    """

    reference: str
    checkpoint: str
    images_digest: str
    logits: np.ndarray

    def write(self, path: Path) -> None:
        """Write the file, replacing an earlier one atomically.

        Raises:
            UsageError: the path is inside a bundle.
            EdgecnnError: the file cannot be written.
        """
        check_outside_bundles(path)
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            format=np.int64(_FORMAT),
            reference=np.array(self.reference),
            checkpoint=np.array(self.checkpoint),
            images_digest=np.array(self.images_digest),
            logits=self.logits,
        )
        write_file(path, buffer.getvalue())


def read_recorded(path: Path) -> RecordedLogits:
    """Read a file that `RecordedLogits.write` wrote. Nothing is unpickled.

    Raises:
        EdgecnnError: the file contains no recorded logits, or cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        reference, checkpoint, images = (str(arrays[name][()]) for name in ("reference", "checkpoint", "images_digest"))
        logits, version = arrays["logits"], int(arrays["format"])
    except OSError as error:
        raise EdgecnnError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile):
        raise EdgecnnError(f"{path} {_OTHER}") from None
    if version > _FORMAT:
        raise EdgecnnError(f"{path} has format {version}, this edgecnn reads format {_FORMAT}: update edgecnn")
    if logits.dtype != np.float32 or logits.ndim != 2 or not np.isfinite(logits).all():
        raise EdgecnnError(f"{path} {_OTHER}")
    return RecordedLogits(reference, checkpoint, images, logits)
