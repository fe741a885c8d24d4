"""Apply a `QuantizationPlan`: rewrite an FP32 graph to an INT8 graph in QDQ form, which every engine supports.

An activation gets a QuantizeLinear and a DequantizeLinear after the operator that produces it. Weights and biases
become integer initializers with a DequantizeLinear. A linear layer with weights in 4 bits becomes ONNX Runtime's
operator MatMulNBits and an Add. Nodes keep the names of the PyTorch modules.
"""

import copy
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgecnn.bundle.four_bits import BLOCK, DOMAIN, OPERATOR, pack, pack_zero_points
from edgecnn.pipeline.canonical.nodes import module_of
from edgecnn.pipeline.quantization.block_weights import BlockWeights
from edgecnn.pipeline.quantization.placement import Placement
from edgecnn.pipeline.quantization.plan import ActivationQuantization, QuantizationPlan

_INT32_LIMIT = 2**31 - 1
_BITS = 4
_INTEGER_SUMS = 4
"""accuracy_level: the kernel rounds its input to int8, one scale per block, and multiplies integers."""


def rewrite(model: onnx.ModelProto, placement: Placement, plan: QuantizationPlan) -> onnx.ModelProto:
    """Return the INT8 graph. `model` is not modified."""
    result = copy.deepcopy(model)
    rewriter = _Rewriter(result.graph)
    for name, activation in plan.activations.items():
        rewriter.quantize_activation(name, activation)
    for name, weight in plan.weights.items():
        rewriter.replace_constant(name, weight.integers, weight.scales)
    for name, (activation_name, weight_name) in placement.biases.items():
        if activation_name in plan.activations and weight_name in plan.weights:
            # The accumulator's scale, so that the integer kernel can add the bias directly.
            scales = plan.activations[activation_name].scale * plan.weights[weight_name].scales
            bias = plan.biases[name].astype(np.float64) if name in plan.biases else rewriter.constant(name)
            integers = np.clip(np.rint(bias / scales), -_INT32_LIMIT, _INT32_LIMIT).astype(np.int32)
            rewriter.replace_constant(name, integers, scales.astype(np.float32))
    for name, packed in plan.four_bits.items():
        rewriter.pack_linear(name, packed, plan.biases)
    if plan.four_bits:
        result.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    rewriter.finish(placement)
    onnx.checker.check_model(result, full_check=True)
    return result


class _Rewriter:
    """Inserts Q/DQ pairs into a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {initializer.name: initializer for initializer in graph.initializer}
        self._replaced: dict[str, str] = {}  # tensor to its dequantized form, for its readers
        self._behind: dict[str, list[onnx.NodeProto]] = {}  # tensor to the nodes to insert after its producer
        self._first: list[onnx.NodeProto] = []  # nodes that read constants only
        self._custom: list[onnx.ValueInfoProto] = []  # outputs of custom operators, whose shape is not inferred

    def constant(self, name: str) -> np.ndarray:
        """Return an initializer's values, float64."""
        return numpy_helper.to_array(self._constants[name]).astype(np.float64)

    def quantize_activation(self, name: str, quantization: ActivationQuantization) -> None:
        """Add a Q/DQ pair after a tensor."""
        numbers = [
            self._add(f"{name}/scale", np.float32(quantization.scale)),
            self._add(f"{name}/zero_point", quantization.dtype(quantization.zero_point)),
        ]
        quantized, dequantized = f"{name}/quantized", f"{name}/dequantized"
        self._behind[name] = [
            helper.make_node("QuantizeLinear", [name, *numbers], [quantized], f"{name}/QuantizeLinear"),
            helper.make_node("DequantizeLinear", [quantized, *numbers], [dequantized], f"{name}/DequantizeLinear"),
        ]
        self._replaced[name] = dequantized

    def replace_constant(self, name: str, integers: np.ndarray, scales: np.ndarray) -> None:
        """Replace an initializer by integers and a DequantizeLinear, with one scale per index of axis 0."""
        self._graph.initializer.remove(self._constants[name])
        inputs = [
            self._add(f"{name}/quantized", integers),
            self._add(f"{name}/scale", scales),
            self._add(f"{name}/zero_point", np.zeros(scales.shape, integers.dtype)),
        ]
        dequantized = f"{name}/dequantized"
        self._first.append(
            helper.make_node("DequantizeLinear", inputs, [dequantized], f"{name}/DequantizeLinear", axis=0)
        )
        self._replaced[name] = dequantized

    def pack_linear(self, name: str, weights: BlockWeights, biases: Mapping[str, np.ndarray]) -> None:
        """Replace the linear layer with these weights by a product with weights in 4 bits, and a sum with its bias."""
        node = next(each for each in self._graph.node if each.op_type == "Gemm" and each.input[1] == name)
        data, output, bias = node.input[0], node.output[0], "".join(node.input[2:])
        self._graph.initializer.remove(self._constants[name])
        inputs = [
            data,
            self._add(f"{name}/quantized", pack(weights.integers)),
            self._add(f"{name}/scale", weights.scales.reshape(-1)),
            self._add(f"{name}/zero_point", pack_zero_points(weights.zero_points)),
        ]
        outputs, columns = weights.integers.shape
        product = f"{output}/product" if bias else output
        attributes = {"N": outputs, "K": columns, "bits": _BITS, "block_size": BLOCK, "accuracy_level": _INTEGER_SUMS}
        packed_name = f"{module_of(node)}/{OPERATOR}"
        node.CopyFrom(helper.make_node(OPERATOR, inputs, [product], packed_name, domain=DOMAIN, **attributes))
        self._custom.append(helper.make_tensor_value_info(product, onnx.TensorProto.FLOAT, [None, outputs]))
        if bias:
            added = helper.make_node("Add", [product, bias], [output], f"{module_of(node)}/Add")
            self._behind[product] = [added, *self._behind.pop(output, [])]
        if bias in biases:
            self._constants[bias].CopyFrom(numpy_helper.from_array(biases[bias], bias))

    def finish(self, placement: Placement) -> None:
        """Order the nodes, and connect all readers except the exact ones to the dequantized tensors."""
        nodes = list(self._first)
        for node in self._graph.node:
            if node.output[0] in placement.float_relus:
                self._spell_out(node)
            if node.output[0] not in placement.exact:
                node.input[:] = [self._replaced.get(name, name) for name in node.input]
            nodes.append(node)
            for output in node.output:
                nodes += self._behind.get(output, [])
        ordered = copy.deepcopy(nodes)  # copy, because the graph is cleared next
        del self._graph.node[:]
        self._graph.node.extend(ordered)
        del self._graph.value_info[:]
        self._graph.value_info.extend(self._custom)

    def _spell_out(self, relu: onnx.NodeProto) -> None:
        """Replace a ReLU by a maximum with zero.

        ONNX Runtime 1.32 fuses a linear layer and its ReLU into one float operator if no QuantizeLinear follows. It
        would multiply floats.
        """
        relu.op_type = "Max"
        relu.input.append(self._add(f"{relu.output[0]}/zero", np.float32(0)))

    def _add(self, name: str, value: np.ndarray | np.generic) -> str:
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name
