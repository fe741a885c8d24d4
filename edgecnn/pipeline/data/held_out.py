"""The images that training holds out to select the best epoch."""

from dataclasses import dataclass

from edgecnn.bundle.manifest import DataReference
from edgecnn.pipeline.data.source import DataSource, Split


@dataclass(frozen=True)
class HeldOut:
    """The images that training held out to select the best epoch.

    Attributes:
        share: their share of the training images, if the source has no validation images.
        images: their identity.
    """

    share: float
    images: DataReference


def training_and_validation(source: DataSource, everything: Split, fraction: float) -> tuple[Split, Split]:
    """Return the training images, and the images that select the best epoch: the source's own, or a part.

    Args:
        source: the data source.
        everything: its training split.
        fraction: share of `everything` to hold out if the source has no validation images.
    """
    own = getattr(source, "validation", None)
    validation: Split | None = None if own is None else own()
    return everything.parted(fraction) if validation is None else (everything, validation)
