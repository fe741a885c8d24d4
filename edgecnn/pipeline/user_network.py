"""Networks that the user names: an architecture, or a factory in the user's own code.

A factory is imported only because the command line or a Python call names it, never because a file does.
"""

import copy
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgecnn.bundle.manifest import Network
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.files.digest import digest_file
from edgecnn.pipeline.models.outputs import take_logits
from edgecnn.pipeline.models.registry import Architecture, get_architecture, register
from edgecnn.pipeline.models.words import is_factory, recorded_name
from edgecnn.pipeline.user_code import UserFunction, load_attribute, run_user_code

_CLASSES, _CHANNELS, _SIZES = ("num_classes",), ("in_channels", "in_chans"), ("image_size", "img_size")
_USUAL_SIZE = 224


def named_architecture(word: str) -> Architecture:
    """Return the architecture that the user names, and register it.

    A factory is a function, or a subclass of `torch.nn.Module`, that returns the network. It is called with the
    arguments `num_classes`, `in_channels` or `in_chans`, and `image_size` or `img_size`, if its signature has them.
    The image size is one number for square images, unless the parameter's default is a tuple.

    Args:
        word: the name of an architecture, `torchvision:NAME`, `timm:NAME`, `package.module:factory` or
            `file.py:factory`.

    Raises:
        UsageError: the name is unknown, the file, module or factory does not exist, or the factory needs other
            arguments.
        EdgecnnError: the code fails when it is imported.
    """
    if not is_factory(word):
        return get_architecture(word)
    found = load_attribute(word, option="the network")
    parameters = _parameters(found)
    architecture = Architecture(
        recorded_name(word),
        partial(_build, found, parameters),
        _side(_default(parameters, _SIZES)),
        min_image_size=1,
        in_channels=_default(parameters, _CHANNELS) or 3,
        num_classes=_default(parameters, _CLASSES) or 1000,
        kind="module",
        source_digest=_digest(found),
        source=found.source,
        parameters=frozenset(
            kind
            for kind, names in (("num_classes", _CLASSES), ("in_channels", _CHANNELS))
            if any(name in parameters for name in names)
        ),
    )
    register(architecture)
    return architecture


def module_architecture(module: nn.Module, preprocessing: Preprocessing | None = None) -> Architecture:
    """Return an architecture that builds copies of a module in memory, and register it under the name of its class.

    Args:
        module: takes normalised float32 [N, C, H, W] and returns logits [N, K].
        preprocessing: how images are prepared; None if unknown.

    Raises:
        EdgecnnError: the module cannot be exported, for example because it has lazy layers.
    """
    name, source = type(_unwrapped(module, "the module")).__name__, _source_of(type(module))
    architecture = Architecture(
        name,
        lambda network: _finished(copy.deepcopy(module), name),
        _USUAL_SIZE,
        min_image_size=1,
        kind="module",
        source_digest=None if source is None else digest_file(source),
        source=source,
        stated=None if preprocessing is None else lambda size: preprocessing,
        parameters=frozenset(),
    )
    register(architecture)
    return architecture


def _parameters(found: UserFunction) -> dict[str, inspect.Parameter]:
    """Return the parameters of a factory by name."""
    if isinstance(found.call, nn.Module):
        raise UsageError(f"{found.word} is a network, not a factory: name a function or a class that returns it")
    try:
        parameters = dict(inspect.signature(found.call).parameters)
    except (TypeError, ValueError):  # a function in C
        raise UsageError(f"{found.word} has no signature: name a Python function or class") from None
    known = (*_CLASSES, *_CHANNELS, *_SIZES)
    needed = [
        name
        for name, each in parameters.items()
        if each.default is each.empty
        and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        and (name not in known or each.kind is each.POSITIONAL_ONLY)
    ]
    if needed:
        raise UsageError(
            f"{found.word} needs the argument{'s' if len(needed) > 1 else ''} {', '.join(needed)}: give defaults, or "
            f"write a function without them; edgecnn passes num_classes, in_channels and image_size only"
        )
    return parameters


def _default(parameters: dict[str, inspect.Parameter], names: tuple[str, ...]) -> Any:
    """Return the default of the first of several parameters that is a number or a tuple of numbers, else None."""
    values = [parameters[name].default for name in names if name in parameters]
    kind = tuple if names is _SIZES else int
    return next((each for each in values if type(each) is int or (isinstance(each, kind) and each)), None)


def _side(size: Any) -> int:
    return min(size) if isinstance(size, tuple) else size or _USUAL_SIZE


def _build(found: UserFunction, parameters: dict[str, inspect.Parameter], network: Network) -> nn.Module:
    """Call a factory. The network is built on the CPU, in float32, and moved to PyTorch's current device."""
    arguments: dict[str, Any] = {}
    for names, value in ((_CLASSES, network.num_classes), (_CHANNELS, network.in_channels)):
        arguments |= {name: value for name in names if name in parameters}
    height, width = network.image_size
    for name in _SIZES:
        if name in parameters:
            is_pair = height != width or isinstance(parameters[name].default, tuple)
            arguments[name] = (height, width) if is_pair else height
    with torch.device("cpu"):
        module = run_user_code(partial(found.call, **arguments), network.architecture, found.source)
    return _finished(module, network.architecture)


def _finished(module: Any, name: str) -> nn.Module:
    """Return a user's module on PyTorch's current device in float32. It returns its logits alone."""
    found = _unwrapped(module, name).to("cpu", torch.float32)
    _check_state(found, name)
    return take_logits(found.to(torch.get_default_device()), name)


def _unwrapped(module: Any, name: str) -> nn.Module:
    """Return the network inside `torch.compile` and DataParallel."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel, torch._dynamo.eval_frame.OptimizedModule)
    while isinstance(module, wrappers):
        module = getattr(module, "_orig_mod", None) or module.module
    if isinstance(module, torch.jit.ScriptModule):
        raise EdgecnnError(f"{name} returns a TorchScript module: return the Python module that it comes from")
    if not isinstance(module, nn.Module):
        raise EdgecnnError(f"{name} returns an object of type {type(module).__name__}, expected a torch.nn.Module")
    return module


def _check_state(module: nn.Module, name: str) -> None:
    """Check that the weights of a network exist and are tensors."""
    if any(nn.parameter.is_lazy(each) for each in (*module.parameters(), *module.buffers())):
        raise EdgecnnError(f"{name} has lazy layers without weights: run it once in the factory, or give their sizes")
    others = [key for key, value in module.state_dict().items() if not isinstance(value, torch.Tensor)]
    if others:
        raise EdgecnnError(f"{name} has state that is not a tensor ({others[0]}): remove get_extra_state")


def _digest(found: UserFunction) -> str | None:
    """Return the SHA-256 of the file that defines a factory; None if it has none."""
    path = _source_of(inspect.unwrap(found.call)) or found.source
    return None if path is None else digest_file(path)


def _source_of(defined: Callable[..., Any]) -> Path | None:
    """Return the file that defines a function or a class; None if it has none, as in an interactive session."""
    try:
        source = inspect.getsourcefile(defined)
    except (TypeError, OSError):  # a class of a notebook, or without a file, or an object such as a partial
        return None
    return Path(source) if source is not None and Path(source).is_file() else None
