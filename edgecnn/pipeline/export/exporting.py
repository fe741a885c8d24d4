"""`edgecnn export`: a checkpoint becomes a proven FP32 bundle, or nothing."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx

from edgecnn.bundle.finding import MANIFEST
from edgecnn.bundle.folder import check_output
from edgecnn.bundle.manifest import (
    MAJOR,
    MINOR,
    Format,
    Manifest,
    Provenance,
    check_name,
    tensor_specs,
    utc_now,
)
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.probe import EncodedImage
from edgecnn.bundle.store import Bundle, create_bundle
from edgecnn.errors import SourceError
from edgecnn.pipeline.data.photographs import photographs
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.export.graph import OPSET, to_onnx
from edgecnn.pipeline.inspection.graph import count_macs
from edgecnn.pipeline.original import Original
from edgecnn.pipeline.proving import (
    check_parity,
    choose_probe,
    encode_images,
    engine_sessions,
    evaluate,
    make_probe,
    make_proof,
    temporary_graph,
)
from edgecnn.pipeline.reference import Reference
from edgecnn.pipeline.versions import versions
from edgecnn.progress import Progress, silent


def export(
    original: Original,
    out: Path,
    *,
    data: str | None = None,
    command: str = "edgecnn.pipeline.export",
    force: bool = False,
    progress: Progress = silent,
) -> Bundle:
    """Export an original and prove the graph on every installed engine before the bundle appears.

    Args:
        original: what to export.
        out: the bundle's folder; its name is the bundle's name.
        data: source of the probe images and the test split; by default the one that it was trained on, and where that
            is not known, crops of photographs that scikit-learn ships.
        command: for the record.
        force: replace an existing bundle.
        progress: told of every stage.

    Raises:
        UsageError: `out` stands already or cannot name a bundle.
        SourceError: the images are not there, or have other classes.
        ProofFailed: the graph does not answer as the original; no bundle is written.
    """
    check_name(out.name)
    check_output(out, marker=MANIFEST, force=force)
    test = _test_split(original.source if data is None else data, original)
    probe_split = choose_probe(test)
    reference = Reference(original)
    images = probe_split.all_pixels(original.preprocessing)
    shape = (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
    progress("exporting", 0, 1)
    graph = to_onnx(original.module(), original.preprocessing, shape)
    model = graph.SerializeToString()
    with temporary_graph(model) as path, engine_sessions(path) as sessions:
        logits = reference.logits_of(probe_split.images[i] for i in range(len(probe_split)))
        check_parity(sessions, images, logits)
        encoded = _encoded_images(probe_split, original.preprocessing, reference)
        probe = make_probe(sessions, images, logits, encoded)
        evaluation = evaluate(
            {**sessions, "pytorch": reference},
            test,
            original.preprocessing,
            classes=len(original.labels),
            progress=progress,
        )
        proof = make_proof(f"pytorch {reference.info.version}", evaluation, evaluation.logits["pytorch"], sessions)
    manifest = _manifest(original, out.name, graph, shape=shape, command=command)
    return create_bundle(out, manifest=manifest, model=model, probe=probe, proof=proof, force=force)


def _test_split(data: str | None, original: Original) -> Split:
    """Open the images to prove on; where their classes are the original's, their targets count."""
    if data is None:
        return photographs()
    source = open_source(data)
    if source.labels == original.labels:
        return source.split("test")
    if original.source is None:  # weights from elsewhere: any real images will do, whatever their classes
        return dataclasses.replace(source.split("test"), targets=None)
    raise SourceError(
        f"{data} has the classes {', '.join(source.labels[:5])}…, the checkpoint has "
        f"{', '.join(original.labels[:5])}…: name the data it was trained on with --data"
    )


def _encoded_images(split: Split, preprocessing: Preprocessing, reference: Reference) -> list[EncodedImage]:
    encoded = []
    for kind, content in encode_images(split, preprocessing):
        logits = np.asarray(reference.logits_of([content])[0])
        pixels = preprocessing.image(content)
        encoded.append(EncodedImage("png" if kind == "png" else "jpeg", content, pixels, logits))
    return encoded


def _manifest(
    original: Original, name: str, graph: onnx.ModelProto, *, shape: tuple[int, int, int], command: str
) -> Manifest:
    image, logits = tensor_specs(shape, len(original.labels))
    return Manifest(
        format=Format(MAJOR, MINOR),
        name=name,
        network=original.network,
        precision="fp32",
        quantization=None,
        original=original.identity,
        labels=original.labels,
        input=image,
        output=logits,
        preprocessing=original.preprocessing,
        provenance=Provenance(
            created=utc_now(),
            command=command,
            versions=versions(),
            checkpoint=original.digest,
            training=original.training,
            opset=OPSET,
        ),
        macs=count_macs(graph),
    )
