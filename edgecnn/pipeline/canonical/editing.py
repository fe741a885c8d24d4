"""Reading and editing a graph: its constants, its shapes and its readers."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgecnn.pipeline.canonical.nodes import makers_of, numbered, readers_of
from edgecnn.pipeline.canonical.shapes import inferred_graph

Shape = tuple[int | None, ...]
"""Sizes of a tensor. None for a size that is not known before the graph runs."""


class GraphEditor:
    """Reads and edits the graph of a model, in place."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self.graph = model.graph
        self.readers = readers_of(model.graph)
        self.makers = makers_of(model.graph)
        self.outputs = {output.name for output in model.graph.output}
        self.initializers = {initializer.name: initializer for initializer in model.graph.initializer}
        self._names = {*self.initializers, *self.makers, *(each.name for each in model.graph.input)}

    def write_types(self) -> None:
        """Write the type and the shape of each tensor into the graph."""
        del self.graph.value_info[:]
        self.graph.value_info.extend(inferred_graph(self._model).value_info)

    @cached_property
    def _shapes(self) -> dict[str, Shape]:
        inferred = inferred_graph(self._model)
        return {
            info.name: tuple(
                size.dim_value if size.HasField("dim_value") else None for size in info.type.tensor_type.shape.dim
            )
            for info in (*inferred.value_info, *inferred.input, *inferred.output)
            if info.type.tensor_type.HasField("shape")
        }

    def constant(self, name: str) -> np.ndarray | None:
        """Return the values of an initializer; None if the tensor is not constant."""
        return numpy_helper.to_array(self.initializers[name]) if name in self.initializers else None

    def shape(self, name: str) -> Shape | None:
        """Return the shape of a tensor; None if even its rank is unknown."""
        return tuple(self.initializers[name].dims) if name in self.initializers else self._shapes.get(name)

    def only_reader(self, name: str) -> onnx.NodeProto | None:
        """Return the only node that reads a tensor; None if others do, or if it is an output of the graph."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def unique(self, name: str) -> str:
        """Return a tensor name that does not exist yet, and reserve it."""
        found = numbered(name, self._names)
        self._names.add(found)
        return found

    def add_constant(self, name: str, value: np.ndarray) -> str:
        """Add an initializer and return its name, which is made unique."""
        found = self.unique(name)
        self.initializers[found] = self.graph.initializer.add()
        self.initializers[found].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), found))
        return found

    def replace(self, node: onnx.NodeProto, nodes: Sequence[onnx.NodeProto]) -> None:
        """Replace a node by others in its place."""
        index = next(i for i, each in enumerate(self.graph.node) if each is node or each == node)
        del self.graph.node[index]
        for offset, each in enumerate(nodes):
            self.graph.node.insert(index + offset, each)

    def bypass(self, node: onnx.NodeProto, name: str) -> None:
        """Let the readers of a node's first output read `name` instead. The node remains, without readers."""
        for reader in self.readers.get(node.output[0], []):
            reader.input[:] = [name if each == node.output[0] else each for each in reader.input]

    def take_output(self, node: onnx.NodeProto, follower: onnx.NodeProto) -> None:
        """Remove `follower`, the only reader of a node, and let the node produce its output."""
        node.output[0] = follower.output[0]
        self.graph.node.remove(follower)
        self.makers[node.output[0]] = node


def set_attribute(node: onnx.NodeProto, name: str, value: object) -> None:
    """Set an attribute of a node; None removes it."""
    kept = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    if value is not None:
        node.attribute.append(helper.make_attribute(name, value))
