"""`edgecnn quantize`: a proven FP32 bundle becomes a proven INT8 bundle."""

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
from edgecnn.errors import ProofFailed, SourceError, UsageError
from edgecnn.pipeline.data.source import DataSource, LazyPixels, Split
from edgecnn.pipeline.proving import engine_sessions, make_proof, make_self_test, temporary_graph
from edgecnn.pipeline.quantization.building import Built, build
from edgecnn.pipeline.quantization.doubts import agreement_doubts, check_overlap, machine_doubts, saturation_doubts
from edgecnn.pipeline.quantization.gate import Gate
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.recipe import CalibrationImages, held_out, short_digests
from edgecnn.pipeline.quantization.spread import SeedResult, spread_over_seeds
from edgecnn.pipeline.quantization.verdict import Verdict, conclude, judge_engines
from edgecnn.pipeline.versions import versions
from edgecnn.progress import Progress, silent
from edgecnn.runtime.verification.evaluation import evaluate

_NO_GATE = 100.0  # points: any drop is allowed
_UNGATED = "calibration took every training image, so none is left to hold the gate on: lower --count, or --gate-data"


@dataclass(frozen=True)
class Quantized:
    """The INT8 bundle, warnings about it, its verdict on this machine, and the spread over seeds if it was measured."""

    bundle: Bundle
    warnings: tuple[str, ...]
    verdict: Verdict
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
        calibration: training images that decide the scales.
        out: the new bundle's folder; its name is the bundle's name.
        data: whose test split the proof is measured on; by default the calibration's source.
        gate_data: whose training split the gate is held on; by default the calibration's source.
        options: how to quantize.
        analyze: try every layer in float, and say in the proof what that wins.
        seeds: measure the spread over so many choices of calibration images.
        command: for the record.
        force: replace an existing bundle.
        strict: refuse to write a bundle that there is a warning about.
        progress: told of every stage.

    Raises:
        UsageError: `parent` is not FP32, or `out` stands already or cannot name a bundle.
        TestSplitRefused: the calibration images are those that the result would be judged on.
        SourceError: images are missing, or have other classes.
        ProofFailed: the gate cannot be met, the errors are so large that the self-test decides nothing, or `strict` and
            there is a warning.
    """
    options = options or QuantizationOptions()
    check_name(out.name)
    check_new_bundle(out, force=force)
    source, manifest = data or calibration.source, parent.manifest
    _check_parent(parent, source, calibration.source, gate_data or source)
    test = source.split("test")
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
        # The parent was held to PyTorch within 1e-4 of the spread, and its proof travels with its digest.
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
            *agreement_doubts(proof),
            *machine_doubts(self_test, sessions, preprocessing=preprocessing, full_range=full_range),
            *(saturation_doubts(built.model, self_test, preprocessing=preprocessing) if full_range else ()),
            *overlap,
            *(() if gate is not None or options.max_drop >= _NO_GATE else (_UNGATED,)),
        )
        engines = judge_engines(sessions, references, evaluation, self_test.images[:1])
    if strict and warnings:
        raise ProofFailed(f"{warnings[0]}; no bundle was written (--strict)")
    sealed = _manifest(parent, out.name, calibration=calibration, options=options, built=built, command=command)
    bundle = create_bundle(out, manifest=sealed, model=content, self_test=self_test, proof=proof, force=force)
    spread = None
    if seeds is not None:
        spread = spread_over_seeds(parent, calibration, seeds, data=data, options=options, progress=progress)
    return Quantized(bundle, warnings, conclude(engines, parent.size_bytes, bundle.size_bytes), spread)


def _check_parent(parent: Bundle, *sources: DataSource) -> None:
    """Check that a bundle is FP32, and that all images have its classes."""
    manifest = parent.manifest
    if manifest.precision != "fp32":
        raise UsageError(f"{parent.path} is {manifest.precision} already: quantize the FP32 bundle that it came from")
    for source in sources:
        if source.labels != manifest.labels:
            classes = ", ".join(source.labels[:5])
            raise SourceError(f"the images have the classes {classes}…, not those of {parent.path}")


def _gate(
    parent: Bundle, calibration: CalibrationImages, data: DataSource | None, options: QuantizationOptions
) -> tuple[Gate, Split] | None:
    """Choose the images of the gate; None if any drop is allowed, or no training image is left."""
    if options.max_drop >= _NO_GATE:
        return None
    source = data or calibration.source
    split = held_out(source.split("train"), calibration.chosen, options.gate_count, calibration.seed)
    if not len(split):
        return None
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
        parent.manifest.macs,  # quantizing adds no multiplication
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
