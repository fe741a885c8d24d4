"""Graphs with a linear layer whose weights have 4 bits."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from repository import COMMITTED

from edgecnn.bundle.four_bits import BLOCK, DOMAIN, OPERATOR, blocks_of, pack, pack_zero_points
from edgecnn.bundle.store import Bundle, create_bundle, open_bundle
from edgecnn.bundle.weights import check_weights

NAME = "fc.weight"
PACKED, SCALES, ZERO_POINTS = f"{NAME}/quantized", f"{NAME}/scale", f"{NAME}/zero_point"
COMMITTED_NAME = "fc2.weight"
"""A weight of the committed bundle, in float32."""


def constants(
    integers: np.ndarray, zero_points: np.ndarray, scales: np.ndarray, *, name: str = NAME
) -> list[onnx.TensorProto]:
    """Return the initializers of a layer: integers [N, K] and zero points [N, B] of 0..15, scales float32 [N, B]."""
    packed = {"quantized": pack(integers), "scale": scales, "zero_point": pack_zero_points(zero_points)}
    return [numpy_helper.from_array(value, f"{name}/{kind}") for kind, value in packed.items()]


def layer(integers: np.ndarray, source: str, *, name: str = NAME) -> onnx.NodeProto:
    """Return the node of a layer with integers [N, K], from `source` to `products`."""
    outputs, columns = integers.shape
    sizes = {"K": columns, "N": outputs, "bits": 4, "block_size": BLOCK, "accuracy_level": 4}
    inputs = [source, *(f"{name}/{kind}" for kind in ("quantized", "scale", "zero_point"))]
    return helper.make_node(OPERATOR, inputs, ["products"], domain=DOMAIN, **sizes)


def linear(integers: np.ndarray, zero_points: np.ndarray, scales: np.ndarray) -> onnx.ModelProto:
    """Return a graph from uint8 `image` [N, 1, K, 1] to float32 `logits`, which centres 0..255 to ±127.5."""
    outputs, columns = integers.shape
    others = {"middle": np.array(127.5, np.float32), "bias": np.zeros(outputs, np.float32)}
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["floats", "middle"], ["centred"]),
        helper.make_node("Flatten", ["centred"], ["flat"]),
        layer(integers, "flat"),
        helper.make_node("Add", ["products", "bias"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 1, columns, 1])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", outputs])
    stored = constants(integers, zero_points, scales)
    stored += [numpy_helper.from_array(value, name) for name, value in others.items()]
    graph = helper.make_graph(nodes, "linear", [image], [logits], stored)
    domains = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=9)


def extremes(outputs: int, columns: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return integers and zero points of 0 and 15 only, and scales that keep sums within ±127.5.

    The first quarter of the outputs has weights of 15 only, the second of -15 only, the third alternates, and the
    last is random.
    """
    chance, blocks, quarter = np.random.default_rng(seed), blocks_of(columns), outputs // 4
    integers = chance.integers(0, 2, (outputs, columns))
    zero_points = chance.integers(0, 2, (outputs, blocks))
    integers[:quarter], zero_points[:quarter] = 1, 0
    integers[quarter : 2 * quarter], zero_points[quarter : 2 * quarter] = 0, 1
    integers[2 * quarter : 3 * quarter] = np.arange(columns) % 2
    scales = np.full((outputs, blocks), 1 / (15 * columns), np.float32)
    return (15 * integers).astype(np.uint8), (15 * zero_points).astype(np.uint8), scales


def extreme_images(count: int, columns: int, *, seed: int = 1) -> np.ndarray:
    """Return images, uint8 [N, 1, K, 1], of 0 and 255 only: one of 255, one of 0, one alternating, others random."""
    images = np.random.default_rng(seed).integers(0, 2, (count, columns))
    images[0], images[1], images[2] = 1, 0, np.arange(columns) % 2
    return (255 * images).astype(np.uint8).reshape(count, 1, columns, 1)


def round_to_four_bits(model: onnx.ModelProto, name: str) -> None:
    """Round the weights of a linear layer with a bias to the nearest 4-bit integers of their block."""
    gemm = next(node for node in model.graph.node if name in node.input)
    stored = next(each for each in model.graph.initializer if each.name == name)
    values = numpy_helper.to_array(stored)
    outputs, columns = values.shape
    blocks = np.pad(values, ((0, 0), (0, -columns % BLOCK))).reshape(outputs, -1, BLOCK)
    low, high = np.minimum(blocks.min(axis=2), 0), np.maximum(blocks.max(axis=2), 0)
    scales = ((high - low) / 15).astype(np.float32)
    zero_points = np.rint(-low / scales).astype(np.uint8)
    rounded = np.clip(np.rint(blocks / scales[..., None]) + zero_points[..., None], 0, 15).astype(np.uint8)
    integers = rounded.reshape(outputs, -1)[:, :columns]
    model.graph.initializer.remove(stored)
    model.graph.initializer.extend(constants(integers, zero_points, scales, name=name))
    nodes = [
        layer(integers, gemm.input[0], name=name),
        helper.make_node("Add", ["products", gemm.input[2]], list(gemm.output)),
    ]
    place = list(model.graph.node).index(gemm)
    model.graph.node.remove(gemm)
    for node in reversed(nodes):
        model.graph.node.insert(place, node)
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))


def four_bit_bundle(out: Path) -> Bundle:
    """Write the committed bundle with one layer in 4 bits."""
    committed = open_bundle(COMMITTED)
    model = onnx.load(committed.model)
    round_to_four_bits(model, COMMITTED_NAME)
    graph = committed.manifest.graph
    graph = dataclasses.replace(graph, weights=graph.weights | {COMMITTED_NAME: "int4"})
    return create_bundle(
        out,
        manifest=dataclasses.replace(committed.manifest, graphs=(graph,)),
        model=model.SerializeToString(),
        self_test=committed.self_test(),
        proof=committed.proof(),
    )


def check(model: onnx.ModelProto | bytes, *, names: tuple[str, ...] = (NAME,)) -> None:
    """Check the weights of a graph against a manifest with these 4-bit weights."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    check_weights(np.frombuffer(content, np.uint8), 64, four_bits=names, path=Path("bundle/model.onnx"))


def small_linear(columns: int = 200) -> onnx.ModelProto:
    return linear(*extremes(4, columns))


def node_of(model: onnx.ModelProto) -> onnx.NodeProto:
    """Return the layer with 4-bit weights."""
    return next(node for node in model.graph.node if node.op_type == OPERATOR)


def tensor(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    """Return an initializer."""
    return next(each for each in model.graph.initializer if each.name == name)
