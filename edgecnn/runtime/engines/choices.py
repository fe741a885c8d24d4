"""Valid names for `--engine` and `--device`. Imports neither engines nor NumPy: the supervisor uses it."""

import re

from edgecnn.errors import UsageError
from edgecnn.hints import did_you_mean

ENGINES = ("onnxruntime", "openvino")
"""Engines, in the order in which `auto` tries them."""

PYTORCH = "pytorch"
"""Engine name of the reference in PyTorch, for comparisons."""

DEVICES = ("cpu", "cuda", "tensorrt", "gpu", "npu", "auto")
"""Kinds of device. A number can follow, as in `cuda:1`."""

_DEVICE = re.compile(rf"({'|'.join(DEVICES)})|(cuda|tensorrt|gpu):\d{{1,3}}")


def check_engine(name: str, *, names: tuple[str, ...] = ("auto", *ENGINES)) -> None:
    """Check that a name is an engine or `auto`, or one of other `names`.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in names:
        hint = did_you_mean(name, names, others={"ort": "onnxruntime"})
        raise UsageError(f"unknown engine {name!r}{hint}: choose {', '.join(names[:-1])} or {names[-1]}")


def check_device(name: str) -> None:
    """Check that a name is a valid device name.

    Raises:
        UsageError: the name is unknown.
    """
    if not _DEVICE.fullmatch(name):
        hint = did_you_mean(name, DEVICES)
        raise UsageError(f"unknown device {name!r}{hint}: choose {', '.join(DEVICES)}, or cuda:1 for the second one")
