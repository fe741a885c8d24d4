"""The machine's peak: number of operations and precision of the packaged graphs."""

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
from edgecnn.runtime.engines.engine import Device, SessionInfo, SessionOptions
from edgecnn.runtime.engines.registry import get_engine, installed
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
    """Return the result in float64. All taps of a window have the same weight; `PATTERN` mixes the channels."""
    rows = np.array([np.roll(peak_graph.PATTERN, row) for row in range(8)]) / sum(peak_graph.PATTERN)
    mixing = np.tile(rows, (SHAPE[-1] // 8, SHAPE[-1] // 8)) / (SHAPE[-1] // 8)
    maps = images / 255
    for _ in range(peak_graph.LAYERS):
        side = maps.shape[1] - 2
        maps = np.mean([maps[:, y : y + side, x : x + side] for y in range(3) for x in range(3)], axis=0) @ mixing.T
    return maps.mean(axis=(1, 2))


def uneven() -> np.ndarray:
    """Return images whose channels differ, so that a wrong order of the weights changes the result."""
    levels = np.array([250, 10, 200, 30, 90, 220, 60, 140]).repeat(SHAPE[-1] // 8).reshape(8, -1).T.ravel()
    noise = np.random.default_rng(0).integers(-10, 6, SHAPE)
    return (levels + noise).astype(np.uint8)


@GRAPHS
def test_packaged_graph_is_reproducible_and_small(precision: PeakPrecision):
    content = packaged(precision).read_bytes()
    assert peak_graph.graph(precision).SerializeToString(deterministic=True) == content
    assert len(content) < 10_000


@GRAPHS
def test_counts_the_operations_of_the_graph(precision: PeakPrecision):
    model = onnx.shape_inference.infer_shapes(peak_graph.graph(precision), strict_mode=True, data_prop=True)
    shapes = {
        info.name: [dimension.dim_value for dimension in info.type.tensor_type.shape.dim]
        for info in (*model.graph.value_info, *model.graph.input)
    }
    layers = [node for node in model.graph.node if node.op_type == "Conv"]
    counted = sum(math.prod(shapes[node.output[0]][1:]) * math.prod(shapes[node.input[1]][1:]) for node in layers)
    assert counted == peak._MACS
    assert shapes["image"][1:] == list(peak._SHAPE)


def test_weights_are_portable():
    assert max(peak_graph.PATTERN) == PORTABLE_RANGE
    assert min(peak_graph.PATTERN) > 0


@ENGINES
@GRAPHS
def test_engines_compute_the_correct_result(engine: str, precision: PeakPrecision):
    images = uneven()
    session = get_engine(engine).open(packaged(precision), SessionOptions(threads=1))
    found, right = session.run(images), expected(images)
    assert np.ptp(right) > 0.05
    # Each layer rounds by at most half a level, and the later layers average it.
    assert np.abs(found - right).max() < (1e-5 if precision == "fp32" else 4 * 0.5 / 255)


def test_onnx_runtime_runs_int8_in_int8(tmp_path: Path):
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    settings.log_severity_level = 3
    onnxruntime.InferenceSession(str(packaged("int8")), settings, providers=["CPUExecutionProvider"])
    found = Counter(node.op_type for node in onnx.load(str(tmp_path / "optimized.onnx")).graph.node)
    assert (found["QLinearConv"], found["Conv"], found["Tile"]) == (peak_graph.LAYERS, 0, 0)


@pytest.mark.parametrize(("precision", "integers"), [("int8", peak_graph.LAYERS), ("fp32", 0)])
def test_openvino_runs_each_graph_in_its_precision(precision: PeakPrecision, integers: int):
    import openvino

    compiled = openvino.Core().compile_model(str(packaged(precision)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    facts = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    kinds = Counter(fact["layerType"].astype(str) for fact in facts)
    ran = [fact["runtimePrecision"].astype(str) for fact in facts if fact["layerType"].astype(str) == "Convolution"]
    assert (len(ran), sum(name in ("u8", "i8") for name in ran), kinds["Tile"]) == (peak_graph.LAYERS, integers, 0)


@ENGINES
@GRAPHS
def test_peak_is_positive_and_finite(engine: str, precision: PeakPrecision):
    found = measure_peak(get_engine(engine), precision=precision, threads=1, seconds=0.01)
    assert 0 < found < math.inf


def test_machine_peak_names_the_fastest_engine():
    found = machine_peak("int8", 2, seconds=0.01)
    assert found.engine in installed()
    assert 0 < found.ops_per_s < math.inf


def test_skips_engines_without_the_precision():
    with pytest.raises(PrecisionUnavailable):
        measure_peak(get_engine("onnxruntime"), precision="bf16", threads=1, seconds=0.01)
    try:
        assert machine_peak("bf16", 1, seconds=0.01).engine == "openvino"
    except EngineError as error:  # no BF16 on this processor
        assert isinstance(error, PrecisionUnavailable)  # noqa: PT017


def test_peak_requires_an_engine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peak, "installed", lambda: ())
    with pytest.raises(EngineMissing, match="no engine is installed"):
        machine_peak("fp32", 1)


@pytest.mark.parametrize("threads", [0, -1])
def test_rejects_threads_below_one(threads: int):
    with pytest.raises(UsageError, match=f"found {threads}"):
        measure_peak(Counting(), precision="fp32", threads=threads)


class Counting:
    """An engine that records its calls, and returns at once."""

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
    instances = 1
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
def test_runs_one_image_per_thread(precision: PeakPrecision, graph: str, floats: str):
    engine = Counting()
    measure_peak(engine, precision=precision, threads=3, seconds=0)
    ((name, options),) = engine.asked
    assert (name, options.precision, options.threads, options.device) == (graph, floats, 3, "cpu")
    assert engine.batches == [3] * (1 + peak._LEAST_RUNS) + [0]  # the first run is the warm-up; 0 is `close`
