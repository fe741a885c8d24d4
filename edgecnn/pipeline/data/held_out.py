"""The images that training does not train with: held out to select the best epoch, or reserved for later."""

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


def reserved(split: Split, share: float) -> Split:
    """Return about this share of the images, which training with `reserve` uses for nothing.

    The choice depends on the content of each image only: a reserved image is reserved in every source, and those of a
    smaller share are among those of a larger one.
    """
    return split.subset([index for index in range(len(split)) if is_reserved(split.images.digest(index), share)])


def unreserved(split: Split, share: float) -> Split:
    """Return the images that are not `reserved`."""
    if not share:
        return split
    return split.subset([index for index in range(len(split)) if not is_reserved(split.images.digest(index), share)])


def is_reserved(digest: bytes, share: float) -> bool:
    """Return whether the image with this digest is reserved.

    It uses bytes of the digest that neither `is_test` nor `Split.parted` uses.
    """
    return int.from_bytes(digest[16:24], "big") < share * 2**64


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
