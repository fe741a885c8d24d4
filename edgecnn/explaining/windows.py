"""Sliding windows of convolutions and pooling, and the receptive fields that follow from them.

Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill, 2019.
"""

from collections.abc import Sequence

from edgecnn.explaining.explanation import ReceptiveField, Window
from edgecnn.explaining.graph import Node

ONE_PIXEL = ReceptiveField((1, 1), (1, 1), (0, 0))
"""The receptive field of a unit of the model's input."""

_NO_PADDING = ("", "NOTSET", "VALID")


def window_of(node: Node, weights: Sequence[int] = ()) -> Window | None:
    """Return the window of a 2-D convolution or pooling.

    None if it has another number of axes, or a padding that depends on the size of the input (`auto_pad`).

    Args:
        node: its node.
        weights: shape of a convolution's weights.
    """
    kernel = node.numbers("kernel_shape") or tuple(weights[2:])
    stride, dilation = node.numbers("strides") or (1, 1), node.numbers("dilations") or (1, 1)
    padding = node.numbers("pads") or (0, 0, 0, 0)
    is_plain = (len(kernel), len(stride), len(dilation), len(padding)) == (2, 2, 2, 4)
    if not is_plain or min(*kernel, *stride, *dilation) < 1 or node.attributes.get("auto_pad", "") not in _NO_PADDING:
        return None
    return Window(
        kernel=(kernel[0], kernel[1]),
        stride=(stride[0], stride[1]),
        padding=(padding[0], padding[1], padding[2], padding[3]),
        dilation=(dilation[0], dilation[1]),
        groups=node.number("group", 1),
    )


def described(operator: str, window: Window) -> str:
    """Return an operator and its window as text: `Conv 3×3, stride 2, 32 groups`."""
    parts = [f"{operator} {window.kernel[0]}×{window.kernel[1]}"]
    parts += [f"stride {_pair(window.stride)}"] if window.stride != (1, 1) else []
    parts += [f"dilation {_pair(window.dilation)}"] if window.dilation != (1, 1) else []
    parts += [f"{window.groups} groups"] if window.groups != 1 else []
    return ", ".join(parts)


def behind(window: Window, field: ReceptiveField) -> ReceptiveField:
    """Return the receptive field of a unit behind a sliding window whose input has the receptive field `field`."""
    rows, columns = (
        (
            field.size[axis] + (window.kernel[axis] - 1) * window.dilation[axis] * field.jump[axis],
            field.jump[axis] * window.stride[axis],
            field.start[axis] - window.padding[axis] * field.jump[axis],
        )
        for axis in (0, 1)
    )
    size, jump, start = zip(rows, columns, strict=True)
    return ReceptiveField(size, jump, start)


def widest(fields: Sequence[ReceptiveField | None]) -> ReceptiveField | None:
    """Return the smallest receptive field that contains the fields of all branches; None if one is unknown.

    None too if neighbouring units of two branches are not equally far apart, as behind an enlarged map.
    """
    known = [each for each in fields if each is not None]
    if not known or len(known) < len(fields) or any(each.jump != known[0].jump for each in known):
        return None
    rows, columns = (
        (
            start := min(each.start[axis] for each in known),
            max(each.start[axis] + each.size[axis] for each in known) - start,
        )
        for axis in (0, 1)
    )
    return ReceptiveField((rows[1], columns[1]), known[0].jump, (rows[0], columns[0]))


def _pair(numbers: tuple[int, int]) -> str:
    return str(numbers[0]) if numbers[0] == numbers[1] else f"{numbers[0]}×{numbers[1]}"
