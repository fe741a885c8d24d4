"""The peers' models of one network: an ONNX export, and quantized models from other tools, with the same images.

Existing files are kept. A tool that fails leaves no file; the reason is printed.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from benchmarks.engines.mobile_models import build_mobile
from benchmarks.engines.mobile_peers import CALIBRATION, EXECUTORCH, LITERT, NETWORK
from benchmarks.engines.peers import FP32, INPUT, NNCF_INT4, NNCF_IR, NNCF_ONNX, ORT_INT4, ORT_INT8
from benchmarks.quantization.quantizers import Reader

_USER_INPUT = "input"
_BLOCK = 128
"""Weights that share a scale in 4 bits."""


@dataclass(frozen=True)
class Source:
    """What the peers' models are made from.

    Attributes:
        network: returns the network in PyTorch, in evaluation mode.
        images: returns the calibration images, float32 [N, C, H, W], normalised.
    """

    network: Callable[[], torch.nn.Module]
    images: Callable[[], np.ndarray]


def build_peers(folder: Path, source: Source, *, mobile: tuple[str, ...] = (LITERT, EXECUTORCH)) -> None:
    """Build the missing models; `mobile` are files of `mobile_models.py`."""
    steps: dict[str, Callable[[Path], object]] = {
        INPUT: lambda path: np.save(path, source.images()[:1]),
        FP32: lambda path: _export_as_a_user(source, path),
        ORT_INT8: lambda path: _quantize_static(folder, source, path),
        ORT_INT4: lambda path: _quantize_static(folder, source, path, linear_in_int4=True),
        NNCF_ONNX: lambda path: onnx.save(_nncf(onnx.load(str(folder / FP32)), source), str(path)),
        NNCF_IR: lambda path: _nncf_openvino(folder, source, path),
        NNCF_INT4: lambda path: _nncf_openvino(folder, source, path, linear_in_int4=True),
    }
    for name, make in steps.items():
        timed(folder / name, lambda path, make=make: keep(path, make))  # type: ignore[misc]  # mypy does not support this default
    missing = [name for name in mobile if not (folder / name).exists()]
    if missing:
        timed(folder / CALIBRATION, lambda path: np.save(path, source.images()))
        timed(folder / NETWORK, lambda path: _export_program(source, path))
    for name in missing:
        timed(folder / name, lambda path: keep(path, build_mobile, inputs=(CALIBRATION, NETWORK, FP32)))


def timed(path: Path, make: Callable[[Path], object]) -> None:
    """Make a missing file, and print how long it took, or why it failed."""
    if path.exists():
        return
    start = time.perf_counter()
    try:
        make(path)
    except Exception as error:  # a peer can raise any exception
        print(f"{path.parent.name}: {path.name} failed: {' '.join(str(error).split())[:300]}", flush=True)
    else:
        print(f"{path.parent.name}: {path.name} in {time.perf_counter() - start:.0f} s", flush=True)


def keep(path: Path, make: Callable[[Path], object], inputs: tuple[str, ...] = ()) -> None:
    """Write a file and its companions to another folder first, so that an existing file is always complete.

    `inputs` are files that `make` reads from the same folder.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for name in inputs:
            (Path(folder) / name).symlink_to(path.parent.absolute() / name)
        make(Path(folder) / path.name)
        made = [file for file in Path(folder).iterdir() if not file.is_symlink()]
        for file in sorted(made, key=lambda file: file.name == path.name):
            file.replace(path.parent / file.name)


def _export_as_a_user(source: Source, path: Path) -> None:
    """Export as in PyTorch's tutorial: one normalised float32 image as input, fixed shapes, for all engines."""
    example = (torch.from_numpy(source.images()[:1]),)
    torch.onnx.export(
        source.network(), example, path, dynamo=True, external_data=False, input_names=[_USER_INPUT], verbose=False
    )


def _export_program(source: Source, path: Path) -> None:
    torch.export.save(torch.export.export(source.network(), (torch.from_numpy(source.images()[:1]),)), path)


def _quantize_static(folder: Path, source: Source, path: Path, *, linear_in_int4: bool = False) -> None:
    """Quantize as in ONNX Runtime's documentation: with preprocessing, U8S8, QDQ, one scale per channel, min-max.

    With `linear_in_int4`, its `MatMulNBitsQuantizer` compresses the linear layers instead.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quant_pre_process, quantize_static

    prepared, quantized = path.with_name("prepared.onnx"), path.with_name("quantized.onnx")
    quant_pre_process(folder / FP32, prepared)
    linear = [node.name for node in onnx.load(str(prepared)).graph.node if node.op_type == "Gemm"]
    quantize_static(
        prepared,
        quantized,
        Reader(_USER_INPUT, (image[np.newaxis] for image in source.images())),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=linear if linear_in_int4 else [],
    )
    prepared.unlink()
    if linear_in_int4:
        onnx.save(_in_int4(onnx.load(str(quantized))), str(quantized))
    quantized.replace(path)


def _in_int4(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store the weights of linear layers in 4 bits: asymmetric, computed in INT8, the fastest level."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    gemms_as_matmuls(model)
    quantizer = MatMulNBitsQuantizer(model, bits=4, block_size=_BLOCK, is_symmetric=False, accuracy_level=4)
    quantizer.process()
    found: onnx.ModelProto = quantizer.model.model
    return found


def gemms_as_matmuls(model: onnx.ModelProto) -> None:
    """Replace each Gemm with constant weights by MatMul and Add: the quantizer supports MatMul only."""
    constants = {each.name: each for each in model.graph.initializer}
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        transposed = any(each.name == "transB" and each.i for each in node.attribute)
        if node.op_type != "Gemm" or node.input[1] not in constants:
            model.graph.node.append(node)
            continue
        weights = constants[node.input[1]]
        if transposed:
            values = np.ascontiguousarray(numpy_helper.to_array(weights).T)
            weights.CopyFrom(numpy_helper.from_array(values, weights.name))
        product, bias = f"{node.name}_product", node.input[2]
        model.graph.node.append(helper.make_node("MatMul", node.input[:2], [product], node.name))
        model.graph.node.append(helper.make_node("Add", [product, bias], node.output, f"{node.name}_bias"))


def _nncf(model: Any, source: Source, **options: Any) -> Any:
    """Quantize an ONNX graph or an OpenVINO model with NNCF's defaults."""
    import nncf

    images = source.images()
    dataset = nncf.Dataset([{_USER_INPUT: image[np.newaxis]} for image in images])
    return nncf.quantize(model, dataset, subset_size=len(images), **options)


def _nncf_openvino(folder: Path, source: Source, path: Path, *, linear_in_int4: bool = False) -> None:
    """Quantize for OpenVINO. With `linear_in_int4`, `nncf.compress_weights` compresses the linear layers instead."""
    import nncf
    import openvino

    model = openvino.convert_model(folder / FP32)
    if linear_in_int4:
        linear = [each.get_friendly_name() for each in model.get_ops() if each.get_type_name() == "MatMul"]
        model = nncf.compress_weights(
            _nncf(model, source, ignored_scope=nncf.IgnoredScope(names=linear)),
            mode=nncf.CompressWeightsMode.INT4_ASYM,
            group_size=_BLOCK,
            ratio=1.0,
            all_layers=True,
            advanced_parameters=nncf.AdvancedCompressionParameters(
                group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST  # layers whose inputs 128 does not divide
            ),
            ignored_scope=nncf.IgnoredScope(types=["Convolution"]),
        )
    else:
        model = _nncf(model, source)
    openvino.save_model(model, path)
