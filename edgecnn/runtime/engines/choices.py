"""The names that `--backend` and `--device` take. It imports no engine and no NumPy: a supervisor reads it too."""

import re

from edgecnn.errors import UsageError

BACKENDS = ("onnxruntime", "openvino")
"""In the order in which `auto` tries them."""

DEVICES = ("cpu", "cuda", "tensorrt", "gpu", "npu", "auto")
"""Kinds of device; a number may follow, as in `cuda:1`."""

_DEVICE = re.compile(rf"({'|'.join(DEVICES)})|(cuda|tensorrt|gpu):\d{{1,3}}")


def check_backend(name: str) -> None:
    """Check that the name is an engine's, or `auto`.

    Raises:
        UsageError: there is no such engine.
    """
    if name not in (*BACKENDS, "auto"):
        raise UsageError(f"there is no backend {name!r}: choose auto, {' or '.join(BACKENDS)}")


def check_device(name: str) -> None:
    """Check the name of a device.

    Raises:
        UsageError: there is no such kind of device.
    """
    if not _DEVICE.fullmatch(name):
        raise UsageError(f"there is no device {name!r}: choose {', '.join(DEVICES)}, or cuda:1 for the second one")
