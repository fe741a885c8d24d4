"""The truth about an INT8 bundle: what it costs in answers, and what it gains in size and time on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.proof import PairedDrop
from edgecnn.runtime.engines.backend import Session
from edgecnn.runtime.rates import Estimate
from edgecnn.runtime.verification.evaluation import Evaluation
from edgecnn.runtime.verification.paired import paired_drop
from edgecnn.tuning.measuring.estimates import median_ms

_WORTH = 0.95
"""INT8 is worth it in time where it takes less than this of FP32's: nearer than that is noise."""


@dataclass(frozen=True)
class EngineVerdict:
    """FP32 and INT8 on one engine, with the median times of one image; INT8 is `faster` times as fast.

    `drop` is that of top-1 against the reference, paired, or None if the targets are unknown. `agreement` is the
    fraction of answers that are the reference's.
    """

    engine: str
    drop: PairedDrop | None
    agreement: float
    fp32_ms: Estimate
    int8_ms: Estimate
    faster: float


@dataclass(frozen=True)
class Verdict:
    """What INT8 costs and gains on each engine and in bundle size; `conclusion` is one sentence about it."""

    engines: tuple[EngineVerdict, ...]
    fp32_bytes: int
    int8_bytes: int
    conclusion: str


def judge_engines(
    sessions: Mapping[str, Session], references: Mapping[str, Session], evaluation: Evaluation, image: np.ndarray
) -> tuple[EngineVerdict, ...]:
    """Compare FP32 and INT8 on every engine; the latencies of an image, uint8 [1, H, W, C], are measured in turns.

    `sessions` and `references` map an engine to the INT8 and to the FP32 graph; `evaluation` holds the logits of
    `sessions` and of `reference`.
    """
    expected = evaluation.logits["reference"].argmax(axis=1)
    verdicts = []
    for name, session in sessions.items():
        latencies = median_ms({"fp32": references[name], "int8": session}, image)
        answers = evaluation.logits[name].argmax(axis=1)
        targets = evaluation.targets
        verdicts.append(
            EngineVerdict(
                engine=name,
                drop=None if targets is None else paired_drop(expected == targets, answers == targets),
                agreement=float((answers == expected).mean()),
                fp32_ms=latencies["fp32"],
                int8_ms=latencies["int8"],
                faster=latencies["fp32"].value / latencies["int8"].value,
            )
        )
    return tuple(verdicts)


def conclude(engines: tuple[EngineVerdict, ...], fp32_bytes: int, int8_bytes: int) -> Verdict:
    """Say plainly whether INT8 is worth it here: the fastest INT8 against the fastest FP32."""
    fp32 = min(engines, key=lambda each: each.fp32_ms.value)
    int8 = min(engines, key=lambda each: each.int8_ms.value)
    ratio = int8.int8_ms.value / fp32.fp32_ms.value
    smaller = f"{fp32_bytes / int8_bytes:.1f} × smaller"
    if ratio < _WORTH:
        text = f"INT8 on {int8.engine} is {1 / ratio:.1f} × faster here than FP32 on {fp32.engine}, and {smaller}"
    elif ratio <= 1 / _WORTH:
        text = f"INT8 is no faster here than FP32; it is {smaller}"
    else:
        text = f"keep FP32 on this machine: INT8 is {ratio:.1f} × slower ({int8.engine}); it is {smaller}"
    return Verdict(engines, fp32_bytes, int8_bytes, text)
