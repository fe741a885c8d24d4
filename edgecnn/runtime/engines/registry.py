"""Finds installed engines and imports them.

Only `auto` chooses an engine. An engine or device that was named is used, or an error is raised.
"""

import importlib
import importlib.util

from edgecnn.errors import EngineMissing
from edgecnn.hints import install_command
from edgecnn.runtime.engines.choices import ENGINES, check_device, check_engine
from edgecnn.runtime.engines.engine import Engine, device_kind

_ENGINES = {
    "onnxruntime": ("edgecnn.runtime.engines.onnxruntime", "OnnxRuntimeEngine"),
    "openvino": ("edgecnn.runtime.engines.openvino", "OpenVinoEngine"),
}

_OWNERS = {"cuda": "onnxruntime", "tensorrt": "onnxruntime", "gpu": "openvino", "npu": "openvino", "auto": "openvino"}
"""Kinds of device that only one engine supports."""


def installed() -> tuple[str, ...]:
    """Return the names of the engines whose package is installed."""
    specs = {name: importlib.util.find_spec(name) for name in ENGINES}
    # An uninstalled package can leave a folder, which is found as a namespace package without an origin.
    return tuple(name for name, spec in specs.items() if spec is not None and spec.origin is not None)


def none_installed() -> str:
    """Return the message for a machine without an engine."""
    return f"no engine is installed: {' or '.join(map(install_command, ENGINES))}"


def get_engine(name: str) -> Engine:
    """Import an engine and return it.

    Raises:
        UsageError: the name is unknown.
        EngineMissing: the engine's package is not installed, or broken.
    """
    check_engine(name)
    if name not in installed():
        raise EngineMissing(f"the engine {name} is not installed: {install_command(name)}")
    module, cls = _ENGINES[name]
    try:
        engine: Engine = getattr(importlib.import_module(module), cls)()
    except ImportError as error:  # for example, a system library is missing or too old
        raise EngineMissing(f"the engine {name} is installed but cannot be imported: {error}") from None
    return engine


def choose_engine(name: str, device: str) -> Engine:
    """Return the named engine, or for `auto` an installed one that supports the device.

    Raises:
        UsageError: the name of the engine or device is unknown.
        EngineMissing: the engine is not installed, or none is.
    """
    check_device(device)
    if name != "auto":
        return get_engine(name)
    if device_kind(device) in _OWNERS:
        return get_engine(_OWNERS[device_kind(device)])
    names = installed()
    if not names:
        raise EngineMissing(none_installed())
    return get_engine(names[0])
