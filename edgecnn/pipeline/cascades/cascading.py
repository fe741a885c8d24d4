"""`edgecnn cascade`: make a proven cascade from a fast and an accurate bundle."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from edgecnn.bundle.cascade_record import CascadeRecord
from edgecnn.bundle.finding import check_new_bundle
from edgecnn.bundle.names import check_name
from edgecnn.bundle.store import Bundle
from edgecnn.errors import ProofFailed
from edgecnn.pipeline.cascades.assembling import assemble
from edgecnn.pipeline.cascades.bound import upper_bound
from edgecnn.pipeline.cascades.bounding import bound, check_worth, choose
from edgecnn.pipeline.cascades.cost import measure_cost
from edgecnn.pipeline.cascades.opened_pair import open_pair
from edgecnn.pipeline.cascades.options import CascadeOptions
from edgecnn.pipeline.cascades.pair import check_pair, reference_of
from edgecnn.pipeline.cascades.proving import prove, sealed_unsure
from edgecnn.pipeline.cascades.unseen import find_unseen
from edgecnn.pipeline.data.matching import match_or_drop_classes
from edgecnn.pipeline.data.source import DataSource, Split
from edgecnn.progress import Progress, silent


@dataclass(frozen=True)
class Cascaded:
    """The new bundle, the record in its proof, and warnings."""

    bundle: Bundle
    record: CascadeRecord
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<Cascaded {self.bundle}: {self.record.share:.1%} of the images run again>"


def cascade(
    fast: Bundle,
    accurate: Bundle,
    out: Path,
    data: DataSource,
    *,
    reference: Bundle | None = None,
    options: CascadeOptions | None = None,
    command: str = "edgecnn.pipeline.cascades",
    force: bool = False,
    strict: bool = False,
    progress: Progress = silent,
) -> Cascaded:
    """Make a cascade, with the smallest threshold that reaches an agreement with the reference, and prove it.

    Args:
        fast: the bundle whose graph runs on every image.
        accurate: the bundle whose graph runs again on images with a small margin.
        out: the new bundle's folder. Its name is the bundle's name.
        data: source of a training split, whose unseen images choose the threshold and bound the disagreement, and of
            a test split for the proof.
        reference: FP32 bundle of the accurate bundle's reference, if the accurate bundle is not FP32.
        options: the agreement to show, and which images to use.
        command: command line to record in the manifest.
        force: replace an existing bundle.
        strict: turn warnings into errors. No bundle is written then.
        progress: called at each stage.

    Raises:
        UsageError: the bundles do not fit together, the images are too few or were seen, or `out` exists.
        SourceError: images are missing, or have other classes.
        ProofFailed: the bound does not hold, a graph alone is enough, or `strict` is given and there is a warning.
    """
    check_name(out.name)
    check_new_bundle(out, force=force)
    check_pair(fast, accurate)
    expected = reference_of(accurate, reference)
    options = options or CascadeOptions()
    test = _matched(data.split("test"), data, accurate)
    images = find_unseen(
        fast,
        accurate,
        _matched(data.split("train"), data, accurate),
        test,
        options=options,
    )
    with open_pair(fast, accurate, expected) as opened:
        chosen = choose(opened, images, options.limit, progress)
        bounded = bound(opened, images, chosen, options.limit, progress)
        shares = {each.engine: each.again / each.images for each in bounded}
        cost = measure_cost(fast, accurate, shares, progress=progress)
        if cost.cost is not None:
            check_worth(accurate, cost.cost, shares[cost.cost.engine])
        proven = prove(opened, chosen, test, progress)
    record = CascadeRecord(
        chosen.choice.threshold,
        1 - options.limit,
        images.how,
        images.choosing.reference(),
        chosen.fast_agreement,
        images.bounding.reference(),
        max(upper_bound(each.differing, each.images) for each in bounded),
        tuple(
            dataclasses.replace(each, test_images=len(proven.evaluation.images), test_again=proven.again[each.engine])
            for each in bounded
        ),
        cost.cost,
    )
    warnings = (*proven.warnings, *(() if cost.doubt is None else (f"the cost is unknown: {cost.doubt}",)))
    if strict and warnings:
        raise ProofFailed(f"{warnings[0]}; no bundle was written (--strict)")
    margin, unsure = sealed_unsure(opened, chosen, proven)
    of_accurate = accurate.proof()
    bundle = assemble(
        fast,
        accurate,
        chosen.choice.threshold,
        out,
        self_test=proven.self_test,
        proof=dataclasses.replace(
            proven.proof,
            preprocessing=of_accurate.preprocessing,
            checked_images=of_accurate.checked_images,
            calibration_images=tuple(
                dict.fromkeys(digest for each in (fast, accurate) for digest in each.proof().calibration_images)
            ),
            unsure=unsure,
            cascade=record,
        ),
        unsure_margin=margin,
        command=command,
        force=force,
    )
    return Cascaded(bundle, record, warnings)


def _matched(split: Split, data: DataSource, accurate: Bundle) -> Split:
    manifest = accurate.manifest
    return match_or_drop_classes(
        split,
        data.labels,
        manifest.labels,
        str(accurate.path),
        multi_label=manifest.scores.multi_label,
        consequence="the proof has no accuracy",
    )
