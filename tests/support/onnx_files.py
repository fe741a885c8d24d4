"""Small ONNX classifiers as the exporters of other tools write them, for tests of the import."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.graphs import weights

node = helper.make_node
SIDE, CLASSES = 16, 5
PAD = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
BATCH_NORM = ("gain", "shift", "mean", "variance")


def graph(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, np.ndarray],
    inputs: Mapping[str, Sequence[str | int | None]],
    outputs: Mapping[str, Sequence[str | int | None]],
    *,
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """Return a graph with these inputs of one element type, and float32 outputs."""
    made = helper.make_graph(
        nodes,
        "other",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(
        made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, producer_name="other", producer_version="1"
    )


def layers(channels: int = 3, classes: int = CLASSES) -> dict[str, np.ndarray]:
    """Return the constants of a convolution, a batch norm and a linear layer."""
    norm = {name: abs(weights(8, seed=i)) + 1 for i, name in enumerate(BATCH_NORM)}
    return {"w": weights(8, channels, 3, 3), "fc": weights(classes, 8, seed=7), "b": weights(classes)} | norm


def body(first: str = "x") -> list[onnx.NodeProto]:
    """Return nodes that compute `flat`, [N, 8], of an image [N, C, H, W]."""
    return [
        node("Conv", [first, "w"], ["c"], "stem/Conv", **PAD),
        node("BatchNormalization", ["c", *BATCH_NORM], ["n"], "stem/BatchNormalization"),
        node("Relu", ["n"], ["r"], "stem/Relu"),
        node("GlobalAveragePool", ["r"], ["p"], "pool"),
        node("Flatten", ["p"], ["flat"], "flatten"),
    ]


def head(output: str = "logits") -> onnx.NodeProto:
    """Return the linear layer behind `flat`."""
    return node("Gemm", ["flat", "fc", "b"], [output], "fc/Gemm", transB=1)


def torch_style(
    *,
    opset: int = 17,
    batch: int | str = "N",
    channels: int = 3,
    classes: int = CLASSES,
    side: int | str = SIDE,
    end: Sequence[str] = (),
) -> onnx.ModelProto:
    """Return a graph with the input [N, C, H, W], and operators such as Softmax at its end."""
    names = ["logits", *(f"end{i}" for i in range(len(end)))]
    ends = [node(kind, [names[i]], [names[i + 1]], f"end/{kind}") for i, kind in enumerate(end)]
    return graph(
        [*body(), head(), *ends],
        layers(channels, classes),
        {"x": [batch, channels, side, side]},
        {names[-1]: [batch, classes]},
        opset=opset,
    )


def tf2onnx_style() -> onnx.ModelProto:
    """Return a graph with [1, H, W, C], padding as in TensorFlow, a fixed Reshape and a softmax."""
    nodes = [
        node("Transpose", ["input:0"], ["x"], "to_nchw", perm=[0, 3, 1, 2]),
        node("Conv", ["x", "w"], ["c"], "model/conv/Conv2D", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("BatchNormalization", ["c", *BATCH_NORM], ["n"], "model/bn"),
        node("Relu", ["n"], ["r"], "model/relu"),
        node("ReduceMean", ["r"], ["p"], "model/mean", axes=[2, 3], keepdims=1),
        node("Reshape", ["p", "shape"], ["flat"], "model/flatten"),
        node("MatMul", ["flat", "fct"], ["product"], "model/fc/MatMul"),
        node("Add", ["product", "b"], ["sum"], "model/fc/Add"),
        node("Softmax", ["sum"], ["Identity:0"], "model/softmax", axis=-1),
    ]
    constants = layers() | {"shape": np.array([1, -1]), "fct": weights(CLASSES, 8, seed=7).T.copy()}
    return graph(nodes, constants, {"input:0": [1, SIDE, SIDE, 3]}, {"Identity:0": [1, CLASSES]}, opset=13)


def paddle_style() -> onnx.ModelProto:
    """Return a graph with weights in Constant nodes, a size that is not fixed, and Identity nodes around its end."""
    values = layers() | {"zero": np.array([0]), "one": np.array([1]), "rest": np.array([-1])}
    constants = [
        node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value))) for name, value in values.items()
    ]
    nodes = [
        *constants,
        *body()[:4],
        node("Shape", ["p"], ["shape"]),
        node("Slice", ["shape", "zero", "one"], ["count"]),
        node("Concat", ["count", "rest"], ["target"], axis=0),
        node("Reshape", ["p", "target"], ["flat"]),
        head("linear"),
        node("Identity", ["linear"], ["tmp"]),
        node("Softmax", ["tmp"], ["softmax"], axis=-1),
        node("Identity", ["softmax"], ["save_infer_model/scale_0.tmp_1"]),
    ]
    return graph(nodes, {}, {"x": [-1, 3, -1, -1]}, {"save_infer_model/scale_0.tmp_1": [-1, CLASSES]}, opset=11)


def keras_style() -> onnx.ModelProto:
    """Return a graph that scales pixels in 0..255 of [N, H, W, C] itself, and returns [N, 1, 1, K]."""
    nodes = [
        node("Mul", ["image", "scale"], ["scaled"], "rescaling/mul"),
        node("Add", ["scaled", "offset"], ["centred"], "rescaling/add"),
        node("Transpose", ["centred"], ["x"], "to_nchw", perm=[0, 3, 1, 2]),
        *body()[:4],
        node("Conv", ["p", "top", "b"], ["logits"], "top/Conv", kernel_shape=[1, 1]),
        node("Transpose", ["logits"], ["last"], "to_nhwc", perm=[0, 2, 3, 1]),
    ]
    constants = layers() | {"top": weights(CLASSES, 8, 1, 1, seed=7)}
    constants |= {"scale": np.float32([1 / 127.5]), "offset": np.float32([-1])}
    return graph(nodes, constants, {"image": [None, SIDE, SIDE, 3]}, {"last": [None, 1, 1, CLASSES]}, opset=15)


def of_bytes(layout: str) -> onnx.ModelProto:
    """Return a graph that takes uint8 and normalises it itself."""
    perm = [0, 3, 1, 2] if layout == "nhwc" else [0, 1, 2, 3]
    nodes = [
        node("Transpose", ["pixels"], ["planar"], "planar", perm=perm),
        node("Cast", ["planar"], ["float"], "float", to=TensorProto.FLOAT),
        node("Div", ["float", "white"], ["x"], "scaled"),
        *body(),
        head(),
    ]
    shape = ["N", SIDE, SIDE, 3] if layout == "nhwc" else ["N", 3, SIDE, SIDE]
    constants = layers() | {"white": np.float32([255])}
    return graph(nodes, constants, {"pixels": shape}, {"logits": ["N", CLASSES]}, kind=TensorProto.UINT8)


def saved(model: onnx.ModelProto, folder: Path, name: str = "net.onnx") -> Path:
    """Write a graph to a file."""
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path
