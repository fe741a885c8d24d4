"""Write out the windows of convolutions and poolings: `kernel_shape`, and `pads` instead of `auto_pad`."""

import math

import onnx

from edgecnn.errors import UnsupportedOperator
from edgecnn.pipeline.canonical.editing import GraphEditor, set_attribute
from edgecnn.pipeline.canonical.nodes import attribute

_WINDOWED = frozenset({"Conv", "MaxPool", "AveragePool", "LpPool"})


def write_out_windows(editor: GraphEditor) -> None:
    """Add `kernel_shape` and `pads` to each convolution and pooling.

    Raises:
        UnsupportedOperator: the padding depends on the size of the image, which is not fixed.
    """
    for node in editor.graph.node:
        if node.op_type not in _WINDOWED:
            continue
        if node.op_type == "Conv" and attribute(node, "kernel_shape", None) is None:
            weights = editor.shape(node.input[1])
            if weights is None or None in weights:
                continue  # computed weights: stays in float
            set_attribute(node, "kernel_shape", list(weights[2:]))
        if attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
            set_attribute(node, "pads", _pads(editor, node))
            set_attribute(node, "auto_pad", None)


def _pads(editor: GraphEditor, node: onnx.NodeProto) -> list[int]:
    """Return the padding that `auto_pad` means, as in the specification of Conv: all starts, then all ends."""
    mode, kernel = attribute(node, "auto_pad", b"NOTSET"), attribute(node, "kernel_shape", [])
    if mode == b"VALID":
        return [0] * 2 * len(kernel)
    sizes = (editor.shape(node.input[0]) or ())[2:]
    strides, dilations = (attribute(node, name, [1] * len(kernel)) for name in ("strides", "dilations"))
    starts, ends = [], []
    if len(sizes) != len(kernel):
        raise _unknown_size(node)
    for size, window, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        if size is None:
            raise _unknown_size(node)
        span = (window - 1) * dilation + 1
        total = max(0, (math.ceil(size / stride) - 1) * stride + span - size)
        small, large = total // 2, total - total // 2
        starts.append(small if mode == b"SAME_UPPER" else large)
        ends.append(large if mode == b"SAME_UPPER" else small)
    return starts + ends


def _unknown_size(node: onnx.NodeProto) -> UnsupportedOperator:
    return UnsupportedOperator(
        f"{node.name} ({node.op_type}) has a padding that depends on the image size, which is not fixed: "
        f"export the network with a fixed image size"
    )
