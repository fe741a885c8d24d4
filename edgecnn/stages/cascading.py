"""`edgecnn.cascade`: combine a fast and an accurate bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn.errors import UsageError
from edgecnn.progress import Progress, silent
from edgecnn.stages.describing import check_names, names_of
from edgecnn.stages.opening import BundleLike, open_one

if TYPE_CHECKING:
    from edgecnn.pipeline.cascades.cascading import Cascaded


def cascade(
    fast: BundleLike,
    accurate: BundleLike,
    out: str | Path,
    *,
    data: str | Path,
    reference: BundleLike | None = None,
    force: bool = False,
    strict: bool = False,
    command: str = "edgecnn.cascade",
    progress: Progress = silent,
    **options: Any,
) -> "Cascaded":
    """Combine two bundles: images whose margin under the fast one is below a threshold run on the accurate one too.

    The threshold is the smallest one that reaches an agreement with the accurate bundle's reference. It is chosen on
    some training images that are new to both networks, and the agreement is bounded on others.

    Args:
        fast: the bundle whose graph runs on every image, or its folder.
        accurate: the bundle whose graph runs again on images with a small margin, or its folder.
        out: the new bundle's folder. Its name becomes the bundle's name.
        data: source of the training images, and of the test images of the proof.
        reference: the FP32 bundle of the accurate bundle's reference. Required if the accurate bundle is not FP32.
        force: replace an existing bundle.
        strict: turn warnings into errors. No bundle is written then.
        command: command line to record in the manifest.
        progress: called at each stage.
        options: fields of `CascadeOptions`, such as `min_agreement=99.9`.

    Returns:
        The new bundle, the record in its proof, and warnings.

    Raises:
        UsageError: the bundles do not fit together, the images are too few or were seen, or `out` exists.
        SourceError: images are missing, or have other classes.
        ProofFailed: the bound does not hold, or one graph alone is enough.
    """
    from edgecnn.pipeline.cascades.options import CascadeOptions

    check_names(options, names_of(CascadeOptions))
    try:
        chosen = CascadeOptions(**options)
    except ValueError as error:
        raise UsageError(str(error)) from None
    first, second = open_one(fast), open_one(accurate)
    from edgecnn.pipeline.cascades.cascading import cascade as run
    from edgecnn.pipeline.data.sources import open_source

    return run(
        first,
        second,
        Path(out),
        open_source(str(data), needs_classes=False, strict=strict),
        reference=None if reference is None else open_one(reference),
        options=chosen,
        command=command,
        force=force,
        strict=strict,
        progress=progress,
    )
