"""Package versions, for records."""

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("edgecnn", "numpy", "pillow", "torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "openvino")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that affect results."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
