"""`edgecnn quantize`: a proven FP32 bundle becomes a proven INT8 bundle."""

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from edgecnn.bundle.folder import check_output
from edgecnn.bundle.manifest import MANIFEST, CalibrationRecord, Manifest, Provenance, Quantization, check_name, utc_now
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.probe import Probe
from edgecnn.bundle.proof import Proof
from edgecnn.bundle.store import Bundle, create_bundle
from edgecnn.errors import ProofFailed, SourceError, TestSplitRefused, UsageError
from edgecnn.pipeline.data.source import DataSource, Split
from edgecnn.pipeline.proving import engine_sessions, evaluate, make_probe, make_proof
from edgecnn.pipeline.quantization.calibration import observe_ranges
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.placement import Placement, place
from edgecnn.pipeline.quantization.plan import (
    FULL_RANGE,
    PORTABLE_RANGE,
    QuantizationPlan,
    activation_quantization,
    weight_quantization,
)
from edgecnn.pipeline.quantization.recipe import CalibrationImages
from edgecnn.pipeline.quantization.rewriting import rewrite
from edgecnn.pipeline.versions import versions
from edgecnn.progress import Progress, silent
from edgecnn.runtime.backend import Session
from edgecnn.runtime.verification import replay

METHOD = "minmax"

WORTHY_AGREEMENT = 0.95
"""Below this fraction of equal answers a bundle is written with a warning: something is wrong with its calibration."""

_OVERLAP = 0.01


@dataclass(frozen=True)
class Quantized:
    """The INT8 bundle, and one line for each engine on which this machine does not hold its proof."""

    bundle: Bundle
    warnings: tuple[str, ...]


def quantize(
    parent: Bundle,
    calibration: CalibrationImages,
    out: Path,
    *,
    data: DataSource | None = None,
    options: QuantizationOptions | None = None,
    command: str = "edgecnn.pipeline.quantization",
    force: bool = False,
    strict: bool = False,
    progress: Progress = silent,
) -> Quantized:
    """Quantize an FP32 bundle and measure the result on every installed engine.

    Args:
        parent: the FP32 bundle.
        calibration: training images that decide the scales.
        out: the new bundle's folder; its name is the bundle's name.
        data: whose test split the proof is measured on; by default the calibration's source.
        options: how to quantize.
        command: for the record.
        force: replace an existing bundle.
        strict: refuse to write a bundle that there is a warning about.
        progress: told of every stage.

    Raises:
        UsageError: `parent` is not FP32, or `out` stands already or cannot name a bundle.
        TestSplitRefused: the calibration images are those that the result would be judged on.
        SourceError: images are missing, or have other classes.
        ProofFailed: the errors are so large that the probe decides nothing, or `strict` and there is a warning.
    """
    options = options or QuantizationOptions()
    check_name(out.name)
    check_output(out, marker=MANIFEST, force=force)
    manifest = parent.manifest
    if manifest.precision != "fp32":
        raise UsageError(f"{parent.path} is {manifest.precision} already: quantize the FP32 bundle that it came from")
    source = data or calibration.source
    for labels in (source.labels, calibration.source.labels):
        if labels != manifest.labels:
            raise SourceError(f"the images have the classes {', '.join(labels[:5])}…, not those of {parent.path}")
    test = source.split("test")
    overlap = _check_overlap(calibration.chosen, test)
    model = onnx.load(str(parent.model))
    placement = place(model.graph)
    batches = _batches(calibration.chosen, manifest.preprocessing, options.batch_size, progress)
    ranges = observe_ranges(model, placement.activations.values(), batches)
    limit = FULL_RANGE if options.full_range else PORTABLE_RANGE
    plan = make_plan(model, placement, {name: (r.low, r.high) for name, r in ranges.items()}, limit)
    quantized = rewrite(model, placement, plan).SerializeToString()
    probe = parent.probe()
    with tempfile.TemporaryDirectory(prefix="edgecnn-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(quantized)
        with engine_sessions(path) as sessions, engine_sessions(parent.model) as originals:
            name, original = next(iter(originals.items()))
            evaluation = evaluate(
                {**sessions, "original": original},
                test,
                manifest.preprocessing,
                classes=len(manifest.labels),
                progress=progress,
            )
            # The parent was held to PyTorch within 1e-4 of the spread, and its proof travels with its digest.
            reference = f"fp32 bundle {parent.digest} on {name}"
            proof = make_proof(reference, evaluation, evaluation.logits["original"], sessions)
            probe = make_probe(sessions, probe.images, probe.logits, probe.encoded)
            warnings = (
                *_doubts(proof),
                *_machine_warnings(probe, sessions, manifest.preprocessing, limit),
                *overlap,
            )
    if strict and warnings:
        raise ProofFailed(f"{warnings[0]}; no bundle was written (--strict)")
    sealed = _manifest(parent, out.name, calibration=calibration, limit=limit, placement=placement, command=command)
    bundle = create_bundle(out, manifest=sealed, model=quantized, probe=probe, proof=proof, force=force)
    return Quantized(bundle, warnings)


def make_plan(
    model: onnx.ModelProto, placement: Placement, ranges: dict[str, tuple[float, float]], limit: int
) -> QuantizationPlan:
    """Turn ranges into a plan.

    Args:
        model: the FP32 graph.
        placement: which tensors are quantized.
        ranges: smallest and largest value of each tensor that has a range of its own.
        limit: largest magnitude of a quantized weight.
    """
    constants = {initializer.name: onnx.numpy_helper.to_array(initializer) for initializer in model.graph.initializer}
    activations = {name: activation_quantization(*ranges[shared]) for name, shared in placement.activations.items()}
    bias_of = {weight: (bias, activation) for bias, (activation, weight) in placement.biases.items()}
    weights = {}
    for name in placement.weights:
        bias, activation = bias_of.get(name, (None, None))
        if bias is None or activation not in activations:
            weights[name] = weight_quantization(constants[name], limit)
        else:
            scale = activations[activation].scale
            weights[name] = weight_quantization(constants[name], limit, bias=constants[bias], input_scale=scale)
    return QuantizationPlan(activations, weights, placement.float_tensors)


def _check_overlap(chosen: Split, test: Split) -> tuple[str, ...]:
    """Refuse to calibrate on test images; a few that stand in both splits, as in many public sets, are told."""
    tested = {test.images.digest(i) for i in range(len(test))}
    shared = sum(chosen.images.digest(i) in tested for i in range(len(chosen)))
    told = f"{shared} of the {len(chosen)} calibration images are test images too"
    if shared > _OVERLAP * len(chosen):
        raise TestSplitRefused(f"{told}: the result would be judged on what it was fitted to; name training images")
    return (told,) if shared else ()


def _doubts(proof: Proof) -> tuple[str, ...]:
    """Say it where quantization itself has cost too many answers: on the best engine, whatever the processor."""
    best = max(proof.engines, key=lambda engine: engine.comparison.agreement)
    agreement = best.comparison.agreement
    if agreement >= WORTHY_AGREEMENT:
        return ()
    return (
        f"only {agreement:.2%} of the INT8 answers are those of the FP32 bundle on {best.engine}: are the calibration "
        f"images like those of its use, and enough?",
    )


def _machine_warnings(
    probe: Probe, sessions: Mapping[str, Session], preprocessing: Preprocessing, limit: int
) -> tuple[str, ...]:
    """Name the engines that do not hold the new proof here: what saturates on this processor may not on the device.

    Raises:
        ProofFailed: the probe decides nothing, on any engine.
    """
    results = {name: replay(probe, session, preprocessing) for name, session in sessions.items()}
    if not any(result.decided for result in results.values()):
        raise ProofFailed(
            f"the INT8 logits are off by {probe.tolerance / 2:.3g}, more than half of any answer's margin: the probe "
            f"would prove nothing, so no bundle was written; are the calibration images like those of its use?"
        )
    reason = f"; weights beyond ±{PORTABLE_RANGE} saturate on processors without VNNI" if limit > PORTABLE_RANGE else ""
    return tuple(
        f"on {name} this processor does not hold the proof: {result.failures[0]}{reason}"
        for name, result in results.items()
        if not result.holds
    )


def _batches(split: Split, preprocessing: Preprocessing, size: int, progress: Progress) -> Iterator[np.ndarray]:
    for start in range(0, len(split), size):
        progress("calibrating", start, len(split))
        yield split.pixels(range(start, min(start + size, len(split))), preprocessing)
    progress("calibrating", len(split), len(split))


def _manifest(
    parent: Bundle, name: str, *, calibration: CalibrationImages, limit: int, placement: Placement, command: str
) -> Manifest:
    inherited = parent.manifest.provenance
    return dataclasses.replace(
        parent.manifest,
        name=name,
        precision="int8",
        quantization=Quantization("uint8", "int8", limit, placement.float_tensors),
        provenance=Provenance(
            created=utc_now(),
            command=command,
            versions=versions(),
            checkpoint=inherited.checkpoint,
            training=inherited.training,
            opset=inherited.opset,
            calibration=CalibrationRecord(parent.digest, METHOD, calibration.chosen.reference(), calibration.seed),
        ),
    )
