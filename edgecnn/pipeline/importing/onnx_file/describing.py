"""Describe an ONNX file, also one that edgecnn cannot take, and suggest the command that imports it."""

import contextlib
import math
import shlex
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from edgecnn.errors import EdgecnnError, EngineError, UsageError
from edgecnn.pipeline.canonical.support import OTHER_FLOATS, all_nodes
from edgecnn.pipeline.importing.onnx_file.image_input import find_input, sizes_of, true_inputs, type_text
from edgecnn.pipeline.importing.onnx_file.options import OnnxOptions
from edgecnn.pipeline.importing.onnx_file.reading import OnnxFile, tensors_of
from edgecnn.pipeline.importing.onnx_file.running import FileRunner
from edgecnn.pipeline.importing.onnx_file.scores_output import find_output
from edgecnn.pipeline.importing.onnx_file.taking import classifier_of, take
from edgecnn.pipeline.importing.onnx_file.widening import widen
from edgecnn.pipeline.importing.options import WeightsOptions

_IMAGE_SIZE = "--image-size H,W"
_USUAL = 224
_LONGEST = 200
_MOST = 50  # inputs, outputs and operators in a description


@dataclass(frozen=True)
class NamedTensor:
    """An input or output: its name, and its type and shape as text."""

    name: str
    type: str


@dataclass(frozen=True)
class Description:
    """An ONNX file.

    Attributes:
        producer: name and version of the tool that wrote it; may be empty.
        ir_version: version of the file format.
        opsets: version of the operators by domain.
        size_bytes: size of the file, with its external data.
        parameters: number of values in all constants.
        inputs: without constants.
        outputs: of the whole graph.
        operators: number of nodes by operator, the most frequent first.
        command: the command that imports it; capital letters must be filled in. None if it cannot be imported.
        reason: why it cannot be imported; None if it can.
    """

    producer: str
    ir_version: int
    opsets: dict[str, int]
    size_bytes: int
    parameters: int
    inputs: tuple[NamedTensor, ...]
    outputs: tuple[NamedTensor, ...]
    operators: dict[str, int]
    command: str | None
    reason: str | None


def describe(file: OnnxFile, path: Path) -> Description:
    """Describe a file. `path` is part of the command."""
    model = file.model
    counts = Counter(node.op_type[:_LONGEST] for node in all_nodes(model))
    try:
        command, reason = _command(file, path), None
    except EdgecnnError as error:
        command, reason = None, " ".join(str(error).split())
    except Exception as error:  # an untrusted graph: the exceptions of protobuf, onnx and NumPy have no common base
        command, reason = None, f"the graph is not valid: {' '.join(str(error).split())[:_LONGEST]}"
    return Description(
        " ".join(f"{model.producer_name} {model.producer_version}".split())[:_LONGEST],
        model.ir_version,
        {each.domain[:_LONGEST] or "ai.onnx": each.version for each in model.opset_import},
        file.size_bytes,
        sum(math.prod(each.dims) for each in tensors_of(model)),
        _tensors(true_inputs(model.graph)),
        _tensors(list(model.graph.output)),
        dict(counts.most_common(_MOST)),
        command,
        reason,
    )


def _tensors(infos: list[onnx.ValueInfoProto]) -> tuple[NamedTensor, ...]:
    return tuple(NamedTensor(each.name[:_LONGEST], type_text(each)) for each in infos[:_MOST])


def _command(file: OnnxFile, path: Path) -> str:
    """Return the command that imports a file.

    Raises:
        EdgecnnError: it cannot be imported.
    """
    options = OnnxOptions(widen=_needs_widening(file.model))
    graph = (widen(file.model) if options.widen else file.model).graph
    stated, needed = (["--widen"] if options.widen else []), _needed(graph)
    if not needed:
        take(file, options)
    elif needed[0] == _IMAGE_SIZE:
        _check_output(file, options)
    is_float = any(each.type.startswith("float") for each in _tensors(true_inputs(graph)))
    normalised = ["--mean M,M,M --std S,S,S"] if is_float else []
    return " ".join(
        ["edgecnn import", shlex.quote(str(path)), *stated, *needed, *normalised, "--labels FILE --out FOLDER"]
    )


def _check_output(file: OnnxFile, options: OnnxOptions) -> None:
    """Check with images of a usual size that a graph of any image size returns one value for each class.

    Raises:
        OnnxFileError: it does not.
    """
    graph = file.model.graph
    image = find_input(graph, None)
    size = (image.height or _USUAL, image.width or _USUAL)
    guess = replace(options, weights=WeightsOptions(image_size=size), output=graph.output[0].name)
    found = classifier_of(file, guess, None, 0)
    with contextlib.suppress(EngineError):  # the size may be wrong
        runner = FileRunner(found.model, found.image, found.scores)
        runner.logits(np.zeros((image.batch or 1, image.channels, *size), np.float32), image.batch)


def _needed(graph: onnx.GraphProto) -> list[str]:
    """Return the options without which a graph cannot be imported, with placeholders."""
    needed = []
    try:
        image = find_input(graph, None)
    except UsageError:
        needed.append("--layout nchw|nhwc")
    else:
        if image.height is None or image.width is None:
            needed.append(_IMAGE_SIZE)
    if len(graph.output) > 1:
        return [*needed, "--output NAME"]
    output = find_output(graph, None)
    sizes = sizes_of(graph.output[0])
    if output.activation == "Sigmoid" and sizes[1:] != [1] and len(sizes) != 1:
        needed.append("--scores sigmoid|multi-label")
    return needed


def _needs_widening(model: onnx.ModelProto) -> bool:
    """Return whether an input, an output or weights are of another float type than float32."""
    ends = (*true_inputs(model.graph), *model.graph.output)
    kinds = [each.type.tensor_type.elem_type for each in ends]
    return any(kind in OTHER_FLOATS for kind in kinds) or any(
        each.data_type in OTHER_FLOATS and len(each.dims) > 1 for each in model.graph.initializer
    )
