"""Which versions made something, for its record."""

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("edgecnn", "numpy", "pillow", "torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "openvino")


def versions() -> dict[str, str]:
    """Return the version of Python and of each package that is installed here and matters to the numbers."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
