"""Checkpoint folders: `model.safetensors` and `checkpoint.json`; nothing in them is ever unpickled.

While a training runs, `OUT.unfinished` is such a folder too, with the best weights so far, and `resume.safetensors`
with what the next epoch needs.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from edgecnn.bundle.manifest import DataReference, FileEntry, Network
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import CheckpointError
from edgecnn.files import schema
from edgecnn.files.digest import digest_bytes
from edgecnn.files.folder import write_folder
from edgecnn.pipeline.reference import Reference
from edgecnn.pipeline.training.recipes import TrainingOptions

RECORD, WEIGHTS, RESUME = "checkpoint.json", "model.safetensors", "resume.safetensors"
FORMAT = 3


@dataclass(frozen=True)
class Epoch:
    """One line of the history.

    Loss and accuracy are those of the augmented training images; the validation figures are None without validation
    images. `learning_rate` is that of the last step. `waited_s`, the wait for data, is part of `duration_s`.
    """

    loss: float
    accuracy: float
    validation_loss: float | None
    validation_top1: float | None
    learning_rate: float
    duration_s: float
    waited_s: float


@dataclass(frozen=True)
class Compute:
    """Where a network was trained: `cpu` or the GPU's name, the precision of its layers, and threads per process."""

    device: str
    precision: str
    threads: int
    processes: int


@dataclass(frozen=True)
class CheckpointRecord:
    """The whole of `checkpoint.json`.

    Attributes:
        source: the data source as the user named it.
        training: the training split, the validation images included.
        validation: the part of it that chose the best epoch; None where the last one was taken.
        test: the images that `test_top1` was measured on.
        test_top1: fraction of right answers there, by the best epoch's weights; None while training goes on.
        beginning: digest of the weights that it was fine-tuned from; None if it started from random ones.
        best_epoch: the epoch whose weights these are, from 1.
        created: UTC time.
        versions: package to version.
        weights: digest and size of `model.safetensors`.
    """

    format: int
    network: Network
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    source: str
    training: DataReference
    validation: DataReference | None
    test: DataReference
    test_top1: float | None
    options: TrainingOptions
    compute: Compute
    beginning: str | None
    history: tuple[Epoch, ...]
    best_epoch: int
    created: str
    versions: dict[str, str]
    weights: FileEntry

    @property
    def duration_s(self) -> float:
        """Wall time of all epochs."""
        return sum(epoch.duration_s for epoch in self.history)


@dataclass(frozen=True)
class Checkpoint:
    """A trained network: its record, its weights, and the digest of both (that of `checkpoint.json`)."""

    record: CheckpointRecord
    state: dict[str, torch.Tensor]
    digest: str

    @property
    def reference(self) -> Reference:
        """The PyTorch reference that this checkpoint holds."""
        record = self.record
        return Reference(
            network=record.network,
            state=self.state,
            labels=record.labels,
            preprocessing=record.preprocessing,
            digest=self.digest,
            training=record.training,
            source=record.source,
        )


def unfinished(out: Path) -> Path:
    """Return where the training of `out` keeps what it has so far."""
    return out.parent / f"{out.name}.unfinished"


def write_checkpoint(
    out: Path,
    record: CheckpointRecord,
    state: dict[str, torch.Tensor],
    *,
    resume: dict[str, torch.Tensor] | None = None,
    force: bool = False,
) -> str:
    """Write a checkpoint folder atomically, and return its digest.

    `weights` of the record are filled in here. `resume` is what the next epoch needs, if training goes on.
    """
    weights = save_tensors(_plain(state))
    sealed = dataclasses.replace(record, weights=FileEntry(digest_bytes(weights), len(weights)))
    content = schema.dump(sealed).encode()
    files = {WEIGHTS: weights, RECORD: content}
    if resume is not None:
        files[RESUME] = save_tensors(_plain(resume))
    write_folder(out, files, marker=RECORD, force=force)
    return digest_bytes(content)


def _plain(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors as safetensors takes them: on the CPU, each with memory of its own, in the usual order."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def read_resume(path: Path) -> dict[str, torch.Tensor]:
    """Read what the next epoch needs.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    return _tensors(path / RESUME, _read(path, RESUME))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        CheckpointError: it is missing, incomplete or corrupt; the message names the file.
    """
    content = _read(path, RECORD)
    try:
        record = schema.parse(CheckpointRecord, content)
    except schema.SchemaError as error:
        raise CheckpointError(f"{path / RECORD} does not follow the format: {error}; train it again") from None
    if record.format != FORMAT:
        raise CheckpointError(f"{path / RECORD} has format {record.format}, this edgecnn reads format {FORMAT}")
    weights = _read(path, WEIGHTS)
    if digest_bytes(weights) != record.weights.sha256:
        raise CheckpointError(f"{path / WEIGHTS} is not the file that was written (sha256 differs): train it again")
    return Checkpoint(record, _tensors(path / WEIGHTS, weights), digest_bytes(content))


def _tensors(path: Path, content: bytes) -> dict[str, torch.Tensor]:
    try:
        return load_tensors(content)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from None


def _read(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} is not a checkpoint: cannot read {name} ({error.strerror}); `edgecnn train` writes one"
        ) from None
