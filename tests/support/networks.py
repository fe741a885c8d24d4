"""Networks whose graphs have the defects that exporters and quantizers introduce."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from edgecnn.pipeline.models.lenet import LeNet


class Liar(LeNet):
    """LeNet that reverses its logits when it is exported."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, reversed in the exported graph."""
        logits = super().forward(x)
        return logits.flip(1) if torch.compiler.is_exporting() else logits


def subtract_batch_mean(model: Path) -> bytes:
    """Subtract the batch mean from a graph's logits, so that its answers depend on each other."""
    graph = onnx.load(model)
    (producer,) = (node for node in graph.graph.node if "logits" in node.output)
    producer.output[:] = ["own"]
    graph.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "batch_axis"))
    graph.graph.node.extend(
        [
            onnx.helper.make_node("ReduceMean", ["own", "batch_axis"], ["mean"], keepdims=1),
            onnx.helper.make_node("Sub", ["own", "mean"], ["logits"]),
        ]
    )
    return bytes(graph.SerializeToString())


def with_large_channel(lenet: Path, factor: float = 1000.0) -> onnx.ModelProto:
    """Return LeNet with one channel scaled by a factor, and its weights in `conv2` by the inverse.

    The logits stay the same in float. In INT8 the channel takes the range of all others.
    """
    model = onnx.load(lenet)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name in ("conv1.weight", "conv1.bias"):
            values[2] *= factor
        elif tensor.name == "conv2.weight":
            values[:, 2] /= factor
        else:
            continue
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


def with_wide_layer(lenet: Path) -> onnx.ModelProto:
    """Return LeNet with a layer `wide` of 400 inputs and 1024 outputs before `fc1`, which reads the inverse.

    The logits stay the same. The outputs of `wide` depend on 120 numbers only.
    """
    model = onnx.load(lenet)
    first = next(node for node in model.graph.node if node.op_type == "Gemm")
    matrix = next(tensor for tensor in model.graph.initializer if tensor.name == first.input[1])
    values = numpy_helper.to_array(matrix).astype(np.float64)  # [120, 400]
    turned, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((1024, len(values))))
    matrix.CopyFrom(numpy_helper.from_array(turned.T.astype(np.float32), matrix.name))
    wide = {"wide.weight": (turned @ values).astype(np.float32), "wide.bias": np.full(1024, 0.5, np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(each, name) for name, each in wide.items())
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == first.input[2])
    shifted = numpy_helper.to_array(bias) - 0.5 * turned.sum(axis=0)
    bias.CopyFrom(numpy_helper.from_array(shifted.astype(np.float32), bias.name))
    node = onnx.helper.make_node("Gemm", [first.input[0], *wide], ["wide_0"], "wide/Gemm", transB=1)
    first.input[0] = "wide_0"
    model.graph.node.insert(list(model.graph.node).index(first), node)
    return model
