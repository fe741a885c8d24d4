"""`edgecnn quantize`: make a proven INT8 or FP16 bundle from a proven FP32 bundle."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import onnx

from edgecnn.bundle.finding import MODEL, check_new_bundle
from edgecnn.bundle.graph_entry import Graph, Quantization
from edgecnn.bundle.layer_report import LayerReport, LowRankLayer
from edgecnn.bundle.manifest import (
    MAJOR,
    MINOR,
    CalibrationRecord,
    Format,
    Manifest,
    utc_now,
)
from edgecnn.bundle.names import check_name
from edgecnn.bundle.proof import Proof, UnsureRecord
from edgecnn.bundle.self_test import SelfTest
from edgecnn.bundle.store import Bundle, create_bundle
from edgecnn.errors import ProofFailed, UsageError
from edgecnn.pipeline.data.source import DataSource, LazyPixels, Split
from edgecnn.pipeline.inspection.graph import count_macs
from edgecnn.pipeline.proving import engine_sessions, make_proof, make_self_test, temporary_graph
from edgecnn.pipeline.quantization.building import build
from edgecnn.pipeline.quantization.calibration_config import CalibrationImages, short_digests
from edgecnn.pipeline.quantization.checks import (
    agreement_warnings,
    check_overlap,
    gate_warnings,
    machine_warnings,
    saturation_warnings,
)
from edgecnn.pipeline.quantization.gate import Gate, GateResult, judge_fp16
from edgecnn.pipeline.quantization.half import halve
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.pipeline.quantization.speed_comparison import SpeedComparison, compare_bundles
from edgecnn.pipeline.quantization.splits import NO_GATE, gate_record, open_gate, proof_split
from edgecnn.pipeline.quantization.spread import SeedResult, spread_over_seeds
from edgecnn.pipeline.unsure import unsure_record
from edgecnn.pipeline.versions import versions
from edgecnn.progress import Progress, silent
from edgecnn.runtime.verification.evaluation import Evaluation, evaluate

_UNGATED = "calibration uses all training images, so no images remain for the gate: lower --count, or pass --gate-data"
_NOT_FACTORED = (
    "--low-rank has no effect: the gate fails with each of the ranks; use more calibration images, a larger --max-drop "
    "or a smaller --min-agreement"
)


@dataclass(frozen=True)
class Quantized:
    """The new bundle, its warnings, its speed comparison on this machine, and the spread over seeds if measured."""

    bundle: Bundle
    warnings: tuple[str, ...]
    speed_comparison: SpeedComparison
    seeds: tuple[SeedResult, ...] | None = None

    def __repr__(self) -> str:
        return f"<Quantized {self.bundle}: {self.speed_comparison.conclusion}>"

    def _repr_html_(self) -> str:
        """Return the bundle, its comparison with FP32 and the warnings as tables, for notebooks."""
        from edgecnn.html_table import table

        warnings = table("Warnings", [(each,) for each in self.warnings]) if self.warnings else ""
        return self.bundle._repr_html_() + self.speed_comparison._repr_html_() + warnings


def quantize(
    parent: Bundle,
    calibration: CalibrationImages | None,
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
    """Quantize an FP32 bundle to INT8 or FP16, and measure the result on every installed engine.

    Args:
        parent: the FP32 bundle.
        calibration: training images that determine the scales of an INT8 bundle. FP16 has no scales: None is allowed,
            and only the source of these images is used.
        out: the new bundle's folder. Its name is the bundle's name.
        data: source of the test split for the proof. The default is the calibration's source, or without calibration
            the source of the parent's proof.
        gate_data: source of the training split for the gate. The default is the calibration's source. Without both,
            an FP16 bundle has no gate.
        options: quantization options.
        analyze: try every layer in float, and record gain and cost in the proof. INT8 only.
        seeds: measure the spread over this number of choices of calibration images. INT8 only.
        command: command line to record in the manifest.
        force: replace an existing bundle.
        strict: turn warnings into errors. No bundle is written then.
        progress: called at each stage.

    Raises:
        UsageError: `parent` is not FP32, `out` already exists or is not a valid bundle name, images are missing for
            INT8, or an argument does not apply to FP16.
        TestSplitRefused: the calibration images are test images.
        SourceError: images are missing, or have other classes.
        ProofFailed: the gate fails, the self-test is not decisive because of large errors, or `strict` is given and
            there is a warning.
    """
    options = options or QuantizationOptions()
    options.check_arguments(calibrated=calibration is not None, analyze=analyze, seeds=seeds)
    check_name(out.name)
    check_new_bundle(out, force=force)
    _check_parent(parent)
    test = proof_split(parent, data, calibration, strict=strict)
    calibrated = calibration if options.precision == "int8" else None
    overlap = () if calibrated is None else check_overlap(calibrated.chosen, test)
    gate = open_gate(parent, calibration, gate_data, options)
    is_ungated = calibrated is not None and gate is None and options.max_drop < NO_GATE
    model, limit = onnx.load(str(parent.model)), None if gate is None else gate[0]
    if calibrated is None:
        made = _fp16(parent, model, limit)
    else:
        made = _int8(parent, model, calibrated, limit, options=options, analyze=analyze, progress=progress)
    content = made.model.SerializeToString()
    proven = _prove(parent, made, content, test, full_range=options.full_range, progress=progress)
    of_parent = parent.proof()
    proof = dataclasses.replace(
        proven.proof,
        layers=made.layers,
        low_rank=made.low_rank,
        preprocessing=of_parent.preprocessing,
        checked_images=of_parent.checked_images,
        unsure=_unsure(parent, proven),
        calibration_images=() if calibrated is None else short_digests(calibrated.chosen),
        gate=None
        if gate is None or made.gate is None
        else gate_record(made.gate, *gate, labels=parent.manifest.labels),
    )
    whole = (_NOT_FACTORED,) if options.low_rank and not made.low_rank else ()
    warnings = (*proven.warnings, *gate_warnings(proof.gate), *overlap, *((_UNGATED,) if is_ungated else ()), *whole)
    if strict and warnings:
        raise ProofFailed(f"{warnings[0]}; no bundle was written (--strict)")
    record = None if calibrated is None else _calibration_record(parent, calibrated, options)
    manifest = _manifest(parent, out.name, made, calibration=record, command=command)
    bundle = create_bundle(out, manifest=manifest, model=content, self_test=proven.self_test, proof=proof, force=force)
    spread = None
    if seeds is not None and calibrated is not None:
        intact = proven.evaluation.images
        assert isinstance(intact, Split)
        spread = spread_over_seeds(parent, calibrated, seeds, test=intact, options=options, progress=progress)
    return Quantized(bundle, warnings, compare_bundles(parent, bundle, proven.evaluation, progress=progress), spread)


def _check_parent(parent: Bundle) -> None:
    """Check that a bundle has one graph, in FP32."""
    parent.check_one_graph("quantize")
    if parent.manifest.precision != "fp32":
        raise UsageError(f"{parent.path} is already {parent.manifest.precision}: quantize its FP32 parent")


@dataclass(frozen=True)
class _Made:
    """A new graph, its entry in the manifest, the result of its gate, and its layer reports."""

    model: onnx.ModelProto
    entry: Graph
    gate: GateResult | None
    layers: tuple[LayerReport, ...] = ()
    low_rank: tuple[LowRankLayer, ...] = ()


def _int8(
    parent: Bundle,
    model: onnx.ModelProto,
    calibration: CalibrationImages,
    gate: Gate | None,
    *,
    options: QuantizationOptions,
    analyze: bool,
    progress: Progress,
) -> _Made:
    manifest = parent.manifest
    pixels = LazyPixels(calibration.chosen, manifest.preprocessing)
    built = build(model, pixels, options=options, gate=gate, analyze=analyze, progress=progress)
    stored = Quantization("int8" if options.symmetric else "uint8", options.weight_limit, built.placement.float_tensors)
    macs = count_macs(built.model) if built.low_rank else manifest.macs  # rounding does not change them
    entry = Graph(MODEL, "int8", macs, built.weights, stored)
    return _Made(built.model, entry, built.gated, built.layers, built.low_rank)


def _fp16(parent: Bundle, model: onnx.ModelProto, gate: Gate | None) -> _Made:
    halved = halve(model, parent.self_test().images)
    entry = Graph(MODEL, "fp16", parent.manifest.macs, halved.weights, float_tensors=halved.float_tensors or None)
    return _Made(halved.model, entry, None if gate is None else judge_fp16(gate, model, halved.model))


@dataclass(frozen=True)
class _Proven:
    """The proof of a new graph, its self-test, the evaluation of both, and warnings."""

    proof: Proof
    self_test: SelfTest
    evaluation: Evaluation
    warnings: tuple[str, ...]


def _prove(
    parent: Bundle, made: _Made, content: bytes, test: Split, *, full_range: bool, progress: Progress
) -> _Proven:
    """Compare a new graph, serialized as `content`, with its parent on every installed engine."""
    manifest, self_test = parent.manifest, parent.self_test()
    precision = made.entry.precision
    with (
        temporary_graph(content) as path,
        engine_sessions(path, full_range=full_range) as sessions,
        engine_sessions(parent.model) as references,
    ):
        name, fp32 = next(iter(references.items()))
        compared = {**sessions, "reference": fp32}
        evaluation = evaluate(compared, test, manifest.preprocessing, classes=len(manifest.labels), progress=progress)
        # The parent matches PyTorch within 1e-4 of the spread, as its own proof shows.
        reference = f"fp32 bundle {parent.digest} on {name}"
        expected = evaluation.logits["reference"]
        proof = make_proof(reference, evaluation, expected, sessions, labels=manifest.labels, scores=manifest.scores)
        self_test = make_self_test(sessions, self_test.images, self_test.logits, self_test.encoded)
        warnings = (
            *agreement_warnings(proof, precision),
            *machine_warnings(self_test, sessions, precision, manifest=manifest, full_range=full_range),
            *(saturation_warnings(made.model, self_test, manifest=manifest) if full_range else ()),
        )
    return _Proven(proof, self_test, evaluation, warnings)


def _unsure(parent: Bundle, proven: _Proven) -> UnsureRecord | None:
    """Return what the parent's margin does on the answers of the new graph; None if the parent has no margin."""
    scores, known = parent.manifest.scores, parent.proof().unsure
    if scores.unsure_margin is None:
        return None
    logits = proven.evaluation.logits[proven.proof.engines[0].engine]
    images = None if known is None else known.chosen_on
    return unsure_record(scores.unsure_margin, logits, proven.evaluation, scores, images)


def _calibration_record(
    parent: Bundle, calibration: CalibrationImages, options: QuantizationOptions
) -> CalibrationRecord:
    images = calibration.chosen.reference()
    return CalibrationRecord(parent.digest, options.method, images, calibration.seed, options.rounding)


def _manifest(
    parent: Bundle, name: str, made: _Made, *, calibration: CalibrationRecord | None, command: str
) -> Manifest:
    return dataclasses.replace(
        parent.manifest,
        format=Format(MAJOR, MINOR),
        name=name,
        graphs=(made.entry,),
        provenance=dataclasses.replace(
            parent.manifest.provenance,
            created=utc_now(),
            command=command,
            versions=versions(),
            opset=next(each.version for each in made.model.opset_import if not each.domain),
            calibration=calibration,
        ),
    )
