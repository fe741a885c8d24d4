"""The options of ONNX files from elsewhere, which `import` and `verify` share."""

from collections.abc import Callable
from typing import Any, get_args

import click

from edgecnn.cli.options import Command
from edgecnn.cli.weights import beginning
from edgecnn.pipeline.importing.onnx_file.choices import ChannelOrder, Layout


def onnx_options(*, prefix: str) -> Callable[[Command], Command]:
    """Return a decorator that adds the options of ONNX files. All of them are None if they are not given.

    Args:
        prefix: beginning of each help text; may be empty.
    """
    texts = {
        "--channel-order": "order of the network's channels, and of --mean and --std. OpenCV's is bgr. [default: rgb]",
        "--layout": "order of the dimensions of the input. [default: where 1, 3 or 4 channels are]",
        "--output": "the output with the classes, if the graph has several.",
        "--widen": "convert float16, bfloat16 and float64 to float32; the reference is then the converted graph.",
    }
    arguments: dict[str, dict[str, Any]] = {
        "--channel-order": {"type": click.Choice(get_args(ChannelOrder))},
        "--layout": {"type": click.Choice(get_args(Layout))},
        "--output": {"metavar": "NAME"},
        "--widen": {"is_flag": True},
    }

    def add(command: Command) -> Command:
        for name, text in reversed(texts.items()):
            command = click.option(name, default=None, help=beginning(prefix, text), **arguments[name])(command)
        return command

    return add
