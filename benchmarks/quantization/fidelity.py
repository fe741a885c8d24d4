"""Fidelity of INT8 graphs on both engines, and whether a peer's agree more often with FP32 than edgecnn's.

For `compare.py`. All quantizers get the same calibration images.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.devices.findings import rms_error
from benchmarks.quantization.networks import ENGINES, Network, logits_on
from benchmarks.quantization.quantizers import QUANTIZERS, Quantizer
from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.files.schema import plain
from edgecnn.runtime.verification.paired import mcnemar, paired_drop

OURS = "edgecnn"
MAX_DROP, MIN_AGREEMENT, SIGNIFICANT = 0.002, 0.995, 0.05
"""The targets of each network, and the level below which a p-value shows a difference."""


@dataclass(frozen=True)
class Fidelity:
    """One quantizer's graph on one engine: compared with the FP32 graph, and image by image with edgecnn's.

    Attributes:
        top1: of the INT8 graph, as a fraction; None without targets.
        reference_top1: of the FP32 graph.
        drop: with its interval of 95 %.
        agreement: with the labels of the FP32 graph, as a fraction.
        rms_error: of the logits.
        spread: standard deviation of the FP32 graph's logits.
        ours_better: images on which only edgecnn's graph agrees with the FP32 graph.
        theirs_better: images on which only this graph does.
    """

    network: str
    quantizer: str
    engine: str
    top1: float | None
    reference_top1: float | None
    drop: PairedDrop | None
    agreement: float
    rms_error: float
    spread: float
    ours_better: int
    theirs_better: int


def fidelity(networks: Iterable[Network], quantizers: Mapping[str, Quantizer] = QUANTIZERS) -> list[dict[str, Any]]:
    """Measure the fidelity of every quantizer; edgecnn is the first."""
    rows = []
    for network in networks:
        ours_agree: dict[str, np.ndarray] = {}
        for quantizer, quantize in quantizers.items():
            try:
                graph = quantize(network.model, network.calibration)
            except Exception as error:  # a peer can raise any exception
                if quantizer == OURS:
                    raise
                rows += [failure(network, quantizer, engine, error) for engine in ENGINES]
                continue
            for engine in ENGINES:
                logits = logits_on(engine, graph, pixels=network.pixels, classes=network.logits.shape[1])
                agrees = logits.argmax(axis=1) == network.logits.argmax(axis=1)
                row = compared(network, logits, quantizer, engine, ours=ours_agree.setdefault(engine, agrees))
                print(row, flush=True)
                rows.append(plain(row))
    return rows


def failure(network: Network, quantizer: str, engine: str, error: Exception) -> dict[str, Any]:
    """Return the row of a peer that could not quantize a network."""
    row = {
        "network": network.name,
        "quantizer": quantizer,
        "engine": engine,
        "failed": f"{type(error).__name__}: {error}",
    }
    print(row, flush=True)
    return row


def compared(network: Network, logits: np.ndarray, quantizer: str, engine: str, *, ours: np.ndarray) -> Fidelity:
    """Compare the logits of an INT8 graph, float32 [N, K], with the FP32 graph's.

    `ours` is bool [N]: the images on which edgecnn's graph agrees with the FP32 graph.
    """
    answers, expected = logits.argmax(axis=1), network.logits.argmax(axis=1)
    agrees = answers == expected
    drop = None if network.targets is None else paired_drop(expected == network.targets, answers == network.targets)
    return Fidelity(
        network.name,
        quantizer,
        engine,
        None if network.targets is None else float((answers == network.targets).mean()),
        None if network.targets is None else float((expected == network.targets).mean()),
        drop,
        float(agrees.mean()),
        rms_error(logits, network.logits),
        float(network.logits.std()),
        int((ours & ~agrees).sum()),
        int((agrees & ~ours).sum()),
    )


def add_p_values(rows: list[dict[str, Any]]) -> None:
    """Add to each peer's row the p-value of McNemar's test on agreement, corrected for all these comparisons."""
    peers = [row for row in rows if row["quantizer"] != OURS and "failed" not in row]
    corrected = holm([mcnemar(row["ours_better"], row["theirs_better"]) for row in peers])
    for row, p_value in zip(peers, corrected, strict=True):
        row["p_holm"] = p_value


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple comparisons, in the same order.

    If only values below a level count as findings, the chance of one or more false findings is at most this level.
    Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def verdict(row: dict[str, Any]) -> str:
    """Return in words whether edgecnn's graph meets the targets, or which graph agrees more often.

    The targets are for trained networks and images with targets; without these, the text is empty.
    """
    if "failed" in row:
        return "peer failed"
    if row["quantizer"] == OURS:
        if row["drop"] is None:
            return ""
        missed = ["agreement"] if row["agreement"] < MIN_AGREEMENT else []
        missed += ["drop"] if row["drop"]["drop"] > MAX_DROP else []
        return f"misses the target: {', '.join(missed)}" if missed else "meets the targets"
    if row["p_holm"] >= SIGNIFICANT:
        return "no difference shown"
    return "edgecnn better" if row["ours_better"] > row["theirs_better"] else "**peer better**"
