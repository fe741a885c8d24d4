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
