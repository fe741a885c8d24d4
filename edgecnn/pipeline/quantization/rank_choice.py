"""Choose the ranks of low-rank layers on the images of the gate: the smallest with which the answers stay."""

import dataclasses
from collections.abc import Iterator, Sequence

import onnx

from edgecnn.pipeline.quantization.gate import Gate, needs_repair
from edgecnn.pipeline.quantization.low_rank import Factors, factored
from edgecnn.pipeline.quantization.referee import Referee
from edgecnn.progress import Progress, silent

Ranks = tuple[tuple[Factors, int], ...]
"""The factored layers, each with its rank. Other layers stay whole."""


def candidates(
    model: onnx.ModelProto,
    factors: Sequence[Factors],
    gate: Gate,
    referee: Referee,
    progress: Progress = silent,
) -> Iterator[Ranks]:
    """Yield choices of ranks to quantize, the one with the fewest weights first. There may be none.

    The first choice is made in float, layer by layer in the order of `factors`: each layer gets its smallest rank with
    which the graph passes the gate, together with the layers before it. Half of the answers that may change are kept
    for the rounding. The next choices have the next larger rank in each layer, or the whole layer after its largest.

    Args:
        model: canonical FP32 graph.
        factors: the layers, those with most weights first.
        gate: with a smallest agreement.
        referee: compares graphs with the FP32 graph.
        progress: called before each trial.

    Raises:
        EngineError: ONNX Runtime failed.
    """
    assert gate.min_agreement is not None
    strict = dataclasses.replace(gate, min_agreement=(1 + gate.min_agreement) / 2)
    referee = referee.asking(strict.min_agreement)
    chosen: Ranks = ()
    for number, each in enumerate(factors):
        progress("choosing ranks", number, len(factors))
        tried = ((*chosen, (each, rank)) for rank in each.ranks)
        chosen = next((ranks for ranks in tried if _passes(model, ranks, strict, referee)), chosen)
    progress("choosing ranks", len(factors), len(factors))
    while chosen:
        yield chosen
        chosen = tuple((each, larger[0]) for each, rank in chosen if (larger := [r for r in each.ranks if r > rank]))


def _passes(model: onnx.ModelProto, ranks: Ranks, gate: Gate, referee: Referee) -> bool:
    return not needs_repair(referee.judge(factored(model, ranks)), gate)
