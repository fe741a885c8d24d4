"""Checkpoint folders: `model.safetensors` and `checkpoint.json`; nothing in them is ever unpickled."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from edgecnn.bundle import schema
from edgecnn.bundle.folder import write_folder
from edgecnn.bundle.manifest import DataReference, FileEntry, Network
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.store import digest_bytes
from edgecnn.errors import CheckpointError
from edgecnn.pipeline.original import Original
from edgecnn.pipeline.training.recipes import TrainingOptions

RECORD, WEIGHTS = "checkpoint.json", "model.safetensors"
FORMAT = 1


@dataclass(frozen=True)
class Epoch:
    """One line of the history: mean loss and accuracy on augmented training images."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class CheckpointRecord:
    """The whole of `checkpoint.json`.

    Attributes:
        format: version of this file.
        network: what was built.
        labels: class names in the order of the logits.
        preprocessing: what every image goes through.
        source: the data source as the user named it.
        training: the images trained on.
        test: the images that `test_top1` was measured on.
        test_top1: fraction of right answers there, once, after the last epoch.
        options: how it was trained.
        history: one entry an epoch.
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
    test: DataReference
    test_top1: float
    options: TrainingOptions
    history: tuple[Epoch, ...]
    created: str
    versions: dict[str, str]
    weights: FileEntry


@dataclass(frozen=True)
class Checkpoint:
    """A trained network: its record, its weights, and the digest of both (that of `checkpoint.json`)."""

    record: CheckpointRecord
    state: dict[str, torch.Tensor]
    digest: str

    @property
    def original(self) -> Original:
        """The PyTorch original that this checkpoint holds."""
        record = self.record
        return Original(
            network=record.network,
            state=self.state,
            labels=record.labels,
            preprocessing=record.preprocessing,
            digest=self.digest,
            training=record.training,
            source=record.source,
        )


def write_checkpoint(out: Path, record: CheckpointRecord, network: nn.Module, *, force: bool = False) -> str:
    """Write a checkpoint folder, atomically; the record's `weights` are filled in here. Returns its digest."""
    weights = save_tensors({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
    sealed = dataclasses.replace(record, weights=FileEntry(digest_bytes(weights), len(weights)))
    content = schema.dump(sealed).encode()
    write_folder(out, {WEIGHTS: weights, RECORD: content}, marker=RECORD, force=force)
    return digest_bytes(content)


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
    try:
        state = load_tensors(weights)
    except SafetensorError as error:
        raise CheckpointError(f"{path / WEIGHTS} is not a safetensors file: {error}") from None
    return Checkpoint(record, state, digest_bytes(content))


def _read(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} is not a checkpoint: cannot read {name} ({error.strerror}); `edgecnn train` writes one"
        ) from None
