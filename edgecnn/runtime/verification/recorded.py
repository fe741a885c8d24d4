"""The reference's logits on a split, as a file: a device without PyTorch compares with them."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.bundle.finding import check_outside_bundles
from edgecnn.errors import EdgecnnError
from edgecnn.files.file import write_file

_FORMAT = 1
_OTHER = "holds no recorded logits: `edgecnn evaluate CHECKPOINT --save-logits FILE.npz` writes them"


@dataclass(frozen=True)
class RecordedLogits:
    """Logits that were computed elsewhere, and what they are of.

    Attributes:
        reference: identity of the reference, as a bundle's manifest has it.
        checkpoint: digest of its weights.
        images_digest: digest of the split.
        logits: float32 [N, K].
    """

    reference: str
    checkpoint: str
    images_digest: str
    logits: np.ndarray

    def write(self, path: Path) -> None:
        """Write them, replacing an earlier file in one step.

        Raises:
            EdgecnnError: the system refused.
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
    """Read what `RecordedLogits.write` wrote; nothing is unpickled.

    Raises:
        EdgecnnError: it is something else.
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
