"""`edgecnn.inspect`: show the layers of an architecture, a checkpoint or a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.bundle.store import Bundle

if TYPE_CHECKING:
    from edgecnn.bundle.manifest import Stem
    from edgecnn.pipeline.inspection.inspecting import Inspected


def inspect(
    subject: str | Path | Bundle, *, image_size: int | tuple[int, int] | None = None, stem: "Stem | None" = None
) -> "Inspected":
    """Return the layers of a network with their shapes, parameters, multiply-accumulates and receptive fields.

    Args:
        subject: an architecture such as `resnet18`, a factory such as `net.py:make`, a checkpoint folder, or a bundle.
        image_size: height and width of the images, in pixels; for an architecture only. The default is its usual size.
        stem: `standard` or `small`; for an architecture only. The default is `standard`.

    Returns:
        The layers in execution order, and for a bundle its quantized layers.

    Raises:
        UsageError: the architecture is unknown, or an option does not apply.
        CheckpointError, BundleError: the path cannot be read.
    """
    from edgecnn.pipeline.inspection.inspecting import inspect as run

    return run(str(subject.path if isinstance(subject, Bundle) else subject), image_size=image_size, stem=stem)
