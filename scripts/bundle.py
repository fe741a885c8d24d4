"""Rebuild the committed bundle from scratch, compare it with the committed one, and replace it (`make bundle`).

The new bundle must have the same operators and at least 98 % agreement with the old one on the test split. Training is
repeatable on one machine, but another processor rounds differently.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.export.exporting import export
from edgecnn.pipeline.quantization.calibration_config import open_calibration
from edgecnn.pipeline.quantization.quantizing import quantize
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.pipeline.training.loop import train
from edgecnn.pipeline.training.recipes import recipe
from edgecnn.runtime.classifier import load

COMMITTED = Path("exported/lenet-digits-int8")
LEAST_AGREEMENT = 0.98


def main() -> None:
    """Rebuild, compare, replace."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; do not replace the committed bundle")
    check_only = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        rebuilt = build(Path(folder) / COMMITTED.name)
        if COMMITTED.exists():
            problem = difference(rebuilt, open_bundle(COMMITTED))
            if problem:
                sys.exit(f"error: the rebuilt bundle differs from {COMMITTED}: {problem}")
            print(f"the rebuilt bundle has the operators of {COMMITTED} and agrees with it")
        if not check_only:
            build(COMMITTED, fp32=Path(folder) / "fp32")
            print(f"wrote {COMMITTED}")


def build(out: Path, *, fp32: Path | None = None) -> Bundle:
    """Train, export and quantize; an existing FP32 bundle at `fp32` is reused."""
    parent = fp32 or out.parent / "fp32"
    if not parent.exists():
        checkpoint = parent.parent / "checkpoint"
        train("lenet", open_source("digits"), checkpoint, source_name="digits", options=recipe("lenet", "digits"))
        export(read_checkpoint(checkpoint).reference, parent, command="make bundle")
    calibration = open_calibration("calibration/digits.json")
    return quantize(open_bundle(parent), calibration, out, command="make bundle", force=True).bundle


def difference(rebuilt: Bundle, committed: Bundle) -> str | None:
    """Return how two bundles differ in operators or labels; None if they do not."""
    mine, theirs = operators(rebuilt), operators(committed)
    if mine != theirs:
        return f"operators {mine}, expected {theirs}"
    test = open_source("digits").split("test")
    pixels = test.all_pixels(committed.manifest.preprocessing)
    answers = []
    for bundle in (rebuilt, committed):
        with load(bundle) as classifier:
            answers.append(classifier.logits(pixels).argmax(axis=1))
    agreement = float(np.mean(answers[0] == answers[1]))
    return (
        None if agreement >= LEAST_AGREEMENT else f"{agreement:.2%} agreement, expected at least {LEAST_AGREEMENT:.0%}"
    )


def operators(bundle: Bundle) -> list[str]:
    """Return the operators of a bundle's graph, in order."""
    return [node.op_type for node in onnx.load(str(bundle.model)).graph.node]


if __name__ == "__main__":
    main()
