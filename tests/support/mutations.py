"""Random damage to ONNX graphs, for fuzzing the quantizer."""

import random
from collections.abc import Callable

import onnx
from google.protobuf.message import DecodeError

_OPERATORS = ("Conv", "Gemm", "MatMul", "Relu", "Clip", "Add", "Concat", "Reshape", "Cast", "Gather", "Split", "Pad")
_NUMBERS = (-(2**63), -(2**31), -7, -1, 0, 1, 2, 3, 1000, 2**31, 2**40, 2**63 - 1)


def mutated(model: onnx.ModelProto, seed: int) -> onnx.ModelProto | None:
    """Return a copy with one to three changes; None if its bytes are not a graph any more."""
    chance = random.Random(seed)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for _ in range(chance.choice((1, 1, 2, 3))):
        if chance.random() < 0.2:
            try:
                result = onnx.ModelProto.FromString(damaged(result.SerializeToString(), chance))
            except DecodeError:
                return None
        elif result.graph.node:
            chance.choice(_CHANGES)(result, chance)
    return result


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return bytes that are truncated, or in which up to eight have changed."""
    if not content:
        return content
    if chance.random() < 0.2:
        return content[: chance.randrange(len(content))]
    damaged = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    return bytes(damaged)


def _node(model: onnx.ModelProto, chance: random.Random) -> onnx.NodeProto:
    return chance.choice(model.graph.node)


def _names(model: onnx.ModelProto) -> list[str]:
    nodes = [name for node in model.graph.node for name in (*node.input, *node.output)]
    return [*nodes, *(each.name for each in model.graph.initializer), "", "missing"]


def _remove_node(model: onnx.ModelProto, chance: random.Random) -> None:
    del model.graph.node[chance.randrange(len(model.graph.node))]


def _repeat_node(model: onnx.ModelProto, chance: random.Random) -> None:
    model.graph.node.append(_node(model, chance))


def _move_node(model: onnx.ModelProto, chance: random.Random) -> None:
    node = onnx.NodeProto()
    node.CopyFrom(_node(model, chance))
    model.graph.node.insert(0, node)


def _change_operator(model: onnx.ModelProto, chance: random.Random) -> None:
    _node(model, chance).op_type = chance.choice(_OPERATORS)


def _change_domain(model: onnx.ModelProto, chance: random.Random) -> None:
    _node(model, chance).domain = chance.choice(("com.microsoft", "ai.onnx.ml", "local", "\n"))


def _change_input(model: onnx.ModelProto, chance: random.Random) -> None:
    node = _node(model, chance)
    if node.input:
        node.input[chance.randrange(len(node.input))] = chance.choice(_names(model))


def _change_output(model: onnx.ModelProto, chance: random.Random) -> None:
    node = _node(model, chance)
    if node.output:
        node.output[chance.randrange(len(node.output))] = chance.choice(_names(model))


def _change_arguments(model: onnx.ModelProto, chance: random.Random) -> None:
    node = _node(model, chance)
    if chance.random() < 0.5 and node.input:
        del node.input[chance.randrange(len(node.input)) :]
    else:
        node.input.append(chance.choice(_names(model)))


def _change_attribute(model: onnx.ModelProto, chance: random.Random) -> None:
    node = _node(model, chance)
    if not node.attribute:
        node.attribute.append(onnx.helper.make_attribute("axis", chance.choice(_NUMBERS)))
        return
    attribute = chance.choice(node.attribute)
    if attribute.ints:
        attribute.ints[chance.randrange(len(attribute.ints))] = chance.choice(_NUMBERS)
    elif chance.random() < 0.2:
        attribute.ints.extend([chance.choice(_NUMBERS)])
    else:
        attribute.i = chance.choice(_NUMBERS)


def _change_weights(model: onnx.ModelProto, chance: random.Random) -> None:
    if not model.graph.initializer:
        return
    tensor = chance.choice(model.graph.initializer)
    kind = chance.randrange(5)
    if kind == 0 and tensor.dims:
        tensor.dims[chance.randrange(len(tensor.dims))] = chance.choice(_NUMBERS)
    elif kind == 1:
        tensor.data_type = chance.randrange(25)
    elif kind == 2:
        tensor.raw_data = tensor.raw_data[: chance.randrange(len(tensor.raw_data) + 1)]
    elif kind == 3:
        tensor.name = chance.choice(_names(model))
    else:
        model.graph.initializer.remove(tensor)


def _change_ends(model: onnx.ModelProto, chance: random.Random) -> None:
    ends = [*model.graph.input, *model.graph.output]
    if not ends:
        return
    end = chance.choice(ends)
    sizes = end.type.tensor_type.shape.dim
    if sizes and chance.random() < 0.7:
        chance.choice(sizes).dim_value = chance.choice(_NUMBERS)
    elif chance.random() < 0.5:
        end.type.tensor_type.elem_type = chance.randrange(25)
    else:
        end.name = chance.choice(_names(model))


def _change_opset(model: onnx.ModelProto, chance: random.Random) -> None:
    if model.opset_import:
        model.opset_import[0].version = chance.choice((-1, 0, 1, 6, 7, 8, 9, 10, 11, 13, 14, 20, 23, 26, 999))


_CHANGES: tuple[Callable[[onnx.ModelProto, random.Random], None], ...] = (
    _remove_node,
    _repeat_node,
    _move_node,
    _change_operator,
    _change_domain,
    _change_input,
    _change_output,
    _change_arguments,
    _change_attribute,
    _change_weights,
    _change_ends,
    _change_opset,
)
