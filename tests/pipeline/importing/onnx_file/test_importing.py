"""ONNX classifiers of other tools become bundles that give the same answers. Each export proves batch 1, 3 and 8."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgecnn.bundle.manifest import Scores
from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError, WeightsNote
from edgecnn.pipeline.canonical.canonicalising import canonicalise
from edgecnn.pipeline.export.exporting import export
from edgecnn.pipeline.importing.onnx_file import opening
from edgecnn.pipeline.importing.onnx_file.options import OnnxOptions
from edgecnn.pipeline.importing.onnx_file.reading import read_onnx
from edgecnn.pipeline.importing.onnx_file.reference import OnnxReference
from edgecnn.pipeline.importing.onnx_file.taking import take
from edgecnn.pipeline.importing.options import WeightsOptions
from edgecnn.pipeline.reference import identity_of
from tests.support.onnx_files import (
    CLASSES,
    SIDE,
    body,
    graph,
    head,
    keras_style,
    layers,
    node,
    of_bytes,
    paddle_style,
    saved,
    tf2onnx_style,
    torch_style,
)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "try_onnx", lambda path, options: take(read_onnx(path), options))


def opened(model: onnx.ModelProto, folder: Path, options: OnnxOptions | None = None) -> OnnxReference:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WeightsNote)
        return opening.open_onnx(saved(model, folder), options or OnnxOptions())


def imported(model: onnx.ModelProto, folder: Path, **options: object) -> Bundle:
    own = {name: options.pop(name) for name in ("channel_order", "layout", "output", "widen") if name in options}
    chosen = OnnxOptions(WeightsOptions(**options), **own)  # type: ignore[arg-type]
    return export(opened(model, folder, chosen), folder / "bundle")


def operators(bundle: Bundle) -> list[str]:
    return [each.op_type for each in onnx.load(bundle.model).graph.node]


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (torch_style, {}),
        (lambda: torch_style(opset=7), {}),
        (lambda: torch_style(opset=9, end=["Softmax"]), {}),
        (lambda: torch_style(opset=24, batch=1, end=["LogSoftmax", "Identity"]), {}),
        (lambda: torch_style(channels=1), {}),
        (lambda: torch_style(channels=4), {}),
        (lambda: torch_style(side="S"), {"image_size": (24, 16)}),
        (tf2onnx_style, {}),
        (paddle_style, {"image_size": (16, 32), "resize": (16, 32)}),
        (keras_style, {"pixel_range": "0-255"}),
        (lambda: of_bytes("nchw"), {}),
        (lambda: of_bytes("nhwc"), {"channel_order": "bgr"}),
    ],
)
def test_imports_networks_of_other_tools(
    make: Callable[[], onnx.ModelProto], options: dict[str, object], tmp_path: Path
):
    bundle = imported(make(), tmp_path, **options)
    manifest = bundle.manifest
    assert (manifest.reference.kind, manifest.reference.name, manifest.network) == ("onnx", "net.onnx", None)
    assert manifest.labels == tuple(map(str, range(CLASSES)))
    assert not {"Softmax", "LogSoftmax", "Identity"} & set(operators(bundle))
    model = onnx.load(bundle.model)
    assert model.opset_import[0].version >= 18
    assert (model.producer_name, [each.name for each in model.graph.input]) == ("edgecnn", ["image"])
    for engine in bundle.proof().engines:
        assert engine.comparison.agreement == 1
    canonicalise(model)  # quantization begins with it


def test_cancels_the_transpose_of_the_file(tmp_path: Path):
    assert operators(imported(tf2onnx_style(), tmp_path)).count("Transpose") == 1


def test_bgr_equals_reversed_channels(tmp_path: Path):
    flipped = torch_style()
    (stem,) = (each for each in flipped.graph.initializer if each.name == "w")
    stem.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stem)[:, ::-1].copy(), "w"))
    (tmp_path / "rgb").mkdir()
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    bgr = imported(torch_style(), tmp_path, channel_order="bgr", mean=mean, std=std)
    rgb = imported(flipped, tmp_path / "rgb", mean=mean[::-1], std=std[::-1])
    assert "Gather" not in operators(bgr)
    assert bgr.manifest.preprocessing == rgb.manifest.preprocessing
    np.testing.assert_allclose(bgr.self_test().logits, rgb.self_test().logits, atol=1e-5)
    assert bgr.manifest.reference.digest != rgb.manifest.reference.digest


def test_bgr_without_a_first_convolution_gathers(tmp_path: Path):
    assert "Gather" in operators(imported(keras_style(), tmp_path, channel_order="bgr", pixel_range="0-255"))


def test_one_sigmoid_becomes_two_logits(tmp_path: Path):
    model = torch_style(classes=1, end=["Sigmoid"])
    bundle = imported(model, tmp_path, labels=("cat",))
    assert (bundle.manifest.labels, bundle.manifest.scores) == (("not cat", "cat"), Scores())
    logits = bundle.self_test().logits
    assert (logits[:, 0] == 0).all()
    assert np.ptp(logits[:, 1]) > 0


def test_one_value_without_dimensions_becomes_two_logits(tmp_path: Path):
    model = torch_style(classes=1)
    model.graph.node.append(node("Squeeze", ["logits", "last"], ["one"], "squeeze"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "last"))
    del model.graph.output[0].type.tensor_type.shape.dim[1]
    model.graph.output[0].name = "one"
    assert imported(model, tmp_path).manifest.labels == ("0", "1")


@pytest.mark.parametrize(
    ("kind", "scores"), [("sigmoid", Scores("sigmoid")), ("multi-label", Scores("sigmoid", multi_label=True))]
)
def test_sigmoid_of_several_outputs_is_removed(kind: str, scores: Scores, tmp_path: Path):
    bundle = imported(torch_style(end=["Sigmoid"]), tmp_path, scores=kind)
    assert bundle.manifest.scores == scores
    assert "Sigmoid" not in operators(bundle)


def test_widens_float16(tmp_path: Path):
    model = torch_style()
    for each in model.graph.initializer:
        each.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(each).astype(np.float16), each.name))
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    assert imported(model, tmp_path, widen=True).manifest.precision == "fp32"


def test_takes_one_of_several_outputs(tmp_path: Path):
    model = torch_style(end=["Softmax"])
    model.graph.output.append(onnx.helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, ["N", 8, 1, 1]))
    assert imported(model, tmp_path, output="end0").manifest.labels == tuple(map(str, range(CLASSES)))


def test_embeds_external_data(tmp_path: Path):
    model = torch_style()
    embedded = opened(model, tmp_path).digest
    (tmp_path / "data").mkdir()
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="data/w.bin", size_threshold=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WeightsNote)
        found = opening.open_onnx(tmp_path / "net.onnx", OnnxOptions())
    assert found.digest != embedded
    bundle = export(found, tmp_path / "bundle")
    assert [each.name for each in bundle.path.iterdir() if each.suffix == ".bin"] == []


def test_names_of_the_bundle_are_free(tmp_path: Path):
    nodes = [*body("image"), head("normalized"), node("Softmax", ["normalized"], ["logits"])]
    model = graph(nodes, layers(), {"image": ["N", 3, SIDE, SIDE]}, {"logits": ["N", CLASSES]})
    imported(model, tmp_path)


def test_inlines_functions(tmp_path: Path):
    model = torch_style()
    model.graph.node[2].domain, model.graph.node[2].op_type = "mine", "Act"
    opsets = [onnx.helper.make_opsetid("", 17)]
    model.functions.append(onnx.helper.make_function("mine", "Act", ["a"], ["b"], [node("Relu", ["a"], ["b"])], opsets))
    model.opset_import.append(onnx.helper.make_opsetid("mine", 1))
    assert "Relu" in operators(imported(model, tmp_path))


def test_note_names_what_is_assumed(tmp_path: Path):
    with pytest.warns(WeightsNote, match=r"assumed: resize of .*, mean 0.485.*\(in the order red, green, blue\)"):
        opening.open_onnx(saved(torch_style(), tmp_path), OnnxOptions(channel_order="bgr"))


def test_identity_depends_on_the_options(tmp_path: Path):
    model = torch_style()
    found = {identity_of(opened(model, tmp_path, options)) for options in (OnnxOptions(), OnnxOptions())}
    assert len(found) == 1
    assert identity_of(opened(model, tmp_path, OnnxOptions(channel_order="bgr"))) not in found


def test_uint8_needs_no_normalisation(tmp_path: Path):
    with pytest.raises(UsageError, match="normalises pixels itself: remove --mean"):
        imported(of_bytes("nhwc"), tmp_path, mean=(0.5,) * 3)


def test_labels_must_match_the_outputs(tmp_path: Path):
    with pytest.raises(UsageError, match=r"has 2 names, .*net.onnx has 5 classes"):
        imported(torch_style(), tmp_path, labels=("a", "b"))


def test_grey_images_have_no_order(tmp_path: Path):
    with pytest.raises(UsageError, match="bgr is for colour images"):
        imported(torch_style(channels=1), tmp_path, channel_order="bgr")
