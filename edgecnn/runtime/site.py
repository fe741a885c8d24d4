"""Where a measurement holds: what would make it another measurement."""

import importlib.metadata
from dataclasses import dataclass

from edgecnn.runtime.backends import installed
from edgecnn.runtime.host import usable_cores
from edgecnn.runtime.processor import processor

_PACKAGES = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu"), "openvino": ("openvino",)}


@dataclass(frozen=True)
class Site:
    """What speed depends on.

    Attributes:
        processor: its name.
        features: its instruction sets.
        cores: how many this process may keep busy.
        engines: engine to version, of those installed.
    """

    processor: str
    features: tuple[str, ...]
    cores: int
    engines: dict[str, str]

    def difference(self, other: "Site") -> str | None:
        """Say in what another site differs from this one; None where it does not."""
        if (other.processor, other.features) != (self.processor, self.features):
            return f"the processor was {other.processor}, here it is {self.processor}"
        if other.cores != self.cores:
            return f"{other.cores} cores could be used, now {self.cores}"
        if other.engines != self.engines:
            return f"the engines were {_named(other.engines)}, now {_named(self.engines)}"
        return None


def this_site() -> Site:
    """Describe where this process runs; no engine is imported."""
    here = processor()
    return Site(here.name, here.features, usable_cores(), {name: _version(name) for name in installed()})


def _version(engine: str) -> str:
    for package in _PACKAGES[engine]:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


def _named(engines: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in engines.items()) or "none"
