"""Names of layers, and constants that belong to one layer each."""

from collections import Counter

import onnx

from edgecnn.pipeline.canonical.editing import GraphEditor
from edgecnn.pipeline.canonical.nodes import is_layer, module_of, numbered

_WEIGHT, _BIAS = ".weight", ".bias"


def split_shared_constants(editor: GraphEditor) -> None:
    """Give each layer its own weights and bias: their scales depend on the layer's input."""
    seen: set[str] = set()
    for node in editor.graph.node:
        if not is_layer(node, editor.initializers):
            continue
        for position, name in list(enumerate(node.input))[1:3]:
            value = editor.constant(name)
            if value is not None and (name in seen or len(editor.readers[name]) > 1):
                node.input[position] = editor.add_constant(name, value)
            seen.add(name)


def name_layers(editor: GraphEditor) -> None:
    """Name each layer, its node and its constants: `conv1`, `conv1/Conv`, `conv1.weight`, `conv1.bias`.

    The name comes from the weights, from the node's module, or from the node, whichever is unique first.
    """
    layers = [node for node in editor.graph.node if is_layer(node, editor.initializers)]
    modules = Counter(module_of(node) for node in layers)
    taken: set[str] = set()
    for node in layers:
        weight, module = node.input[1], module_of(node)
        candidates = [weight.removesuffix(_WEIGHT)] if weight.endswith(_WEIGHT) else []
        candidates += [module] if module and modules[module] == 1 else []
        candidates += [node.name.replace("/", "."), node.op_type]
        layer = numbered(next(name for name in candidates if name), taken)
        taken.add(layer)
        node.name = f"{layer}/{node.op_type}"
        for position, suffix in ((1, _WEIGHT), (2, _BIAS)):
            if len(node.input) > position:
                _rename(editor, node, position, layer + suffix)
    make_names_unique(editor.graph)


def _rename(editor: GraphEditor, node: onnx.NodeProto, position: int, name: str) -> None:
    if node.input[position] != name:
        new = editor.unique(name)
        editor.initializers[new] = editor.initializers.pop(node.input[position])
        editor.initializers[new].name = new
        node.input[position] = new


def make_names_unique(graph: onnx.GraphProto) -> None:
    """Give each node a name, and number the nodes that share one."""
    taken: set[str] = set()
    for node in graph.node:
        node.name = numbered(node.name or node.op_type, taken)
        taken.add(node.name)
