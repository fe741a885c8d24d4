"""The images that `quantize` measures on: the test split of the proof, and the held-out images of the gate."""

from pathlib import Path

from edgecnn.bundle.proof import GateRecord
from edgecnn.bundle.store import Bundle
from edgecnn.errors import SourceError, UsageError
from edgecnn.pipeline.data.held_out import unreserved
from edgecnn.pipeline.data.matching import match_classes, match_or_drop_classes
from edgecnn.pipeline.data.photographs import PHOTOGRAPHS, photographs
from edgecnn.pipeline.data.source import DataSource, LazyPixels, Split
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.quantization.calibration_config import CalibrationImages, choose, held_out
from edgecnn.pipeline.quantization.gate import Gate, GateResult
from edgecnn.pipeline.quantization.options import QuantizationOptions
from edgecnn.runtime.verification.paired import images_needed
from edgecnn.runtime.verification.per_class import per_class

NO_GATE = 100.0
"""Value of `max_drop`, in points, that sets no limit."""


def proof_split(
    parent: Bundle, data: DataSource | None, calibration: CalibrationImages | None, *, strict: bool = False
) -> Split:
    """Return the images of the proof, from `data`, from the calibration's source, or from the parent's source.

    Raises:
        UsageError: neither source is given, and the images of the parent's proof are not here.
        SourceError: the source has no test split, or `data` has other classes.
    """
    labels, multi_label, subject = parent.manifest.labels, parent.manifest.scores.multi_label, str(parent.path)
    if data is not None:
        return match_classes(data.split("test"), data.labels, labels, subject, multi_label=multi_label)
    if calibration is not None:
        source = calibration.source
    else:
        name = parent.proof().data.source
        if name == PHOTOGRAPHS:
            return photographs(parent.manifest.preprocessing.mode)
        source = _recorded_source(name, strict=strict)
    consequence = "the proof has no accuracy; pass labelled images with --data"
    return match_or_drop_classes(
        source.split("test"), source.labels, labels, subject, multi_label=multi_label, consequence=consequence
    )


def _recorded_source(name: str, *, strict: bool) -> DataSource:
    """Open the source of the parent's proof. A proof contains its name, not its path."""
    try:
        if Path(name).name == name:
            return open_source(name, needs_classes=False, strict=strict)
    except SourceError:
        pass
    raise UsageError(f"the images of the parent's proof, {name!r}, are not in this folder: pass images with --data")


def open_gate(
    parent: Bundle, calibration: CalibrationImages | None, data: DataSource | None, options: QuantizationOptions
) -> tuple[Gate, Split] | None:
    """Choose the images of the gate; None if the drop is unlimited, or no training images are given or remain.

    Raises:
        UsageError: the images are too few to certify the drop.
        SourceError: the source has no training split.
    """
    source = data or (None if calibration is None else calibration.source)
    needs = "--low-rank" if options.low_rank else None if options.min_agreement is None else "--min-agreement"
    if source is None and needs:
        raise UsageError(f"{needs} needs training images: add --gate-data SOURCE")
    if source is None or (options.max_drop >= NO_GATE and not needs):
        return None
    split = unreserved(source.split("train"), parent.manifest.provenance.reserved)
    if options.precision == "int8" and calibration is not None:
        split = held_out(split, calibration.chosen, options.gate_count, calibration.seed)
    else:
        split = choose(split, options.gate_count, 0)
    if not len(split):
        if needs:
            raise UsageError(
                f"calibration uses all training images, so no images remain for the gate, which {needs} needs: "
                f"lower --count, or pass --gate-data"
            )
        return None
    split = match_or_drop_classes(
        split,
        source.labels,
        parent.manifest.labels,
        str(parent.path),
        multi_label=parent.manifest.scores.multi_label,
        consequence="the gate compares labels with the FP32 bundle's instead",
    )
    gate = Gate(
        LazyPixels(split, parent.manifest.preprocessing),
        split.targets,
        options.max_drop / 100,
        options.certify,
        options.on_undecided,
        parent.manifest.scores,
        None if options.min_agreement is None else options.min_agreement / 100,
    )
    gate.check()
    return gate, split


def gate_record(result: GateResult, gate: Gate, split: Split, *, labels: tuple[str, ...]) -> GateRecord:
    """Return the record of the gate. `split` are its images, and `labels` the class names."""
    after = result.after
    used = split.subset(range(after.images))
    return GateRecord(
        data=used.reference(),
        max_drop=gate.max_drop,
        certified=gate.certify,
        before=result.before,
        after=after,
        decision=result.decision,
        images_needed=images_needed(after, gate.max_drop) if after.against(gate.max_drop) == "undecided" else None,
        per_class=per_class(result.expected, result.answers, targets=used.targets, labels=labels).differing(),
        min_agreement=result.min_agreement,
        agreement=result.agreement,
    )
