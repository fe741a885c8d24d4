"""Check and convert the tensors of a state dict: dense, real, finite, in float32."""

import hashlib
from pathlib import Path

import torch

from edgecnn.errors import CheckpointError
from edgecnn.hints import shown

_LARGEST_VIEW = 1 << 30
"""Largest size of a tensor that repeats values, in bytes: a small file must not fill the memory."""


def check_kinds(path: Path | str, state: dict[str, torch.Tensor]) -> None:
    """Check that tensors are dense, hold values, and are real numbers.

    Raises:
        CheckpointError: a tensor is not. The message names it.
    """
    for name, tensor in state.items():
        kind = _unusable(tensor)
        if kind is not None:
            raise CheckpointError(f"{path}: {shown(name)} is {kind}, expected a dense tensor of floating-point numbers")


def _unusable(tensor: torch.Tensor) -> str | None:
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.is_quantized:
        return f"quantized ({tensor.dtype})"
    if tensor.layout != torch.strided:
        return "sparse"
    if tensor.is_meta:
        return "without values (it was saved on the device meta)"
    size = tensor.numel() * tensor.element_size()
    if size > max(_LARGEST_VIEW, tensor.untyped_storage().nbytes()):
        return f"a view of {size >> 30:,} GiB that repeats the values of a smaller tensor"
    return "complex" if tensor.is_complex() else None


def digest_state(state: dict[str, torch.Tensor]) -> str:
    """Return the SHA-256 of a state dict: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def convert(
    path: Path | str, state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Convert tensors to the types of a network. Return them, and a note if values were rounded.

    Args:
        path: the file or factory, for messages.
        state: tensors with the keys and shapes of `expected`, or fewer.
        expected: the network's own tensors.

    Raises:
        CheckpointError: a weight is not of a floating-point type, or has values that are not finite. The message names
            it.
    """
    converted, rounded = {}, []
    for name, tensor in state.items():
        wanted = expected[name].dtype
        if wanted.is_floating_point and not tensor.is_floating_point():
            raise CheckpointError(f"{path}: {name} has the type {tensor.dtype}, expected floating-point numbers")
        converted[name] = tensor.detach().to(wanted)
        if tensor.dtype == torch.float64 and not torch.equal(converted[name].double(), tensor.detach()):
            rounded.append(name)
    _check_finite(path, converted)
    return converted, [f"rounded {len(rounded)} tensors from float64 to float32"] if rounded else []


def _check_finite(path: Path | str, state: dict[str, torch.Tensor]) -> None:
    wrong = {name: tensor for name, tensor in state.items() if not tensor.isfinite().all()}
    if wrong:
        name, tensor = next(iter(wrong.items()))
        nan, infinite = int(tensor.isnan().sum()), int(tensor.isinf().sum())
        others = f", and {len(wrong) - 1} more tensors have such values" if len(wrong) > 1 else ""
        raise CheckpointError(
            f"{path}: {name} has {nan} NaN and {infinite} infinite values of {tensor.numel():,}{others}: the training "
            f"diverged or the file is damaged; pass an earlier checkpoint"
        )
