"""Networks whose graphs are not what they should be: what exporters and quantizers have done to real networks."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from edgecnn.pipeline.models.lenet import LeNet


class Liar(LeNet):
    """LeNet that turns its logits round when it is exported."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, reversed in the graph."""
        logits = super().forward(x)
        return logits.flip(1) if torch.compiler.is_exporting() else logits


def subtract_batch_mean(model: Path) -> bytes:
    """Make a graph's answers depend on each other: from its logits their mean over the batch is taken."""
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
