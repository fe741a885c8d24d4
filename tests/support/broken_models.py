"""Well-formed bundles that contain a broken model."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgecnn.files.digest import digest_bytes


def reseal(bundle: Path, model: bytes, *, precision: str = "fp32") -> Path:
    """Replace a bundle's model and its digest. As FP32, the manifest makes no claims about the weights."""
    (bundle / "model.onnx").write_bytes(model)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = {"sha256": digest_bytes(model), "size_bytes": len(model)}
    if precision == "fp32":
        manifest["graphs"][0] |= {"precision": "fp32", "weights": {}, "quantization": None}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return bundle


def graph(nodes: list[onnx.NodeProto], *, opset: int = 17, initializers: tuple[onnx.TensorProto, ...] = ()) -> bytes:
    """Return a graph from uint8 `image` to float32 `logits`."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 32, 32, 1])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])
    made = helper.make_graph(nodes, "g", [image], [logits], list(initializers))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return model.SerializeToString()


def unknown_operator() -> bytes:
    return graph([helper.make_node("NoSuchOperator", ["image"], ["logits"])])


def opset_too_new() -> bytes:
    cast = helper.make_node("Cast", ["image"], ["logits"], to=TensorProto.FLOAT)
    return graph([cast], opset=999)


def huge_dimensions() -> bytes:
    """Return a graph that allocates half a terabyte."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1 << 31, 64])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("Add", ["flat", "sum"], ["logits"]),
    ]
    return graph(nodes, initializers=(shape,))


def endless_loop() -> bytes:
    """Return a graph that counts to 2^63 before it answers."""
    state = [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
    ]
    out = [
        helper.make_tensor_value_info("on_out", TensorProto.BOOL, []),
        helper.make_tensor_value_info("x_out", TensorProto.FLOAT, None),
    ]
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["on_out"]), helper.make_node("Neg", ["x"], ["x_out"])],
        "body",
        state,
        out,
    )
    trips = helper.make_tensor("trips", TensorProto.INT64, [], [(1 << 63) - 1])
    true = helper.make_tensor("true", TensorProto.BOOL, [], [True])
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("Loop", ["trips", "true", "flat"], ["logits"], body=body),
    ]
    return graph(nodes, initializers=(trips, true))


def external(location: str, *, offset: int = 0, name: str = "weights") -> onnx.TensorProto:
    """Return weights of a linear layer, float32 [1024, 10], that refer to another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1024, 10], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": str(offset), "length": str(4 * 1024 * 10)}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def linear(weights: onnx.TensorProto) -> bytes:
    """Return a graph of one linear layer with these weights."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", weights.name], ["logits"]),
    ]
    return graph(nodes, initializers=(weights,))


NO_GRAPHS = frozenset({"truncated", "random", "text"})
"""The models that are rejected before an engine reads them."""

MODELS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda model: b"",
    "truncated": lambda model: model[: len(model) // 2],
    "random": lambda model: np.random.default_rng(0).bytes(10_000),
    "text": lambda model: b"version https://git-lfs.github.com/spec/v1\n",
    "unknown operator": lambda model: unknown_operator(),
    "opset too new": lambda model: opset_too_new(),
    "2^31 dimensions": lambda model: huge_dimensions(),
}
