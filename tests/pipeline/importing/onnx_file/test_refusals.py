"""An ONNX file that edgecnn cannot take gives one line and the right kind of error."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgecnn.pipeline.importing.onnx_file import trial
from edgecnn.pipeline.importing.onnx_file.options import OnnxOptions
from edgecnn.pipeline.importing.options import WeightsOptions
from tests.support.onnx_files import (
    CLASSES,
    SIDE,
    body,
    graph,
    head,
    layers,
    node,
    saved,
    torch_style,
)

IMAGE = {"x": ["N", 3, SIDE, SIDE]}
LOGITS = {"logits": ["N", CLASSES]}


@pytest.fixture(autouse=True)
def _unconfined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "confine", lambda **limits: None)


def refusal(path: Path, options: OnnxOptions | None = None) -> tuple[str, str]:
    """Return the class and the message of the error."""
    found = trial.result_of(path, options or OnnxOptions())
    assert found.message.count("\n") == 0
    assert len(found.message) < 700
    return found.error, found.message.removeprefix(f"{path}: ")


def changed(change: Callable[[onnx.ModelProto], object], model: onnx.ModelProto | None = None) -> onnx.ModelProto:
    model = model or torch_style()
    change(model)
    return model


def with_nodes(*nodes: onnx.NodeProto, first: str = "x", **constants: np.ndarray) -> onnx.ModelProto:
    """Return a graph with nodes that make `first` of the input `x0`."""
    return graph([*nodes, *body(first), head()], layers() | constants, {"x0": ["N", 3, SIDE, SIDE]}, LOGITS)


def conditional() -> onnx.ModelProto:
    shape = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    branches = {
        name: helper.make_graph([node(kind, ["x0"], ["y"])], name, [], shape)
        for name, kind in (("then_branch", "Relu"), ("else_branch", "Neg"))
    }
    return with_nodes(
        node("ReduceMax", ["x0"], ["top"], keepdims=0),
        node("Greater", ["top", "zero"], ["yes"]),
        node("If", ["yes"], ["x"], "choice", **branches),
        zero=np.float32(0),
    )


def cyclic() -> onnx.ModelProto:
    return with_nodes(node("Add", ["x0", "y"], ["x"]), node("Relu", ["x"], ["y"]))


def quantized() -> onnx.ModelProto:
    return with_nodes(
        node("QuantizeLinear", ["x0", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["x"]),
        s=np.float32(0.1),
        z=np.uint8(0),
    )


def sparse(model: onnx.ModelProto) -> None:
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, helper.make_tensor("i", TensorProto.INT64, [1], [0]), [4])
    )


def half(model: onnx.ModelProto) -> None:
    for each in model.graph.initializer:
        each.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(each).astype(np.float16), each.name))
    model.graph.node.insert(0, node("Cast", ["x"], ["x16"], "to_half", to=TensorProto.FLOAT16))
    model.graph.node[1].input[0] = "x16"
    model.graph.node.append(node("Cast", ["logits"], ["out"], to=TensorProto.FLOAT))
    model.graph.output[0].name = "out"


def probabilities() -> onnx.ModelProto:
    nodes = [
        *body(),
        head("z"),
        node("Exp", ["z"], ["e"]),
        node("ReduceSum", ["e", "axis"], ["s"]),
        node("Div", ["e", "s"], ["logits"]),
    ]
    return graph(nodes, layers() | {"axis": np.array([1])}, IMAGE, LOGITS)


def mixing_batch() -> onnx.ModelProto:
    """Return a graph that subtracts the mean over the batch."""
    nodes = [*body(), node("ReduceMean", ["flat"], ["m"], axes=[0]), node("Sub", ["flat", "m"], ["s"])]
    nodes.append(node("Gemm", ["s", "fc", "b"], ["logits"], transB=1))
    return graph(nodes, layers(), IMAGE, LOGITS)


def fixed_batch() -> onnx.ModelProto:
    """Return a graph for two images that adds another constant to each."""
    nodes = [*body(), head("z"), node("Add", ["z", "each"], ["logits"])]
    constants = layers() | {"each": np.float32([[1], [2]])}
    return graph(nodes, constants, {"x": [2, 3, SIDE, SIDE]}, {"logits": [2, CLASSES]})


def input_of(shape: list[str | int | None], kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    return changed(lambda m: m.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", kind, shape)))


GRAPHS: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "two inputs": (
        lambda: changed(lambda m: m.graph.input.append(helper.make_tensor_value_info("size", 1, [2]))),
        "2 inputs ('x', 'size'), expected one image",
    ),
    "no image": (lambda: input_of(["N", 100]), "the input 'x' is not an image"),
    "tokens": (lambda: input_of(["N", 3, 16, 16], TensorProto.INT64), "found int64 [?, 3, 16, 16]"),
    "int8": (lambda: input_of(["N", 3, 16, 16], TensorProto.INT8), "is not an image"),
    "two channels": (lambda: torch_style(channels=2), "expected images with 1, 3 or 4 channels"),
    "unknown channels": (lambda: input_of(["N", None, None, None]), "with a fixed number of channels"),
    "float16 input": (
        lambda: input_of(["N", 3, 16, 16], TensorProto.FLOAT16),
        "float16, expected float32: add --widen",
    ),
    "float16 weights": (lambda: changed(half), "add --widen"),
    "control flow": (conditional, "choice (If) is control flow"),
    "custom domain": (
        lambda: changed(lambda m: setattr(m.graph.node[2], "domain", "com.microsoft")),
        "stem/Relu (Relu) is an operator of the domain 'com.microsoft'",
    ),
    "quantized": (quantized, "quantized already; take the float model"),
    "random": (lambda: with_nodes(node("RandomNormalLike", ["x0"], ["x"], "noise")), "noise (RandomNormalLike)"),
    "cycle": (cyclic, "the graph is not valid"),
    "missing tensor": (lambda: with_nodes(node("Relu", ["nothing"], ["x"])), "the graph is not valid"),
    "sparse weights": (lambda: changed(sparse), "sparse weights"),
    "training": (lambda: changed(lambda m: m.training_info.add()), "information for training"),
    "old opset": (lambda: torch_style(opset=6), "opset 6, expected 7"),
    "new opset": (lambda: torch_style(opset=99), "opset 99, expected 7"),
    "probabilities": (probabilities, "probabilities, but the graph does not end"),
    "several values": (
        lambda: graph([*body()[:3]], layers(), IMAGE, {"r": ["N", 8, SIDE, SIDE]}),
        "the output 'r' is float32 [3, 8, 16, 16] for 3 images",
    ),
    "mixed batch": (mixing_batch, "depends on the number of images: export"),
    "fixed batch": (fixed_batch, "batch is fixed at 2: export the network with a dynamic batch"),
    "softmax of one": (lambda: torch_style(classes=1, end=["Softmax"]), "always the same"),
    "unknown operator": (lambda: changed(lambda m: setattr(m.graph.node[2], "op_type", "Rely")), "stem/Relu (Rely)"),
    "bomb": (
        lambda: with_nodes(
            node("ConstantOfShape", ["huge"], ["c0"]),
            node("ReduceSum", ["c0"], ["c1"], keepdims=0),
            node("Add", ["x0", "c1"], ["x"]),
            huge=np.array([10**11]),
        ),
        "ONNX Runtime",
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_refuses_a_graph(name: str, tmp_path: Path):
    make, message = GRAPHS[name]
    error, found = refusal(saved(make(), tmp_path))
    assert message in found
    assert error in ("OnnxFileError", "UnsupportedOperator", "EngineError")


def weights_options(**options: object) -> OnnxOptions:
    return OnnxOptions(WeightsOptions(**options))  # type: ignore[arg-type]


def two_outputs(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 8, 1, 1]))


USAGE: dict[str, tuple[Callable[[], onnx.ModelProto], OnnxOptions, str]] = {
    "size": (lambda: torch_style(side="S"), OnnxOptions(), "any size (? × ?): add --image-size"),
    "other size": (torch_style, weights_options(image_size=(8, 16)), "16 × 16 pixels, found --image-size 8,16"),
    "other crop": (torch_style, weights_options(crop=(8, 8)), "16 × 16 pixels, found --crop 8,8"),
    "outputs": (lambda: changed(two_outputs), OnnxOptions(), "with --output: logits [?, 5], p [?, 8, 1, 1]"),
    "output": (torch_style, OnnxOptions(output="logit"), "no output 'logit' (did you mean logits?)"),
    "layout": (lambda: input_of(["N", 3, 16, 3]), OnnxOptions(), "add --layout nchw or nhwc"),
    "other layout": (torch_style, OnnxOptions(layout="nhwc"), "--layout nhwc does not fit"),
    "sigmoid": (lambda: torch_style(end=["Sigmoid"]), OnnxOptions(), "add --scores sigmoid"),
    "sigmoid logits": (lambda: torch_style(end=["Sigmoid"]), weights_options(scores="logits"), "use --scores sigmoid"),
    "softmax logits": (
        lambda: torch_style(end=["Softmax"]),
        weights_options(scores="logits"),
        "ends with Softmax, found --scores logits",
    ),
    "softmax labels": (lambda: torch_style(end=["Softmax"]), weights_options(scores="multi-label"), "remove it"),
}


@pytest.mark.parametrize("name", USAGE)
def test_needs_options(name: str, tmp_path: Path):
    make, options, message = USAGE[name]
    error, found = refusal(saved(make(), tmp_path), options)
    assert (error, message in found) == ("UsageError", True), found


FILES = {
    "empty": (b"", "is empty"),
    "truncated": (torch_style().SerializeToString()[:200], "truncated, damaged, or not an ONNX graph"),
    "web page": (b"<!doctype html><html>", "a web page, not an ONNX graph"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file, as Keras writes: expected an ONNX graph"),
    "TensorFlow Lite": (b"\x20\x00\x00\x00TFL3" + bytes(40), "convert it with tf2onnx"),
    "safetensors": ((20).to_bytes(8, "little") + b'{"a":{}}            ', "a safetensors file"),
    "nested": (b"\x0a\xff\x01" * 5000, "not an ONNX graph"),
}


@pytest.mark.parametrize("name", FILES)
def test_says_what_a_file_is(name: str, tmp_path: Path):
    content, message = FILES[name]
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    error, found = refusal(path)
    assert (error, message in found) == ("OnnxFileError", True), found


def test_says_what_weights_of_pytorch_are(tmp_path: Path):
    torch.save({"w": torch.zeros(3)}, tmp_path / "net.onnx")
    assert "edgecnn export ARCH --weights FILE" in refusal(tmp_path / "net.onnx")[1]


def test_refuses_what_is_no_file(tmp_path: Path):
    assert "does not exist" in refusal(tmp_path / "none.onnx")[1]
    saved(torch_style(), tmp_path)
    assert f"pass {tmp_path / 'net.onnx'}" in refusal(tmp_path)[1]
    assert "not a plain file" in refusal(Path("/dev/null"))[1]


def external(location: str, **more: str) -> onnx.ModelProto:
    model = torch_style()
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": location} | more).items():
        tensor.external_data.add(key=key, value=value)
    tensor.ClearField("raw_data")
    return model


@pytest.mark.parametrize(
    ("location", "more", "message"),
    [
        ("none.bin", {}, "which is missing: copy it"),
        ("../w.bin", {}, "expected a file in the folder"),
        ("/etc/passwd", {}, "expected a file in the folder"),
        ("", {}, "expected a file in the folder"),
        ("link.bin", {}, "which is a link"),
        ("inside/w.bin", {}, "which is a link"),
        (".", {}, "not a plain file"),
        ("w.bin", {"offset": "900"}, "outside the file 'w.bin' of 864 bytes"),
        ("w.bin", {"length": "9999"}, "outside the file"),
        ("w.bin", {"offset": "-1"}, "outside the file"),
        ("w.bin", {"length": "many"}, "outside the file"),
        ("w.bin", {"length": "12"}, "the graph is not valid"),
        ("x" * 5000, {}, "xxx…"),
    ],
)
def test_opens_only_plain_files_in_its_folder(location: str, more: dict[str, str], message: str, tmp_path: Path):
    content = torch_style().graph.initializer[0].raw_data
    (tmp_path / "w.bin").write_bytes(content)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "w.bin").write_bytes(content)
    (folder / "link.bin").symlink_to("w.bin")
    (folder / "inside").symlink_to(tmp_path)
    error, found = refusal(saved(external(location, **more), folder))
    assert (error, message in found) == ("OnnxFileError", True), found


def test_wrong_activation_is_a_failed_proof(tmp_path: Path):
    model = torch_style(end=["Softmax"])
    model.graph.node[-1].attribute.append(helper.make_attribute("axis", 0))
    assert refusal(saved(model, tmp_path))[0] == "ProofFailed"
