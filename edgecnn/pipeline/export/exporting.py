"""Export a reference to a proven FP32 bundle. A failed proof writes no bundle."""

import contextlib
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx

from edgecnn.bundle.finding import MODEL, check_new_bundle, is_checkpoint
from edgecnn.bundle.graph_entry import Graph
from edgecnn.bundle.manifest import (
    MAJOR,
    MINOR,
    Format,
    Manifest,
    Provenance,
    ReferenceId,
    Scores,
    tensor_specs,
    utc_now,
)
from edgecnn.bundle.names import check_name
from edgecnn.bundle.proof import Proof
from edgecnn.bundle.self_test import EncodedImage, SelfTest
from edgecnn.bundle.store import Bundle, create_bundle
from edgecnn.errors import PreprocessingWarning, ProofFailed, UntrainedWarning, UsageError
from edgecnn.pipeline.checking.accuracy import Better
from edgecnn.pipeline.checking.checks import NOT_CHECKED, PreprocessingChecks, check_preprocessing
from edgecnn.pipeline.checking.subject import Subject
from edgecnn.pipeline.data.matching import match_classes, match_or_drop_classes
from edgecnn.pipeline.data.photographs import photographs
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.export.locating import first_difference
from edgecnn.pipeline.importing.onnx_file.reference import OnnxReference
from edgecnn.pipeline.importing.options import WeightsOptions
from edgecnn.pipeline.importing.weights import from_factory, open_weights
from edgecnn.pipeline.inspection.graph import count_macs
from edgecnn.pipeline.models.words import is_factory
from edgecnn.pipeline.proving import (
    ParityFailed,
    check_parity,
    choose_self_test,
    encode_images,
    engine_sessions,
    make_proof,
    make_self_test,
    temporary_graph,
)
from edgecnn.pipeline.reference import IndependentSession, Reference, identity_of
from edgecnn.pipeline.training.checkpoint import open_checkpoint, read_checkpoint
from edgecnn.pipeline.unsure import check_unsure_margin, sealed_margin
from edgecnn.pipeline.versions import versions
from edgecnn.progress import Progress, silent
from edgecnn.runtime.engines.engine import Session
from edgecnn.runtime.rates import rate
from edgecnn.runtime.verification.evaluation import evaluate

_REFERENCE = "reference"


def export(
    reference: Reference,
    out: Path,
    *,
    data: str | None = None,
    checks: PreprocessingChecks = NOT_CHECKED,
    unsure_margin: float | None = None,
    command: str = "edgecnn.pipeline.export",
    force: bool = False,
    progress: Progress = silent,
) -> Bundle:
    """Export a reference to a bundle and prove its graph on every installed engine.

    Args:
        reference: the network to export.
        out: the bundle's folder. Its name is the bundle's name.
        data: source of the self-test images and the test split. The default is the training data, or crops of the
            photographs in scikit-learn if the training data is unknown.
        checks: how to check the preprocessing.
        unsure_margin: the margin below which an answer is unsure. The default is chosen from labelled images; see
            `edgecnn.pipeline.unsure`.
        command: command line to record in the manifest.
        force: replace an existing bundle.
        progress: called at each stage.

    Warns:
        UntrainedWarning: the reference is no better than chance on the images of the proof.
        PreprocessingWarning: its top-1 is clearly higher with another preprocessing than the stated one.

    Raises:
        UsageError: `out` already exists or is not a valid bundle name, or `unsure_margin` is negative.
        SourceError: the images are missing, or have other classes.
        ProofFailed: the graph's logits differ from the reference's, or a check of the preprocessing failed. No bundle
            is written.
        EdgecnnError: the answers or the code of `checks` cannot be used.
    """
    check_name(out.name)
    check_new_bundle(out, force=force)
    check_unsure_margin(unsure_margin)
    test = _test_split(reference.data if data is None else data, reference)
    progress("exporting", 0, 1)
    graph = reference.to_onnx()
    model = graph.SerializeToString()
    with (
        temporary_graph(model) as path,
        engine_sessions(path) as sessions,
        contextlib.closing(reference.open()) as independent,
    ):
        chosen = choose_self_test(test)
        self_test = _self_test(reference, graph, chosen, independent, sessions)
        height, width, channels = map(int, self_test.images.shape[1:])
        subject = Subject(reference, independent, (height, width), self_test.logits)
        checked = check_preprocessing(checks, subject, chosen, self_test.encoded, test, progress=progress)
        evaluation = evaluate(
            {**sessions, _REFERENCE: independent},
            test,
            reference.preprocessing,
            classes=len(reference.labels),
            progress=progress,
        )
        name = f"{independent.info.engine} {independent.info.version}"
        expected = evaluation.logits[_REFERENCE]
        proof = make_proof(name, evaluation, expected, sessions, labels=reference.labels, scores=reference.scores)
        first, session = next(iter(sessions.items()))
        margin, unsure = sealed_margin(
            reference, session, evaluation, evaluation.logits[first], given=unsure_margin, progress=progress
        )
    proof = replace(proof, preprocessing=checked.how, checked_images=checked.images, unsure=unsure)
    _warn_of_accuracy(proof, len(reference.labels), reference.scores, better=checked.better)
    manifest = manifest_of(reference, out.name, graph, shape=(height, width, channels), command=command)
    manifest = replace(manifest, scores=replace(manifest.scores, unsure_margin=margin))
    return create_bundle(out, manifest=manifest, model=model, self_test=self_test, proof=proof, force=force)


def _self_test(
    reference: Reference,
    graph: onnx.ModelProto,
    split: Split,
    independent: IndependentSession,
    sessions: Mapping[str, Session],
) -> SelfTest:
    """Check the parity of the graph on the images of the self-test, and return the self-test.

    Raises:
        ProofFailed: the graph's logits differ from the reference's.
    """
    images = split.all_pixels(reference.preprocessing)
    logits = independent.logits_of(split.images[i] for i in range(len(split)))
    try:
        check_parity(sessions, images, logits, reference.scores)
    except ParityFailed as failed:
        where = f"the worst image is {split.name_of(failed.worst)}"
        if isinstance(reference, OnnxReference):
            where += f"; {first_difference(reference, graph, failed)}"
        raise ProofFailed(f"{failed}; {where}; no bundle was written") from None
    encoded = [
        EncodedImage(kind, content, reference.preprocessing.image(content), independent.logits_of([content])[0])
        for kind, content in encode_images(split, reference.preprocessing)
    ]
    return make_self_test(sessions, images, logits, encoded)


def _warn_of_accuracy(proof: Proof, classes: int, scores: Scores, *, better: Better | None) -> None:
    """Warn if the interval of the reference's top-1 includes what random answers reach, or is below it.

    A random answer is one of the labels, or each of several labels by the toss of a coin. Otherwise warn if another
    statement about the preprocessing is `better` than the stated one.
    """
    found = proof.engines[0].comparison
    chance = 0.5**classes if scores.multi_label else 1 / classes
    if found.reference_top1 is None or chance == 1:
        return
    if rate(round(found.reference_top1 * found.images), found.images).low <= chance:
        reason = f"{better}" if better else "the network looks untrained, or there are too few images to tell"
        warnings.warn(
            f"the reference's {scores.accuracy_name} is {found.reference_top1:.2%} on {found.images} images, no better "
            f"than chance ({chance:.2%}): {reason}",
            UntrainedWarning,
            stacklevel=3,
        )
    elif better is not None:
        warnings.warn(f"{better}: the stated preprocessing looks wrong", PreprocessingWarning, stacklevel=3)


def open_reference(subject: str, *, weights: str | None = None, options: WeightsOptions | None = None) -> Reference:
    """Open the reference to export: a checkpoint, or weights from another tool.

    Args:
        subject: a checkpoint folder, or a factory that returns trained weights; with `weights`, the word that names an
            architecture, see `named_architecture`.
        weights: a state dict file, the name of a torchvision weights entry, or a checkpoint folder.
        options: properties that a weights file does not contain.

    Warns:
        WeightsNote: see `importing.weights.from_file`.

    Raises:
        UsageError: the architecture or entry is unknown, or the options do not match the weights.
        CheckpointError: the file or folder cannot be read, or has the weights of another network.
    """
    if weights is None:
        is_code = is_factory(subject) and not Path(subject).exists()
        return (
            from_factory(subject, options or WeightsOptions()) if is_code else read_checkpoint(Path(subject)).reference
        )
    if is_checkpoint(Path(weights)):
        if options is not None:
            raise UsageError(f"{options.given} is for weights files, the checkpoint {weights} has its own: remove it")
        return open_checkpoint(subject, Path(weights))
    return open_weights(subject, weights, options or WeightsOptions())


def _test_split(data: str | None, reference: Reference) -> Split:
    """Open the images of the proof. Images of foreign classes prove imported weights too, but without accuracy."""
    if data is None:
        return photographs(reference.preprocessing.mode)
    source = open_source(data, needs_classes=False)
    split, multi_label = source.split("test"), reference.scores.multi_label
    if reference.data is None:  # imported weights: any real images are usable
        consequence = "the proof has no accuracy; pass the class names with --labels"
        return match_or_drop_classes(
            split, source.labels, reference.labels, "the network", consequence=consequence, multi_label=multi_label
        )
    return match_classes(split, source.labels, reference.labels, "the network", multi_label=multi_label)


def manifest_of(
    reference: Reference, name: str, graph: onnx.ModelProto, *, shape: tuple[int, int, int], command: str
) -> Manifest:
    """Return the manifest of a reference's graph, without `files`. `shape` is [H, W, C] of its images."""
    image, logits = tensor_specs(shape, len(reference.labels))
    return Manifest(
        format=Format(MAJOR, MINOR),
        name=name,
        network=reference.network,
        graphs=(Graph(MODEL, "fp32", count_macs(graph)),),
        reference=ReferenceId(reference.kind, identity_of(reference), reference.name, reference.source_digest),
        labels=reference.labels,
        input=image,
        output=logits,
        preprocessing=reference.preprocessing,
        scores=reference.scores,
        provenance=Provenance(
            created=utc_now(),
            command=command,
            versions=versions(),
            weights=reference.digest,
            training=reference.training,
            opset=next(each.version for each in graph.opset_import if not each.domain),
            reserved=reference.reserved,
        ),
    )
