"""The peak of a machine: the packaged graphs compute what is counted, in the precision that is named."""

import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from repository import REPOSITORY

from edgecnn.bundle.limits import PORTABLE_RANGE
from edgecnn.errors import EngineError, EngineMissing, PrecisionUnavailable, UsageError
from edgecnn.runtime.engines.backend import Device, SessionInfo, SessionOptions
from edgecnn.runtime.engines.backends import get_backend, installed
from edgecnn.tuning.measuring import peak
from edgecnn.tuning.measuring.peak import PeakPrecision, machine_peak, measure_peak

sys.path.insert(0, str(REPOSITORY / "scripts"))
import peak_graph

sys.path.pop(0)

ENGINES = pytest.mark.parametrize("engine", installed())
GRAPHS = pytest.mark.parametrize("precision", peak_graph.PRECISIONS)
SHAPE = (2, peak_graph.SIDE, peak_graph.SIDE, peak_graph.CHANNELS)


def packaged(precision: PeakPrecision) -> Path:
    return Path(peak.__file__).with_name(f"peak_{precision}.onnx")


def expected(images: np.ndarray) -> np.ndarray:
    """The chain in float64: all taps of a window weigh the same, and channels are mixed by the pattern."""
    rows = np.array([np.roll(peak_graph.PATTERN, row) for row in range(8)]) / sum(peak_graph.PATTERN)
    mixing = np.tile(rows, (SHAPE[-1] // 8, SHAPE[-1] // 8)) / (SHAPE[-1] // 8)
    maps = images / 255
    for _ in range(peak_graph.LAYERS):
        side = maps.shape[1] - 2
        maps = np.mean([maps[:, y : y + side, x : x + side] for y in range(3) for x in range(3)], axis=0) @ mixing.T
    return maps.mean(axis=(1, 2))


def uneven() -> np.ndarray:
    """Images whose channels differ, so that weights in the wrong order give other numbers."""
    levels = np.array([250, 10, 200, 30, 90, 220, 60, 140]).repeat(SHAPE[-1] // 8).reshape(8, -1).T.ravel()
    noise = np.random.default_rng(0).integers(-10, 6, SHAPE)
    return (levels + noise).astype(np.uint8)


@GRAPHS
def test_the_script_writes_what_is_packaged_and_that_is_small(precision: PeakPrecision):
    content = packaged(precision).read_bytes()
    assert peak_graph.graph(precision).SerializeToString(deterministic=True) == content
    assert len(content) < 10_000


@GRAPHS
def test_the_operations_that_are_counted_are_those_of_the_graph(precision: PeakPrecision):
    model = onnx.shape_inference.infer_shapes(peak_graph.graph(precision), strict_mode=True, data_prop=True)
    shapes = {
        info.name: [dimension.dim_value for dimension in info.type.tensor_type.shape.dim]
        for info in (*model.graph.value_info, *model.graph.input)
    }
    layers = [node for node in model.graph.node if node.op_type == "Conv"]
    counted = sum(math.prod(shapes[node.output[0]][1:]) * math.prod(shapes[node.input[1]][1:]) for node in layers)
    assert counted == peak._MACS
    assert shapes["image"][1:] == list(peak._SHAPE)


def test_the_weights_are_portable():
    assert max(peak_graph.PATTERN) == PORTABLE_RANGE
    assert min(peak_graph.PATTERN) > 0


@ENGINES
@GRAPHS
def test_every_engine_gives_the_right_numbers(engine: str, precision: PeakPrecision):
    images = uneven()
    session = get_backend(engine).open(packaged(precision), SessionOptions(threads=1))
    found, right = session.run(images), expected(images)
    assert np.ptp(right) > 0.05
    # Each layer is rounded to a level: half a level at most, and what follows averages it.
    assert np.abs(found - right).max() < (1e-5 if precision == "fp32" else 4 * 0.5 / 255)


def test_onnx_runtime_computes_the_int8_graph_in_int8(tmp_path: Path):
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    settings.log_severity_level = 3
    onnxruntime.InferenceSession(str(packaged("int8")), settings, providers=["CPUExecutionProvider"])
    found = Counter(node.op_type for node in onnx.load(str(tmp_path / "optimized.onnx")).graph.node)
    assert (found["QLinearConv"], found["Conv"], found["Tile"]) == (peak_graph.LAYERS, 0, 0)


@pytest.mark.parametrize(("precision", "integers"), [("int8", peak_graph.LAYERS), ("fp32", 0)])
def test_openvino_computes_each_graph_in_its_own_precision(precision: PeakPrecision, integers: int):
    import openvino

    compiled = openvino.Core().compile_model(str(packaged(precision)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    facts = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    kinds = Counter(fact["layerType"].astype(str) for fact in facts)
    ran = [fact["runtimePrecision"].astype(str) for fact in facts if fact["layerType"].astype(str) == "Convolution"]
    assert (len(ran), sum(name in ("u8", "i8") for name in ran), kinds["Tile"]) == (peak_graph.LAYERS, integers, 0)


@ENGINES
@GRAPHS
def test_a_peak_is_positive_and_finite(engine: str, precision: PeakPrecision):
    found = measure_peak(get_backend(engine), precision=precision, threads=1, seconds=0.01)
    assert 0 < found < math.inf


def test_the_machines_peak_is_the_higher_engines_and_names_it():
    found = machine_peak("int8", 2, seconds=0.01)
    assert found.engine in installed()
    assert 0 < found.ops_per_s < math.inf


def test_an_engine_without_the_precision_says_so_and_is_left_out():
    with pytest.raises(PrecisionUnavailable):
        measure_peak(get_backend("onnxruntime"), precision="bf16", threads=1, seconds=0.01)
    try:
        assert machine_peak("bf16", 1, seconds=0.01).engine == "openvino"
    except EngineError as error:  # this processor has none
        assert isinstance(error, PrecisionUnavailable)  # noqa: PT017


def test_without_an_engine_there_is_no_peak(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peak, "installed", lambda: ())
    with pytest.raises(EngineMissing, match="no engine is installed"):
        machine_peak("fp32", 1)


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_is_a_usage_error(threads: int):
    with pytest.raises(UsageError, match=f"found {threads}"):
        measure_peak(Counting(), precision="fp32", threads=threads)


class Counting:
    """An engine that notes what it is asked, and answers at once."""

    name = "counting"
    symmetric_int8_only: frozenset[str] = frozenset()
    has_exact_int8 = False

    def __init__(self) -> None:
        self.asked: list[tuple[str, SessionOptions]] = []
        self.batches: list[int] = []

    def devices(self) -> tuple[Device, ...]:
        return (Device("cpu", "fake"),)

    def open(self, model: Path, options: SessionOptions) -> "Answers":
        self.asked.append((model.name, options))
        return Answers(self.batches)


class Answers:
    concurrency = 1
    info = SessionInfo("counting", "0", "cpu", "fp32", 1)

    def __init__(self, batches: list[int]) -> None:
        self._batches = batches

    def run(self, images: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        self._batches.append(len(images))
        return np.zeros((len(images), SHAPE[-1]), np.float32)

    def close(self) -> None:
        self._batches.append(0)


@pytest.mark.parametrize(
    ("precision", "graph", "floats"),
    [
        ("fp32", "peak_fp32.onnx", "fp32"),
        ("bf16", "peak_fp32.onnx", "bf16"),
        ("int8", "peak_int8.onnx", "fp32"),
    ],
)
def test_each_precision_has_its_graph_and_each_thread_its_image(precision: PeakPrecision, graph: str, floats: str):
    engine = Counting()
    measure_peak(engine, precision=precision, threads=3, seconds=0)
    ((name, options),) = engine.asked
    assert (name, options.precision, options.threads, options.device) == (graph, floats, 3, "cpu")
    assert engine.batches == [3] * (1 + peak._LEAST_RUNS) + [0]  # one to prepare; closed at the end
