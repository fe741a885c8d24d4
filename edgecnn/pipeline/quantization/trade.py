"""The trade of leaving a layer in float: the accuracy that it regains, and the time and size that it costs."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from statistics import median

import numpy as np
import onnx

from edgecnn.bundle.layer_report import FloatTrade, LayerReport
from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.pipeline.quantization.analysis import leave_in_float
from edgecnn.pipeline.quantization.placement import Placement
from edgecnn.pipeline.quantization.plan import QuantizationPlan
from edgecnn.pipeline.quantization.rewriting import rewrite
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.onnxruntime import OnnxRuntimeEngine
from edgecnn.tuning.measuring.estimates import medians_ms
from edgecnn.tuning.measuring.turn import InProcess, Runner, interleave, settle

_ROUNDS, _MOST_ROUNDS = 6, 12
"""The smallest and the largest of six differences enclose their median with 97 %: 1 - 2 · 0.5⁶."""

_TURN_S = 0.05


def with_trades(
    reports: Sequence[LayerReport],
    model: onnx.ModelProto,
    placement: Placement,
    plan: QuantizationPlan,
    *,
    image: np.ndarray,
    regained: Callable[[onnx.ModelProto], PairedDrop] | None = None,
    progress: Progress = silent,
) -> tuple[LayerReport, ...]:
    """Return the reports with the trade of leaving each of these layers in float, alone.

    Args:
        reports: the layers.
        model: the FP32 graph.
        placement: the placement with every layer in INT8.
        plan: the plan with every layer in INT8.
        image: one image, uint8 [1, H, W, C].
        regained: returns the drop from a graph with one layer in float to the graph with every layer in INT8.
        progress: called before each layer.

    Raises:
        EngineError: ONNX Runtime failed.
    """
    if not reports:
        return ()
    base = rewrite(model, placement, plan).SerializeToString()
    found = []
    with _opened(base, image) as every:
        for number, report in enumerate(reports):
            progress("measuring trades", number, len(reports))
            tried = rewrite(model, *leave_in_float(model, placement, plan, {report.layer: "tried"}))
            content = tried.SerializeToString()
            with _opened(content, image) as mixed:
                times = _added_ms(every, mixed)
            points = None if regained is None else regained(tried)
            found.append(dataclasses.replace(report, trade=FloatTrade(points, *times, len(content) - len(base))))
    progress("measuring trades", len(reports), len(reports))
    return tuple(found)


@contextlib.contextmanager
def _opened(content: bytes, image: np.ndarray) -> Iterator[Runner]:
    """Open a graph in ONNX Runtime as an application does, unlike a trial."""
    with contextlib.closing(OnnxRuntimeEngine().open(content, SessionOptions())) as session:
        yield InProcess(session, image)


def _added_ms(every: Runner, mixed: Runner) -> tuple[float | None, float | None, float | None]:
    """Return how much longer the second graph takes for one image, with the ends of the interval.

    None if other work disturbed too many rounds.
    """
    turns = interleave([every, mixed], rounds=_ROUNDS, most=_MOST_ROUNDS, seconds=_TURN_S)
    rounds = settle(turns, _ROUNDS)
    pairs = list(zip(*map(medians_ms, rounds.turns), strict=True))
    if rounds.is_busy or len(pairs) < _ROUNDS:
        return None, None, None
    differences = [slow - fast for fast, slow in pairs]
    return median(differences), min(differences), max(differences)
