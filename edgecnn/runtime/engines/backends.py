"""Finds installed engines and imports them.

Only `auto` chooses an engine. An engine or device that was named is used, or an error is raised.
"""

import importlib
import importlib.util

from edgecnn.errors import EngineMissing
from edgecnn.runtime.engines.backend import Backend, device_kind
from edgecnn.runtime.engines.choices import BACKENDS, check_backend, check_device

_BACKENDS = {
    "onnxruntime": ("edgecnn.runtime.engines.onnxruntime", "OnnxRuntimeBackend"),
    "openvino": ("edgecnn.runtime.engines.openvino", "OpenVinoBackend"),
}

_OWNERS = {"cuda": "onnxruntime", "tensorrt": "onnxruntime", "gpu": "openvino", "npu": "openvino", "auto": "openvino"}
"""Kinds of device that only one engine supports."""

NONE_INSTALLED = "no engine is installed: pip install 'edgecnn[onnxruntime]' or 'edgecnn[openvino]'"


def installed() -> tuple[str, ...]:
    """Return the names of the engines whose package is installed."""
    specs = {name: importlib.util.find_spec(name) for name in BACKENDS}
    # An uninstalled package can leave a folder, which is found as a namespace package without an origin.
    return tuple(name for name, spec in specs.items() if spec is not None and spec.origin is not None)


def get_backend(name: str) -> Backend:
    """Import an engine and return its backend.

    Raises:
        UsageError: the name is unknown.
        EngineMissing: the engine's package is not installed, or broken.
    """
    check_backend(name)
    if name not in installed():
        raise EngineMissing(f"the engine {name} is not installed: pip install 'edgecnn[{name}]'")
    module, cls = _BACKENDS[name]
    try:
        backend: Backend = getattr(importlib.import_module(module), cls)()
    except ImportError as error:  # for example, a system library is missing or too old
        raise EngineMissing(f"the engine {name} is installed but cannot be imported: {error}") from None
    return backend


def choose_backend(name: str, device: str) -> Backend:
    """Return the named backend, or for `auto` an installed one that supports the device.

    Raises:
        UsageError: the name of the engine or device is unknown.
        EngineMissing: the engine is not installed, or none is.
    """
    check_device(device)
    if name != "auto":
        return get_backend(name)
    if device_kind(device) in _OWNERS:
        return get_backend(_OWNERS[device_kind(device)])
    names = installed()
    if not names:
        raise EngineMissing(NONE_INSTALLED)
    return get_backend(names[0])
