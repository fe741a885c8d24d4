"""`edgecnn quantize`: quantize a proven FP32 bundle to a proven INT8 bundle."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import onnx

from edgecnn.bundle.finding import MODEL, check_new_bundle
from edgecnn.bundle.manifest import (
    MAJOR,
    MINOR,
    CalibrationRecord,
    Format,
    Graph,
    Manifest,
    Quantization,
    utc_now,
)
from edgecnn.bundle.names import check_name
from edgecnn.bundle.proof import GateRecord
from edgecnn.bundle.store import Bundle, create_bundle
from edgecnn.errors import ProofFailed, UsageError
from edgecnn.pipeline.data.matching import match_classes, match_or_drop_classes
from edgecnn.pipeline.data.source import DataSource, LazyPixels, Split
from edgecnn.pipeline.proving import engine_sessions, make_proof, make_self_test, temporary_graph
from edgecnn.pipeline.quantization.building import Built, build
from edgecnn.pipeline.quantization.calibration_config import CalibrationImages, held_out, short_digests
from edgecnn.pipeline.quantization.checks import (
    agreement_warnings,
    check_overlap,
    machine_warnings,
    saturation_warnings,
)
from edgecnn.pipeline.quantization.gate import Gate
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.speed_comparison import SpeedComparison, compare_bundles
from edgecnn.pipeline.quantization.spread import SeedResult, spread_over_seeds
from edgecnn.pipeline.versions import versions
from edgecnn.progress import Progress, silent
from edgecnn.runtime.verification.evaluation import evaluate

_NO_GATE = 100.0  # points: no limit
_UNGATED = "calibration uses all training images, so no images remain for the gate: lower --count, or pass --gate-data"


@dataclass(frozen=True)
class Quantized:
    """The INT8 bundle, its warnings, its speed comparison on this machine, and the spread over seeds if measured."""

    bundle: Bundle
    warnings: tuple[str, ...]
    speed_comparison: SpeedComparison
    seeds: tuple[SeedResult, ...] | None = None


def quantize(
    parent: Bundle,
    calibration: CalibrationImages,
    out: Path,
    *,
    data: DataSource | None = None,
    gate_data: DataSource | None = None,
    options: QuantizationOptions | None = None,
    analyze: bool = False,
    seeds: int | None = None,
    command: str = "edgecnn.pipeline.quantization",
    force: bool = False,
    strict: bool = False,
    progress: Progress = silent,
) -> Quantized:
    """Quantize an FP32 bundle and measure the result on every installed engine.

    Args:
        parent: the FP32 bundle.
        calibration: training images that determine the scales.
        out: the new bundle's folder. Its name is the bundle's name.
        data: source of the test split for the proof. The default is the calibration's source.
        gate_data: source of the training split for the gate. The default is the calibration's source.
        options: quantization options.
        analyze: try every layer in float, and record the gain in the proof.
        seeds: measure the spread over this number of choices of calibration images.
        command: command line to record in the manifest.
        force: replace an existing bundle.
        strict: turn warnings into errors. No bundle is written then.
        progress: called at each stage.

    Raises:
        UsageError: `parent` is not FP32, or `out` already exists or is not a valid bundle name.
        TestSplitRefused: the calibration images are test images.
        SourceError: images are missing, or have other classes.
        ProofFailed: the gate fails, the self-test is not decisive because of large errors, or `strict` is given and
            there is a warning.
    """
    options = options or QuantizationOptions()
    check_name(out.name)
    check_new_bundle(out, force=force)
    source, manifest = data or calibration.source, parent.manifest
    _check_parent(parent)
    test = source.split("test")
    if data is None:
        consequence = "the proof has no accuracy; pass labelled images with --data"
        test = match_or_drop_classes(test, source.labels, manifest.labels, str(parent.path), consequence=consequence)
    else:
        test = match_classes(test, source.labels, manifest.labels, str(parent.path))
    overlap = check_overlap(calibration.chosen, test)
    gate = _gate(parent, calibration, gate_data, options)
    built = build(
        onnx.load(str(parent.model)),
        LazyPixels(calibration.chosen, manifest.preprocessing),
        options=options,
        gate=None if gate is None else gate[0],
        analyze=analyze,
        progress=progress,
    )
    content = built.model.SerializeToString()
    self_test = parent.self_test()
    with (
        temporary_graph(content) as path,
        engine_sessions(path, full_range=options.full_range) as sessions,
        engine_sessions(parent.model) as references,
    ):
        name, fp32 = next(iter(references.items()))
        compared = {**sessions, "reference": fp32}
        evaluation = evaluate(compared, test, manifest.preprocessing, classes=len(manifest.labels), progress=progress)
        intact = evaluation.images
        assert isinstance(intact, Split)
        # The parent matches PyTorch within 1e-4 of the spread, as its own proof shows.
        reference = f"fp32 bundle {parent.digest} on {name}"
        proof = dataclasses.replace(
            make_proof(reference, evaluation, evaluation.logits["reference"], sessions),
            layers=built.layers,
            calibration_images=short_digests(calibration.chosen),
            gate=None if gate is None else _gate_record(built, *gate),
        )
        self_test = make_self_test(sessions, self_test.images, self_test.logits, self_test.encoded)
        preprocessing, full_range = manifest.preprocessing, options.full_range
        warnings = (
            *agreement_warnings(proof),
            *machine_warnings(self_test, sessions, preprocessing=preprocessing, full_range=full_range),
            *(saturation_warnings(built.model, self_test, preprocessing=preprocessing) if full_range else ()),
            *overlap,
            *(() if gate is not None or options.max_drop >= _NO_GATE else (_UNGATED,)),
        )
    if strict and warnings:
        raise ProofFailed(f"{warnings[0]}; no bundle was written (--strict)")
    sealed = _manifest(parent, out.name, calibration=calibration, options=options, built=built, command=command)
    bundle = create_bundle(out, manifest=sealed, model=content, self_test=self_test, proof=proof, force=force)
    spread = None
    if seeds is not None:
        spread = spread_over_seeds(parent, calibration, seeds, test=intact, options=options, progress=progress)
    return Quantized(bundle, warnings, compare_bundles(parent, bundle, evaluation, progress=progress), spread)


def _check_parent(parent: Bundle) -> None:
    """Check that a bundle is FP32."""
    if parent.manifest.precision != "fp32":
        raise UsageError(f"{parent.path} is already {parent.manifest.precision}: quantize its FP32 parent")


def _gate(
    parent: Bundle, calibration: CalibrationImages, data: DataSource | None, options: QuantizationOptions
) -> tuple[Gate, Split] | None:
    """Choose the images of the gate; None if the drop is unlimited, or no training images remain."""
    if options.max_drop >= _NO_GATE:
        return None
    source = data or calibration.source
    split = held_out(source.split("train"), calibration.chosen, options.gate_count, calibration.seed)
    if not len(split):
        return None
    split = match_or_drop_classes(
        split,
        source.labels,
        parent.manifest.labels,
        str(parent.path),
        consequence="the gate compares labels with the FP32 bundle's instead",
    )
    gate = Gate(
        LazyPixels(split, parent.manifest.preprocessing), split.targets, options.max_drop / 100, options.certify
    )
    gate.check()
    return gate, split


def _gate_record(built: Built, gate: Gate, split: Split) -> GateRecord | None:
    if built.gated is None:
        return None
    return GateRecord(split.reference(), gate.max_drop, gate.certify, built.gated.before, built.gated.after)


def _manifest(
    parent: Bundle,
    name: str,
    *,
    calibration: CalibrationImages,
    options: QuantizationOptions,
    built: Built,
    command: str,
) -> Manifest:
    record = CalibrationRecord(
        parent.digest, options.method, calibration.chosen.reference(), calibration.seed, options.rounding
    )
    graph = Graph(
        MODEL,
        "int8",
        parent.manifest.macs,  # quantization does not change the MACs
        built.weights,
        Quantization("int8" if options.symmetric else "uint8", options.weight_limit, built.placement.float_tensors),
    )
    return dataclasses.replace(
        parent.manifest,
        format=Format(MAJOR, MINOR),
        name=name,
        graphs=(graph,),
        provenance=dataclasses.replace(
            parent.manifest.provenance, created=utc_now(), command=command, versions=versions(), calibration=record
        ),
    )
