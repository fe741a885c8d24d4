"""Read a file of PyTorch or safetensors without executing code from it. The content decides, not the name."""

import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from torch._weights_only_unpickler import get_globals_in_pkl

from edgecnn.errors import CheckpointError
from edgecnn.pipeline.importing.kinds import SAVE, describe_other, describe_zip

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The beginning of a file that `torch.save` wrote before PyTorch 1.6: its magic number as a pickle."""

_DEFAULT_DICT = "collections.defaultdict"

_LEGACY_PICKLES = 4  # magic number, version, system, and the object


class StandIn(list[Any]):
    """Replaces an object of another package, such as a NumPy number. Its class is neither imported nor called.

    It is a list because a pickle may append to it.

    Attributes:
        name: the class or function that the file names.
    """

    name = ""

    def __new__(cls, *arguments: Any) -> "StandIn":
        """Ignore the arguments of the class or function."""
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Ignore the object's state."""


def read_weights_file(path: Path) -> tuple[bytes, Any]:
    """Return the bytes of a file, and the object in it: usually a dictionary, maybe with dictionaries in it.

    Raises:
        CheckpointError: the file cannot be read, or is neither of PyTorch nor of safetensors.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    except MemoryError:
        raise CheckpointError(f"cannot read {path}: it does not fit into memory") from None
    return content, _parsed(path, content)


def _parsed(path: Path, content: bytes) -> Any:
    if not content:
        raise CheckpointError(f"{path} is empty: copy or download it again")
    if content[8:9] == b"{" and content[:2] != b"PK":
        return _parse_safetensors(path, content)
    other = describe_zip(content) if content[:4] == b"PK\x03\x04" else describe_other(content)
    if other is not None:
        raise CheckpointError(f"{path} is {other}")
    if content[:2] == b"PK" or content.startswith(_LEGACY):
        return _parse_torch(path, content)
    if content[:1] == b"\x80" and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        if _LEGACY.startswith(content):
            raise CheckpointError(f"{path} is truncated: copy or download it again")
        raise CheckpointError(f"{path} is a pickle that torch.save did not write: load it in Python and {SAVE}")
    raise CheckpointError(f"{path} is neither a file of torch.save nor of safetensors: expected a state dict")


def _parse_safetensors(path: Path, content: bytes) -> Any:
    try:
        return load_safetensors(content)
    except Exception as error:  # damaged content can cause any exception, also in safetensors' table of types
        reason = f"{type(error).__name__}: {_one_line(error)}"
        raise CheckpointError(f"{path} is a damaged safetensors file ({reason}): copy or download it again") from None


def _parse_torch(path: Path, content: bytes) -> Any:
    """Return the object that `torch.save` wrote. Objects that are not of PyTorch become a `StandIn`."""
    try:
        names = _names(content)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_stand_ins(names)):
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported operand" in str(error):
            raise CheckpointError(
                f"{path} has a pickle protocol that cannot be read without executing code: save it again with "
                f"torch.save(..., pickle_protocol=2)"
            ) from None
        raise CheckpointError(
            f"{path} contains objects that need code: it was rejected without executing its code; {SAVE}"
        ) from None
    except Exception as error:  # damaged content can cause any exception
        reason = f"{type(error).__name__}: {_one_line(error)}"
        raise CheckpointError(f"{path} is truncated or damaged ({reason}): copy or download it again") from None


def _names(content: bytes) -> set[str]:
    """Return the classes and functions that the file's pickles name. PyTorch's own may be among them."""
    stream = io.BytesIO(content)
    if content[:2] == b"PK":
        return set(torch.serialization.get_unsafe_globals_in_checkpoint(stream))
    return set().union(*(get_globals_in_pkl(stream) for _ in range(_LEGACY_PICKLES)))


def _stand_ins(names: set[str]) -> list[Any]:
    """Return what `torch.load` takes for each name. It takes its own classes and functions first."""
    others: list[Any] = [(type("StandIn", (StandIn,), {"name": name}), name) for name in names - {_DEFAULT_DICT}]
    return [*others, (_empty_dictionary, _DEFAULT_DICT)]


def _empty_dictionary(*arguments: Any) -> dict[Any, Any]:
    return {}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:150]
