"""The stem of a mobile network: its first convolution, and the depthwise convolution after it.

These layers stay in float. They multiply few numbers for each value, so INT8 gains no speed, and their maps are the
largest. Their rounding errors reach every later layer: in MobileNetV3-small they are half of the error of all
activations, in PP-LCNet nine tenths (`benchmarks/results/quantization.md`).
"""

import math
from collections.abc import Iterator, Mapping

import onnx

from edgecnn.pipeline.canonical.nodes import attribute, is_layer, module_of, readers_of

REASON = "stem: too few products for a speed gain in INT8, and its rounding errors reach every layer"

_FEW = 64
"""Products for each output value: a 3 × 3 convolution of an RGB image has 27, a depthwise 7 × 7 convolution 49."""


def stem_layers(graph: onnx.GraphProto) -> dict[str, str]:
    """Return the layers of the stem, module to reason; empty if no depthwise convolution follows the first layer."""
    constants = {initializer.name: initializer for initializer in graph.initializer}
    readers = readers_of(graph)
    exact = {graph.input[0].name, *constants}  # tensors that only stem layers have changed
    stem: dict[str, str] = {}
    for node in graph.node:
        if not exact.issuperset(filter(None, node.input)):
            continue
        if is_layer(node, constants):
            depthwise = _is_depthwise(node, constants)
            few = math.prod(constants[node.input[1]].dims[1:]) <= _FEW
            if not few or not (
                depthwise or any(_is_depthwise(each, constants) for each in _following(node, readers, constants))
            ):
                continue
            stem[module_of(node)] = REASON
            if depthwise:  # the end of the stem
                continue
        exact.update(node.output)
    return stem


def _is_depthwise(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    return bool(attribute(node, "group", 1) == constants[node.input[1]].dims[0] > 1)


def _following(
    node: onnx.NodeProto, readers: Mapping[str, list[onnx.NodeProto]], constants: Mapping[str, onnx.TensorProto]
) -> Iterator[onnx.NodeProto]:
    """Yield the layers that read a node's output, directly or after other operators."""
    waiting, seen = list(node.output), set(node.output)
    while waiting:
        for reader in readers.get(waiting.pop(), []):
            if is_layer(reader, constants):
                yield reader
                continue
            waiting += [name for name in reader.output if name not in seen]
            seen.update(reader.output)
