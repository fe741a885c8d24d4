"""Convert a PyTorch network to the ONNX graph of a bundle.

The graph takes uint8 [N, H, W, C] and normalises it with one BatchNormalization node. Each node is named after its
PyTorch module. Other exporter metadata (source paths, stack traces) is removed.
"""

import ast
import contextlib
import io
import logging
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from torch import nn

from edgecnn.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.errors import EdgecnnError
from edgecnn.pipeline.versions import versions

OPSET = 18
"""The native opset of PyTorch's exporter. Any other opset would need a conversion."""

_EXAMPLE_BATCH = 2  # with one image, torch.export would treat the batch as a constant
_NETWORK = "model"
_TORCH = Path(torch.__file__).parents[1]
"""The folder of installed packages. An error's last line outside is the network's own."""


class Deployable(nn.Module):
    """A network that takes a bundle's input, uint8 [N, H, W, C], and returns logits."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.normalize = _normalization(preprocessing)
        self.add_module(_NETWORK, network)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits of preprocessed images."""
        logits: torch.Tensor = self.get_submodule(_NETWORK)(self.normalize(image.permute(0, 3, 1, 2).float()))
        return logits


def to_onnx(network: nn.Module, preprocessing: Preprocessing, image_shape: tuple[int, int, int]) -> onnx.ModelProto:
    """Export a network with PyTorch's exporter.

    Args:
        network: takes normalised float32 [N, C, H, W] and returns logits.
        preprocessing: its mean and standard deviation become part of the graph.
        image_shape: height, width and channels.

    Raises:
        EdgecnnError: PyTorch cannot export the network.
    """
    example = torch.zeros((_EXAMPLE_BATCH, *image_shape), dtype=torch.uint8)
    batch = {"image": {0: torch.export.Dim("batch", min=1)}}
    try:
        with _quiet():
            program = torch.onnx.export(
                Deployable(network, preprocessing).eval(),
                (example,),
                dynamo=True,
                dynamic_shapes=batch,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # the exporter traces the network and can raise any exception
        raise EdgecnnError(f"PyTorch cannot export this network: {_cause(error)}") from error
    assert program is not None
    return tidy(program.model_proto)


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name nodes and tensors after their PyTorch modules, remove other metadata, and return the same model."""
    prefix = f"{_NETWORK}."  # `model.conv1.weight` becomes `conv1.weight`
    renamed = {initializer.name: initializer.name.removeprefix(prefix) for initializer in model.graph.initializer}
    taken: Counter[str] = Counter()
    for node in model.graph.node:
        name = _node_name(node)
        taken[name] += 1
        node.name = name if taken[name] == 1 else f"{name}_{taken[name] - 1}"
        for position, output in enumerate(node.output):
            if output != OUTPUT_NAME:
                renamed[output] = node.name if position == 0 else f"{node.name}:{position}"
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
        node.doc_string = ""
        del node.metadata_props[:]
    for initializer in model.graph.initializer:
        initializer.name = renamed.get(initializer.name, initializer.name)
    _strip(model)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def _cause(error: BaseException) -> str:
    """Return the first error of a chain on one line, with the line of the network's code if there is one."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not Path(frame.filename).is_relative_to(_TORCH)]
    at = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    text = " ".join(str(error).split())
    if "data-dependent" in text:
        return f"its control flow depends on the values of the images{at}: use torch.where, or move it out of forward"
    return f"{type(error).__name__}: {text[:200]}{at}"


def _normalization(preprocessing: Preprocessing) -> nn.BatchNorm2d:
    """Return (pixel / 255 - mean) / std as one normalisation layer for pixels in 0..255."""
    layer = nn.BatchNorm2d(preprocessing.channels, affine=False)
    mean = torch.tensor(preprocessing.mean, dtype=torch.float64) * 255
    variance = (torch.tensor(preprocessing.std, dtype=torch.float64) * 255) ** 2 - layer.eps
    layer.running_mean = mean.float()
    layer.running_var = variance.float()
    return layer


def _node_name(node: onnx.NodeProto) -> str:
    """Return `module/Operator`. A layer with weights is named after them, because it may have a fused batch norm."""
    weights = [name for name in node.input[1:2] if name.endswith(".weight")]
    scope = weights[0].removesuffix(".weight") if weights else _scope(node)
    module = scope.removeprefix(_NETWORK).removeprefix(".")
    return f"{module}/{node.op_type}" if module else node.op_type


def _scope(node: onnx.NodeProto) -> str:
    """Return the PyTorch module from the exporter's metadata: `['', 'model', 'model.conv1', 'conv2d']`."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes = ast.literal_eval(entry.value)
            modules = [scope for scope in scopes[:-1] if not scope.startswith("_")]
            return str(modules[-1]) if modules else ""
    return ""


def _strip(model: onnx.ModelProto) -> None:
    graph = model.graph
    del model.metadata_props[:]
    del graph.metadata_props[:]
    del graph.value_info[:]
    for item in (*graph.input, *graph.output, *graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]
    model.doc_string = graph.doc_string = ""
    graph.name = "edgecnn"
    model.producer_name, model.producer_version = "edgecnn", versions()["edgecnn"]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's messages. The parity check detects real problems."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        hidden = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(hidden), contextlib.redirect_stderr(hidden):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
