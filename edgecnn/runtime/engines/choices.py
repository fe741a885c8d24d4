"""Valid names for `--engine` and `--device`. Imports neither engines nor NumPy: the supervisor uses it."""

import re

from edgecnn.errors import UsageError

ENGINES = ("onnxruntime", "openvino")
"""Engines, in the order in which `auto` tries them."""

DEVICES = ("cpu", "cuda", "tensorrt", "gpu", "npu", "auto")
"""Kinds of device. A number can follow, as in `cuda:1`."""

_DEVICE = re.compile(rf"({'|'.join(DEVICES)})|(cuda|tensorrt|gpu):\d{{1,3}}")


def check_engine(name: str) -> None:
    """Check that a name is an engine or `auto`.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in (*ENGINES, "auto"):
        raise UsageError(f"unknown engine {name!r}: choose auto, {' or '.join(ENGINES)}")


def check_device(name: str) -> None:
    """Check that a name is a valid device name.

    Raises:
        UsageError: the name is unknown.
    """
    if not _DEVICE.fullmatch(name):
        raise UsageError(f"unknown device {name!r}: choose {', '.join(DEVICES)}, or cuda:1 for the second one")
