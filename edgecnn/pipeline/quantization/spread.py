"""Measure the spread of the result over several choices of calibration images."""

from dataclasses import dataclass

import numpy as np
import onnx

from edgecnn.bundle.store import Bundle
from edgecnn.pipeline.data.source import LazyPixels, Split
from edgecnn.pipeline.quantization.building import build
from edgecnn.pipeline.quantization.calibration_config import CalibrationImages, choose
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.trial import trial_logits
from edgecnn.progress import Progress, silent
from edgecnn.runtime.verification.answers import answers_of, same


@dataclass(frozen=True)
class SeedResult:
    """The result of one choice of calibration images, before the gate.

    `top1` is None if the targets are unknown. `agreement` is the agreement with the reference. `rms_error` is the root
    mean square error of the logits.
    """

    seed: int
    top1: float | None
    agreement: float
    rms_error: float


def spread_over_seeds(
    parent: Bundle,
    calibration: CalibrationImages,
    seeds: int,
    *,
    options: QuantizationOptions,
    test: Split,
    progress: Progress = silent,
) -> tuple[SeedResult, ...]:
    """Quantize with several choices of calibration images, and evaluate each on the `test` images.

    The first choice is `calibration`. The next ones have the seeds that follow.
    """
    model, preprocessing, scores = onnx.load(str(parent.model)), parent.manifest.preprocessing, parent.manifest.scores
    images = LazyPixels(test, preprocessing)
    expected = trial_logits(model, images)
    results = []
    for number in range(seeds):
        progress("trying seeds", number, seeds)
        seed = calibration.seed + number
        chosen = choose(calibration.source.split("train"), len(calibration.chosen), seed)
        built = build(model, LazyPixels(chosen, preprocessing), options=options)
        logits = trial_logits(built.model, images)
        answers = answers_of(logits, scores)
        results.append(
            SeedResult(
                seed,
                None if test.targets is None else float(same(answers, test.targets).mean()),
                float(same(answers, answers_of(expected, scores)).mean()),
                float(np.sqrt(np.mean((logits.astype(np.float64) - expected) ** 2))),
            )
        )
    progress("trying seeds", seeds, seeds)
    return tuple(results)
