"""The outputs of a PyTorch module: find the logits, and check them on an image of zeros."""

import contextlib
import sys
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from edgecnn.bundle.manifest import Network
from edgecnn.errors import EdgecnnError, UsageError

_BATCH = 2
_ACTIVATIONS = ("softmax", "sigmoid")
_OF_SHAPES = (
    "flatten",
    "reshape",
    "view",
    "squeeze",
    "unsqueeze",
    "contiguous",
    "__getitem__",
    "float",
    "to",
    "dropout",
)
"""Functions that change no value in evaluation."""


def take_logits(module: nn.Module, name: str) -> nn.Module:
    """Make a module return its logits alone, and return the module.

    Of an output with an attribute or key `logits`, as Hugging Face's models have it, the logits are taken. Of a list
    or dictionary with one tensor, this tensor is taken. Other outputs raise an `EdgecnnError` when the module runs.
    """

    def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> torch.Tensor:
        return _logits(output, name)

    module.register_forward_hook(hook)
    return module


def two_logits(module: nn.Module, arguments: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
    """Return (0, z) for the one output z of a network: their softmax is (1 - sigmoid(z), sigmoid(z))."""
    return torch.cat((torch.zeros_like(output), output), dim=1)


def count_outputs(module: nn.Module, network: Network) -> int:
    """Return the number of logits of a module, which runs on zeros.

    Raises:
        EdgecnnError: its output is not [N, K], or is not logits.
        Exception: the module's own error.
    """
    device = next((each.device for each in (*module.parameters(), *module.buffers())), torch.device("cpu"))
    image = torch.zeros((_BATCH, network.in_channels, *network.image_size), device=device)
    last = _LastFunction()
    with torch.inference_mode(), contextlib.redirect_stdout(sys.stderr), last:  # stdout is for results
        logits = module.eval()(image)
    if last.name in _ACTIVATIONS:
        raise EdgecnnError(
            f"{network.architecture} ends with a {last.name}: return the values before it, because edgecnn computes "
            f"scores from logits; --scores says how"
        )
    shape = list(logits.shape)
    if logits.ndim != 2 or shape[0] != _BATCH:
        advice = "flatten it in forward" if logits.ndim > 2 else "return one row for each image"
        raise EdgecnnError(
            f"{network.architecture} returns a tensor of shape {shape} for {_BATCH} images, expected logits "
            f"[{_BATCH}, K]: {advice}"
        )
    if logits.dtype != torch.float32:
        raise EdgecnnError(f"{network.architecture} returns {logits.dtype}, expected logits of torch.float32")
    return int(shape[1])


class _LastFunction(TorchFunctionMode):
    """Records the name of the last function of PyTorch that computed values."""

    name = ""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a function, and record its name."""
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if isinstance(result, torch.Tensor) and name not in _OF_SHAPES:
            self.name = name
        return result


def input_channels(module: nn.Module, usual: int) -> int:
    """Return the number of input channels: that of the first convolution, or `usual` without one."""
    first = next((each for each in module.modules() if isinstance(each, nn.Conv2d)), None)
    return usual if first is None else first.in_channels


def with_channels(module: nn.Module, channels: int) -> nn.Module:
    """Replace the first convolution of a module if it takes another number of channels, and return the module.

    Raises:
        UsageError: the module has no convolution, or its first one has groups.
    """
    found = next(((name, each) for name, each in module.named_modules() if isinstance(each, nn.Conv2d)), None)
    if found is not None and found[1].in_channels == channels:
        return module
    if found is None or found[1].groups != 1:
        raise UsageError(f"the first layer of {type(module).__name__} takes three channels only, found {channels}")
    name, first = found
    replacement = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]  # torch types sizes as tuples of any length
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    nn.init.kaiming_normal_(replacement.weight, mode="fan_out")
    module.set_submodule(name, replacement)
    return module


def _logits(output: Any, name: str) -> torch.Tensor:
    if isinstance(output, torch.Tensor):
        return output
    found = getattr(output, "logits", None)
    if isinstance(output, dict):
        found = output.get("logits", next(iter(output.values())) if len(output) == 1 else found)
    elif isinstance(output, tuple | list) and len(output) == 1:
        found = output[0]
    if isinstance(found, torch.Tensor):
        return found
    several = f" of {len(output)} elements" if isinstance(output, tuple | list | dict) else ""
    raise EdgecnnError(
        f"{name} returns a {type(output).__name__}{several}, expected logits [N, K]: return the logits alone, or a "
        f"dictionary with the key 'logits'"
    )
