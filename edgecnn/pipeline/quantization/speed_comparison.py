"""SpeedComparison on an INT8 bundle: its drop, and its gain in size and speed on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.proof import PairedDrop
from edgecnn.runtime.engines.engine import Session
from edgecnn.runtime.rates import Estimate
from edgecnn.runtime.verification.evaluation import Evaluation
from edgecnn.runtime.verification.paired import paired_drop
from edgecnn.tuning.measuring.estimates import median_ms

_WORTH = 0.95
"""INT8 counts as faster below this fraction of FP32's time. A smaller difference is noise."""


@dataclass(frozen=True)
class EngineComparison:
    """FP32 and INT8 on one engine, with the median times of one image. INT8 is `faster` times as fast.

    `drop` is the paired drop from the reference, or None if the targets are unknown. `agreement` is the agreement with
    the reference.
    """

    engine: str
    drop: PairedDrop | None
    agreement: float
    fp32_ms: Estimate
    int8_ms: Estimate
    faster: float


@dataclass(frozen=True)
class SpeedComparison:
    """The costs and gains of INT8 on each engine and in bundle size, with a one-sentence `conclusion`."""

    engines: tuple[EngineComparison, ...]
    fp32_bytes: int
    int8_bytes: int
    conclusion: str


def judge_engines(
    sessions: Mapping[str, Session], references: Mapping[str, Session], evaluation: Evaluation, image: np.ndarray
) -> tuple[EngineComparison, ...]:
    """Compare FP32 and INT8 on every engine. The latencies of an image, uint8 [1, H, W, C], are measured in turns.

    `sessions` and `references` map an engine to its INT8 and FP32 session. `evaluation` contains the logits of
    `sessions` and of `reference`.
    """
    expected = evaluation.logits["reference"].argmax(axis=1)
    comparisons = []
    for name, session in sessions.items():
        latencies = median_ms({"fp32": references[name], "int8": session}, image)
        answers = evaluation.logits[name].argmax(axis=1)
        targets = evaluation.targets
        comparisons.append(
            EngineComparison(
                engine=name,
                drop=None if targets is None else paired_drop(expected == targets, answers == targets),
                agreement=float((answers == expected).mean()),
                fp32_ms=latencies["fp32"],
                int8_ms=latencies["int8"],
                faster=latencies["fp32"].value / latencies["int8"].value,
            )
        )
    return tuple(comparisons)


def conclude(engines: tuple[EngineComparison, ...], fp32_bytes: int, int8_bytes: int) -> SpeedComparison:
    """Return the verdict for this machine: the fastest INT8 compared with the fastest FP32."""
    fp32 = min(engines, key=lambda each: each.fp32_ms.value)
    int8 = min(engines, key=lambda each: each.int8_ms.value)
    ratio = int8.int8_ms.value / fp32.fp32_ms.value
    smaller = f"{fp32_bytes / int8_bytes:.1f} × smaller"
    if ratio < _WORTH:
        text = (
            f"INT8 on {int8.engine} is {1 / ratio:.1f} × faster than FP32 on {fp32.engine} on this machine, "
            f"and {smaller}"
        )
    elif ratio <= 1 / _WORTH:
        text = f"INT8 is not faster than FP32 on this machine; it is {smaller}"
    else:
        text = f"keep FP32 on this machine: INT8 is {ratio:.1f} × slower ({int8.engine}); it is {smaller}"
    return SpeedComparison(engines, fp32_bytes, int8_bytes, text)
