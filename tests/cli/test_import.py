"""`edgecnn import`, `inspect` and `verify --reference` of ONNX files, as a user types them."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from command import Result
from onnx import numpy_helper

from edgecnn.bundle.store import open_bundle
from edgecnn.errors import OnnxFileError
from edgecnn.pipeline.importing.onnx_file import trial
from edgecnn.pipeline.importing.onnx_file.options import OnnxOptions
from edgecnn.pipeline.importing.onnx_file.reference import OnnxReference
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from tests.support.graphs import weights
from tests.support.onnx_files import SIDE, body, graph, head, layers, node, paddle_style, saved, torch_style

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def digits_file(checkpoint_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return LeNet on digits as `torch.onnx.export` writes it, with a softmax at the end."""
    path = tmp_path_factory.mktemp("digits") / "digits.onnx"
    network = torch.nn.Sequential(read_checkpoint(checkpoint_path).reference.module(), torch.nn.Softmax(dim=1)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(network, (torch.zeros(1, 1, 32, 32),), dynamo=True, verbose=False)
    assert program is not None
    path.write_bytes(program.model_proto.SerializeToString())
    return path


@pytest.mark.slow
def test_digits_go_from_file_to_verified_int8(edgecnn: Run, digits_file: Path, checkpoint_path: Path, tmp_path: Path):
    theirs = read_checkpoint(checkpoint_path).reference.preprocessing
    described = ["--mean", theirs.mean[0], "--std", theirs.std[0], "--resize", "32,32"]
    fp32, int8 = tmp_path / "fp32", tmp_path / "int8"
    found = edgecnn("import", digits_file, *described, "--data", "digits", "--out", fp32)
    assert (found.code, "agreement 100.00%" in found.out) == (0, True), found.err
    manifest = open_bundle(fp32).manifest
    assert manifest.provenance.command.startswith("edgecnn import digits.onnx")
    found = edgecnn("quantize", fp32, "--calibration", "digits", "--data", "digits", "--out", int8)
    assert found.code == 0, found.err
    reference = ["--data", "digits", "--reference", digits_file, *described]
    for bundle in (fp32, int8):
        found = edgecnn("verify", bundle, *reference)
        assert (found.code, "the proof holds" in found.out) == (0, True), found.err
    found = edgecnn("verify", fp32, *reference[:4], "--mean", "0.3", "--std", "0.3")
    assert (found.code, "is not the reference of" in found.error) == (2, True)


def test_result_is_json(edgecnn: Run, tmp_path: Path):
    found = edgecnn("import", saved(torch_style(), tmp_path), "--out", tmp_path / "b", "--json")
    assert json.loads(found.out)["precision"] == "fp32"
    assert found.err.count("note:") == 1


def test_failed_parity_names_image_and_layer(edgecnn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    right = OnnxReference.to_onnx

    def wrong(self: OnnxReference) -> onnx.ModelProto:
        model = right(self)
        tensor = next(each for each in model.graph.initializer if list(each.dims) == [8, 8, 1, 1])
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.01), tensor.name))
        return model

    monkeypatch.setattr(OnnxReference, "to_onnx", wrong)
    nodes = [*body()[:3], node("Conv", ["r", "w2"], ["c2"], "block/Conv", kernel_shape=[1, 1])]
    nodes += [node("GlobalAveragePool", ["c2"], ["p"], "pool"), node("Flatten", ["p"], ["flat"]), head()]
    constants = layers() | {"w2": weights(8, 8, 1, 1)}
    path = saved(graph(nodes, constants, {"x": ["N", 3, SIDE, SIDE]}, {"logits": ["N", 5]}), tmp_path)
    found = edgecnn("import", path, "--out", tmp_path / "b")
    assert found.code == 3
    assert "the graph differs from the reference: on onnxruntime at batch 1" in found.error
    assert "the worst image is test image " in found.error
    assert "the first layer that differs is block/Conv (Conv); no bundle was written" in found.error
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("import any.onnx --out b", 2, "any size (? × ?): add --image-size"),
        ("import any.onnx --image-size 16 --layout nhwc --out b", 2, "--layout nhwc does not fit"),
        ("import none.onnx --out b", 1, "none.onnx: the file does not exist"),
        ("import text.onnx --out b", 1, "text.onnx: the file is text, not an ONNX graph"),
        ("import net.pth --out b", 2, "is a file with weights: export it first: edgecnn export ARCH --weights net.pth"),
        ("import fixed.onnx --out .b", 2, "bundle name"),
        ("export fixed.onnx --out b", 2, "is an ONNX graph: import it first: edgecnn import fixed.onnx --out fixed"),
        ("quantize fixed.onnx --out b", 1, "is an ONNX graph: import it first"),
        ("predict fixed.onnx a.jpg", 1, "is an ONNX graph: import it first"),
        ("inspect fixed.onnx --stem small", 2, "valid for an architecture only"),
        ("inspect text.onnx", 1, "text.onnx: the file is text"),
    ],
)
def test_mistakes_give_one_line(
    words: str, code: int, message: str, edgecnn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    saved(torch_style(side="S"), tmp_path, "any.onnx")
    saved(torch_style(), tmp_path, "fixed.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    found = edgecnn(*words.split())
    assert (found.code, found.error.count("\n")) == (code, 0), found.error
    assert message in found.error


def test_options_of_a_file_need_a_file(edgecnn: Run, committed: object):
    found = edgecnn("verify", committed.path, "--channel-order", "bgr")  # type: ignore[attr-defined]
    assert (found.code, "the options of an ONNX file need one as --reference" in found.error) == (2, True)


def test_inspect_suggests_the_import(edgecnn: Run, tmp_path: Path):
    path = saved(paddle_style(), tmp_path)
    text = edgecnn("inspect", path).out
    assert "producer   other 1\n" in text
    assert "opset      ai.onnx 11; IR version 8\n" in text
    assert "input      x: float32 [?, 3, ?, ?]\n" in text
    needed = "--image-size H,W --mean M,M,M --std S,S,S --labels FILE --out FOLDER\n"
    assert text.endswith(f"import it: edgecnn import {path} {needed}")
    found = json.loads(edgecnn("inspect", path, "--json").out)
    assert (found["operators"]["Softmax"], found["parameters"] > 250, found["reason"]) == (1, True, None)


def test_inspect_says_why_not(edgecnn: Run, tmp_path: Path):
    segmentation = graph(body()[:3], layers(), {"x": ["N", 3, "H", "W"]}, {"r": ["N", 8, "H", "W"]})
    text = edgecnn("inspect", saved(segmentation, tmp_path)).out
    assert "cannot be imported: the output 'r' is float32 [1, 8, 224, 224] for 1 images, expected float32" in text


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.abort()", "a library crashed with SIGABRT while it opened the graph"),
        ("raise SystemExit('lost')", "exited with code 1 while it opened the graph: lost"),
        ("print('nothing')", "cannot parse the result"),
        ("import time; time.sleep(60)", "was not opened within 2 s"),
    ],
)
def test_end_of_the_child_is_one_line(code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "ending_child.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(trial, "_MODULE", "ending_child")
    with pytest.raises(OnnxFileError, match=message):
        trial.try_onnx(tmp_path / "net.onnx", OnnxOptions(), timeout_s=2)


def test_memory_of_the_child_is_limited(tmp_path: Path):
    nodes = [
        node("ConstantOfShape", ["huge"], ["c0"]),
        node("ReduceSum", ["c0"], ["c1"], keepdims=0),
        node("Add", ["x0", "c1"], ["x"]),
        *body(),
        head(),
    ]
    constants = layers() | {"huge": np.array([1_200_000_000])}
    path = saved(graph(nodes, constants, {"x0": ["N", 3, SIDE, SIDE]}, {"logits": ["N", 5]}), tmp_path)
    with pytest.raises(Exception, match=r"net\.onnx: .*(memory|alloc)"):
        trial.try_onnx(path, OnnxOptions())
