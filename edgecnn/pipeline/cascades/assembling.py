"""Writes a cascade from two bundles: both graphs, the threshold, the self-test and the proof."""

import dataclasses
from pathlib import Path

from edgecnn.bundle.finding import ACCURATE, MODEL
from edgecnn.bundle.manifest import MAJOR, MINOR, Cascade, Format, utc_now
from edgecnn.bundle.proof import Proof
from edgecnn.bundle.self_test import SelfTest
from edgecnn.bundle.store import Bundle, create_bundle
from edgecnn.pipeline.versions import versions


def assemble(
    fast: Bundle,
    accurate: Bundle,
    threshold: float,
    out: Path,
    *,
    self_test: SelfTest,
    proof: Proof,
    unsure_margin: float | None = None,
    command: str = "edgecnn.pipeline.cascades",
    force: bool = False,
) -> Bundle:
    """Write a cascade. It has the reference, the network and the provenance of the accurate bundle.

    Args:
        fast: the bundle whose graph runs on every image.
        accurate: the bundle whose graph runs again on images with a small margin.
        threshold: an image runs again if its margin under `fast` is below it.
        out: the new bundle's folder. Its name is the bundle's name.
        self_test: the self-test of the cascade; see `edgecnn.pipeline.cascades.self_test`.
        proof: the proof of the cascade.
        unsure_margin: an answer of the cascade is unsure below this margin; None for no margin.
        command: command line to record in the manifest.
        force: replace an existing bundle.

    Raises:
        OutputExists: `out` exists and `force` is false.
        EdgecnnError: writing failed; nothing has changed.
    """
    whole = accurate.manifest
    manifest = dataclasses.replace(
        whole,
        format=Format(MAJOR, MINOR),
        name=out.name,
        graphs=(
            dataclasses.replace(fast.manifest.graph, file=MODEL),
            dataclasses.replace(whole.graph, file=ACCURATE),
        ),
        cascade=Cascade(threshold, fast.digest, accurate.digest),
        scores=dataclasses.replace(whole.scores, unsure_margin=unsure_margin),
        provenance=dataclasses.replace(whole.provenance, created=utc_now(), command=command, versions=versions()),
    )
    models = (fast.model.read_bytes(), accurate.model.read_bytes())
    return create_bundle(out, manifest=manifest, model=models, self_test=self_test, proof=proof, force=force)
