"""Give the graph of an ONNX classifier the input and output of a bundle."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgecnn.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import EdgecnnError, OnnxFileError
from edgecnn.pipeline.canonical.canonicalising import cause
from edgecnn.pipeline.canonical.editing import GraphEditor
from edgecnn.pipeline.canonical.naming import make_names_unique
from edgecnn.pipeline.canonical.simplification import raise_opset, remove_unused, simplify
from edgecnn.pipeline.canonical.support import OTHER_FLOATS, called, check_operators
from edgecnn.pipeline.canonical.windows import write_out_windows
from edgecnn.pipeline.importing.onnx_file.batch import free_batch
from edgecnn.pipeline.importing.onnx_file.channels import reverse_channels
from edgecnn.pipeline.importing.onnx_file.image_input import ImageInput, true_inputs
from edgecnn.pipeline.importing.onnx_file.scores_output import ScoresOutput
from edgecnn.pipeline.versions import versions

_TO_NCHW, _TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]
_EPSILON = 1e-5
_NORMALISED = "normalized"


@dataclass(frozen=True)
class Classifier:
    """A graph that edgecnn can take, and how to feed and read it.

    Attributes:
        model: the graph, without functions.
        image: its input.
        scores: its output.
        batch: number of images that it takes; None for any number.
        outputs: number of values for each image.
        is_binary: whether its only value z becomes the two logits (0, z).
        is_bgr: whether it takes blue, green and red.
        size: height and width of the images.
    """

    model: onnx.ModelProto
    image: ImageInput
    scores: ScoresOutput
    batch: int | None
    outputs: int
    is_binary: bool
    is_bgr: bool
    size: tuple[int, int]


def adapt(classifier: Classifier, preprocessing: Preprocessing) -> onnx.ModelProto:
    """Return the graph of a bundle: it takes `image`, uint8 [N, H, W, C], and returns `logits`, float32 [N, K].

    Mean and standard deviation become a BatchNormalization. A softmax or sigmoid at the end is removed. The batch is
    freed if it was fixed.

    Raises:
        OnnxFileError, UnsupportedOperator: edgecnn cannot take the graph.
    """
    try:
        model = raise_opset(_cut(classifier))
        _rename(model, (INPUT_NAME, OUTPUT_NAME, _NORMALISED))
        _begin(model, classifier, preprocessing)
        _end(model, classifier)
        if classifier.batch is not None:
            free_batch(model, classifier.batch)
        write_out_windows(GraphEditor(model))
        model = simplify(model)
        if classifier.batch is not None:
            free_batch(model, classifier.batch)  # targets that were computed are constants now
        _check(model)
        if classifier.is_bgr:
            name, axis = (INPUT_NAME, 3) if classifier.image.is_uint8 else (_NORMALISED, 1)
            reverse_channels(model, name, axis=axis, channels=classifier.image.channels)
        model = remove_unused(model)
        make_names_unique(model.graph)
        return onnx.shape_inference.infer_shapes(_plain(model), strict_mode=True)
    except EdgecnnError:
        raise
    except Exception as error:  # the exceptions of protobuf, onnx, onnxscript and NumPy have no common base class
        raise OnnxFileError(f"cannot convert the graph: {cause(error)}") from error


def _cut(classifier: Classifier) -> onnx.ModelProto:
    """Return a copy with one image as input, and the logits as the only output."""
    model = onnx.ModelProto()
    model.CopyFrom(classifier.model)
    graph = model.graph
    del graph.value_info[:], graph.output[:]  # the batch may be fixed there
    graph.output.append(helper.make_tensor_value_info(classifier.scores.logits, TensorProto.FLOAT, None))
    (image,) = true_inputs(graph)
    sizes = [classifier.image.channels, *classifier.size]
    if classifier.image.layout == "nhwc":
        sizes = [*sizes[1:], sizes[0]]
    image.CopyFrom(helper.make_tensor_value_info(image.name, image.type.tensor_type.elem_type, ["N", *sizes]))
    return model


def _rename(model: onnx.ModelProto, taken: Sequence[str]) -> None:
    """Give each tensor another name that has one of the names of a bundle."""
    editor = GraphEditor(model)
    names = {name: editor.unique(f"own_{name}") for name in taken}
    for node in model.graph.node:
        _replace(node, names)
    for each in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        each.name = names.get(each.name, each.name)


def _replace(node: onnx.NodeProto, names: dict[str, str]) -> None:
    """Rename tensors in a node, also in its nested graphs."""
    for tensors in (node.input, node.output):
        tensors[:] = [names.get(name, name) for name in tensors]
    for each in node.attribute:
        for graph in (*([each.g] if each.HasField("g") else []), *each.graphs):
            for inner in graph.node:
                _replace(inner, names)
            for end in (*graph.input, *graph.output, *graph.initializer):
                end.name = names.get(end.name, end.name)


def _begin(model: onnx.ModelProto, classifier: Classifier, preprocessing: Preprocessing) -> None:
    """Let the graph take `image`, and normalise it."""
    graph, image = model.graph, classifier.image
    first = graph.input[0].name
    shape: list[str | int | None] = ["N", *classifier.size, image.channels]
    graph.input[0].CopyFrom(helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, shape))
    editor = GraphEditor(model)
    if image.is_uint8:
        perm = [0, 1, 2, 3] if image.layout == "nhwc" else _TO_NCHW
        _insert(graph, [helper.make_node("Transpose", [INPUT_NAME], [first], "Transpose", perm=perm)])
        return
    mean, std = (np.array(each, np.float64) * 255 for each in (preprocessing.mean, preprocessing.std))
    values = {"scale": np.ones_like(mean), "bias": 0 * mean, "mean": mean, "variance": std**2 - _EPSILON}
    constants = [editor.add_constant(f"normalize.{name}", value.astype(np.float32)) for name, value in values.items()]
    planar, pixels = editor.unique("planar"), editor.unique("pixels")
    last = editor.unique(_NORMALISED)
    nodes = [
        helper.make_node("Transpose", [INPUT_NAME], [planar], "Transpose", perm=_TO_NCHW),
        helper.make_node("Cast", [planar], [pixels], "Cast", to=TensorProto.FLOAT),
        helper.make_node("BatchNormalization", [pixels, *constants], [last], "normalize", epsilon=_EPSILON),
    ]
    if image.layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [last], [first], "to_nhwc", perm=_TO_NHWC))
    else:
        nodes.append(helper.make_node("Identity", [last], [first], "to_nchw"))
    _insert(graph, nodes)


def _insert(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    for index, node in enumerate(nodes):
        graph.node.insert(index, node)


def _end(model: onnx.ModelProto, classifier: Classifier) -> None:
    """Let the graph return `logits`, [N, K]."""
    graph, editor = model.graph, GraphEditor(model)
    found = graph.output[0].name
    rows = OUTPUT_NAME if not classifier.is_binary else editor.unique("logit")
    if _is_matrix(editor, found, classifier.outputs):
        graph.node.append(helper.make_node("Identity", [found], [rows], "logits/Identity"))
    else:
        target = editor.add_constant("logits_shape", np.array([-1, classifier.outputs]))
        graph.node.append(helper.make_node("Reshape", [found, target], [rows], "logits/Reshape"))
    if classifier.is_binary:
        pads = editor.add_constant("logit_pads", np.array([0, 1, 0, 0]))
        graph.node.append(helper.make_node("Pad", [rows, pads], [OUTPUT_NAME], "logits/Pad"))
    classes = 2 if classifier.is_binary else classifier.outputs
    graph.output[0].CopyFrom(helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["N", classes]))


def _is_matrix(editor: GraphEditor, name: str, outputs: int) -> bool:
    """Return whether a tensor is known to be [N, K]."""
    shape = editor.shape(name)
    return shape is not None and len(shape) == 2 and shape[1] == outputs


def _check(model: onnx.ModelProto) -> None:
    """Check a graph after constants were folded: its float types and control flow."""
    for tensor in model.graph.initializer:
        if tensor.data_type in OTHER_FLOATS:
            kind = OTHER_FLOATS[tensor.data_type]
            raise OnnxFileError(
                f"the weights {tensor.name!r} are {kind}, expected float32: add --widen to convert the graph"
            )
    for node in model.graph.node:
        kinds = [each.i for each in node.attribute if each.name == "to" and each.i in OTHER_FLOATS]
        if node.op_type == "Cast" and kinds:
            raise OnnxFileError(
                f"{called(node)} converts to {OTHER_FLOATS[kinds[0]]}: add --widen to compute in float32"
            )
    check_operators(model)


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the metadata of other tools from a graph, and return it."""
    del model.metadata_props[:], model.graph.value_info[:], model.graph.metadata_props[:]
    for each in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        each.doc_string = ""
        del each.metadata_props[:]
    model.doc_string = model.graph.doc_string = model.domain = ""
    model.model_version = 0
    model.graph.name = model.producer_name = "edgecnn"
    model.producer_version = versions()["edgecnn"]
    return model
