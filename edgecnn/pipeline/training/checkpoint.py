"""Checkpoint folders: `model.safetensors` and `checkpoint.json`. They contain no pickles.

During training, `OUT.unfinished` is also a checkpoint folder. It has the best weights so far, and the state to resume
from in `resume.safetensors`.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from edgecnn.bundle.finding import CHECKPOINT
from edgecnn.bundle.manifest import DataReference, FileEntry, Network
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import CheckpointError
from edgecnn.files import schema
from edgecnn.files.digest import digest_bytes
from edgecnn.files.folder import write_folder
from edgecnn.pipeline.data.held_out import HeldOut
from edgecnn.pipeline.torch_reference import TorchReference
from edgecnn.pipeline.training.recipes import TrainingOptions
from edgecnn.pipeline.user_network import named_architecture

RECORD, WEIGHTS, RESUME = CHECKPOINT, "model.safetensors", "resume.safetensors"
FORMAT = 3


@dataclass(frozen=True)
class Epoch:
    """The metrics of one epoch.

    `loss` and `accuracy` are measured on the augmented training images. The validation metrics are None without
    validation images. `learning_rate` is the rate of the last step. `waited_s`, the wait for data, is part of
    `duration_s`.
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
    """Training hardware: `cpu` or the GPU's name, precision of the layers, threads per process, and processes."""

    device: str
    precision: str
    threads: int
    processes: int


@dataclass(frozen=True)
class CheckpointRecord:
    """The content of `checkpoint.json`.

    Attributes:
        source: the data source as the user named it.
        training: the training split, including the validation images, without reserved ones.
        validation: the images that selected the best epoch; None if the last epoch was used.
        test: the images of `test_top1`.
        test_top1: top-1 of the best epoch on the test split; None during training.
        beginning: digest of the weights that fine-tuning started from; None for random weights.
        best_epoch: the epoch of the weights, from 1.
        created: UTC time.
        versions: package to version.
        weights: digest and size of `model.safetensors`.
        skipped_test: images of `test` that could not be decoded.
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
    skipped_test: int = 0

    @property
    def duration_s(self) -> float:
        """Wall time of all epochs."""
        return sum(epoch.duration_s for epoch in self.history)


@dataclass(frozen=True)
class Checkpoint:
    """A trained network: its record, its weights, and the digest of `checkpoint.json`, which covers both."""

    record: CheckpointRecord
    state: dict[str, torch.Tensor]
    digest: str

    @property
    def reference(self) -> TorchReference:
        """The PyTorch reference of this checkpoint."""
        record, held_out = self.record, self.record.validation
        return TorchReference(
            network=record.network,
            state=self.state,
            labels=record.labels,
            preprocessing=record.preprocessing,
            digest=self.digest,
            training=record.training,
            data=record.source,
            held_out=None if held_out is None else HeldOut(record.options.validation, held_out),
            reserved=record.options.reserve,
        )


def unfinished(out: Path) -> Path:
    """Return the folder of the unfinished training of `out`."""
    return out.parent / f"{out.name}.unfinished"


def write_checkpoint(
    out: Path,
    record: CheckpointRecord,
    state: dict[str, torch.Tensor],
    *,
    resume: dict[str, torch.Tensor] | None = None,
    force: bool = False,
) -> str:
    """Write a checkpoint folder atomically and return its digest.

    This function sets the record's `weights`. `resume` is the state for the next epoch, if any.
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
    """Return tensors for safetensors: on the CPU, contiguous, without shared memory."""
    plain, used = {}, set()
    for name, tensor in tensors.items():
        here = tensor.detach().cpu().contiguous()
        storage = here.untyped_storage().data_ptr()
        plain[name] = here.clone() if storage in used else here  # a module may use a weight twice
        used.add(storage)
    return plain


def read_resume(path: Path) -> dict[str, torch.Tensor]:
    """Read the state to resume from.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    return _tensors(path / RESUME, _read(path, RESUME))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        CheckpointError: the folder is missing, incomplete or corrupt. The message names the file.
    """
    content = _read(path, RECORD)
    try:
        record = schema.parse(CheckpointRecord, content)
    except schema.SchemaError as error:
        raise CheckpointError(f"{path / RECORD} is not a valid checkpoint record: {error}; train it again") from None
    if record.format != FORMAT:
        raise CheckpointError(f"{path / RECORD} has format {record.format}, expected format {FORMAT}: train it again")
    weights = _read(path, WEIGHTS)
    if digest_bytes(weights) != record.weights.sha256:
        raise CheckpointError(f"{path / WEIGHTS} has changed since training (sha256 differs): train it again")
    return Checkpoint(record, _tensors(path / WEIGHTS, weights), digest_bytes(content))


def open_checkpoint(word: str, path: Path) -> TorchReference:
    """Read a checkpoint of a network that the user names; see `named_architecture`.

    Raises:
        UsageError: the name is unknown.
        CheckpointError: the folder is not an intact checkpoint, or is of another network.
        EdgecnnError: the code of a factory fails.
    """
    known = named_architecture(word)
    reference = read_checkpoint(path).reference
    if reference.network.architecture != known.name:
        raise CheckpointError(f"{path} is a {reference.network.architecture} checkpoint, expected {known.name}")
    return reference


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
