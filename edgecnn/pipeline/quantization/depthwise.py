"""The layers of mobile networks that stay in float, because INT8 costs accuracy there and gains no speed.

The stem is the first convolution, and the depthwise convolution after it. It multiplies few numbers for each value, and
its rounding errors reach every later layer: they are the largest part of the error of MobileNetV2, MobileNetV3 and
PP-LCNet in INT8.

A depthwise convolution between HardSwish or SiLU would be the only integer operator between float operators. Four
conversions for nine or 25 products take as long as INT8 saves.
"""

import math
from collections.abc import Iterator, Mapping

import onnx

from edgecnn.pipeline.canonical.nodes import attribute, is_layer, is_silu, makers_of, module_of, readers_of

STEM = "stem: too few products for a speed gain in INT8, and its rounding errors reach every layer"
BETWEEN = "depthwise convolution between float activations: conversions take as long as INT8 saves"

_FEW = 64
"""Products for each output value: a 3 × 3 convolution of an RGB image has 27, a depthwise 7 × 7 convolution 49."""


def float_layers(graph: onnx.GraphProto) -> dict[str, str]:
    """Return the layers of a mobile network that stay in float, module to reason."""
    constants = {initializer.name: initializer for initializer in graph.initializer}
    readers = readers_of(graph)
    return {**_between_activations(graph, constants, readers), **_stem(graph, constants, readers)}


def _between_activations(
    graph: onnx.GraphProto, constants: Mapping[str, onnx.TensorProto], readers: Mapping[str, list[onnx.NodeProto]]
) -> dict[str, str]:
    makers = makers_of(graph)

    def is_activation(node: onnx.NodeProto | None) -> bool:
        return node is not None and (node.op_type == "HardSwish" or is_silu(node, makers))

    return {
        module_of(node): BETWEEN
        for node in graph.node
        if is_layer(node, constants)
        and _is_depthwise(node, constants)
        and is_activation(makers.get(node.input[0]))
        and any(map(is_activation, readers.get(node.output[0], [])))
    }


def _stem(
    graph: onnx.GraphProto, constants: Mapping[str, onnx.TensorProto], readers: Mapping[str, list[onnx.NodeProto]]
) -> dict[str, str]:
    """Return the layers of the stem; none if no depthwise convolution follows the first layer."""
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
            stem[module_of(node)] = STEM
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
