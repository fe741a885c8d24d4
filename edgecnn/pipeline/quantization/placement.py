"""Where Q/DQ pairs stand: which tensors of a graph are quantized, and which of those share their numbers.

An engine fuses an operator into an INT8 kernel where all its inputs come out of a DequantizeLinear and its output
goes into a QuantizeLinear. A ReLU behind a convolution belongs to it, so nothing stands between the two. An operator
that only moves or selects values (pooling by maximum, reshaping) keeps its input's scale. The logits stay in float:
quantizing them costs agreement and gains nothing.
"""

from dataclasses import dataclass

import onnx

_WEIGHTED = frozenset({"Conv", "Gemm"})
_KEEPS_SCALE = frozenset({"MaxPool", "Reshape", "Flatten"})
_COMPUTES = frozenset({"Add", "AveragePool", "Concat", "GlobalAveragePool"})
_FUSED_ACTIVATION = "Relu"


@dataclass(frozen=True)
class Placement:
    """The quantized tensors of a graph.

    Attributes:
        activations: tensor to the tensor whose range it uses: itself, or one that it shares its scale with.
        weights: initializers of convolutions and linear layers; the output channel is axis 0 of each.
        biases: bias initializer to the activation and the weight whose scales it is the product of.
        float_tensors: what stays in float32, and why.
    """

    activations: dict[str, str]
    weights: tuple[str, ...]
    biases: dict[str, tuple[str, str]]
    float_tensors: dict[str, str]


def place(graph: onnx.GraphProto) -> Placement:
    """Decide where Q/DQ pairs stand."""
    constants = {initializer.name for initializer in graph.initializer}
    outputs = {output.name for output in graph.output}
    relu_of = _fused_activations(graph, outputs)
    activations: dict[str, str] = {}
    weights: list[str] = []
    biases: dict[str, tuple[str, str]] = {}
    for node in graph.node:
        keeps = node.op_type in _KEEPS_SCALE
        if node.op_type in _WEIGHTED:
            weights.append(node.input[1])
            if len(node.input) > 2 and node.input[2]:
                biases[node.input[2]] = (node.input[0], node.input[1])
        elif node.op_type not in _COMPUTES and not (keeps and node.input[0] in activations):
            continue
        inputs = node.input[:1] if node.op_type in _WEIGHTED or keeps else node.input
        for name in inputs:
            if name not in constants:
                activations.setdefault(name, name)
        output = relu_of.get(node.output[0], node.output[0])
        if output not in outputs:
            activations[output] = activations[node.input[0]] if keeps else output
    reasons = dict.fromkeys(sorted(outputs), "logits: quantizing them changes answers and makes nothing faster")
    return Placement(activations, tuple(weights), biases, reasons)


def _fused_activations(graph: onnx.GraphProto, outputs: set[str]) -> dict[str, str]:
    """Map an operator's output to that of the ReLU which alone reads it."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return {
        name: nodes[0].output[0]
        for name, nodes in readers.items()
        if len(nodes) == 1 and nodes[0].op_type == _FUSED_ACTIVATION and name not in outputs
    }
