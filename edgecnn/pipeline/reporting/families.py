"""The bundles of a report, in families of one reference."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from edgecnn.bundle.proof import Proof
from edgecnn.bundle.store import Bundle
from edgecnn.errors import BundleError
from edgecnn.pipeline.inspection.graph import inspect_bundle
from edgecnn.pipeline.inspection.layers import Inspection


@dataclass(frozen=True)
class Subject:
    """A bundle of a report. `name` differs from the names of the other bundles."""

    bundle: Bundle
    name: str

    @cached_property
    def proof(self) -> Proof:
        """The bundle's proof."""
        return self.bundle.proof()

    @cached_property
    def inspection(self) -> Inspection | None:
        """The layers of the graph; None if it cannot be inspected, and for a cascade."""
        if self.bundle.manifest.cascade is not None:
            return None
        try:
            return inspect_bundle(self.bundle)
        except BundleError:
            return None

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates for one image; None if unknown."""
        known = self.bundle.manifest.macs
        return self.inspection.macs if known is None and self.inspection is not None else known

    @property
    def folder_bytes(self) -> int:
        """Size of all files that the manifest lists, in bytes."""
        return sum(entry.size_bytes for entry in self.bundle.manifest.files.values())


@dataclass(frozen=True)
class Family:
    """The bundles of one reference. If one is FP32, it is the first, and the other bundles are compared with it."""

    subjects: tuple[Subject, ...]

    @property
    def first(self) -> Subject:
        """The first bundle."""
        return self.subjects[0]

    @property
    def compared(self) -> tuple[Subject, ...]:
        """The bundles that are compared with the first one; empty if it is not FP32."""
        return self.subjects[1:] if self.first.bundle.manifest.precision == "fp32" else ()


def families(bundles: Sequence[Bundle]) -> tuple[Family, ...]:
    """Sort bundles into families, in the order of the first bundle of each."""
    groups: dict[object, list[Subject]] = {}
    for subject in _named(bundles):
        manifest = subject.bundle.manifest
        key = manifest.reference.digest, manifest.labels, manifest.preprocessing
        groups.setdefault(key, []).append(subject)
    return tuple(
        Family(tuple(sorted(group, key=lambda each: each.bundle.manifest.precision != "fp32")))
        for group in groups.values()
    )


def _named(bundles: Sequence[Bundle]) -> list[Subject]:
    """Give each bundle a name: its own, with its digest where several bundles have this name."""
    counts = Counter(bundle.manifest.name for bundle in bundles)

    def name(bundle: Bundle) -> str:
        own = bundle.manifest.name
        return own if counts[own] == 1 else f"{own} ({bundle.digest[:12]})"

    return [Subject(bundle, name(bundle)) for bundle in bundles]
