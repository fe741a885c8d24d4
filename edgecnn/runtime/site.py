"""Where a measurement holds: what would make it another measurement."""

import importlib.metadata
from dataclasses import dataclass

from edgecnn.host.processor import emulator, processor
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.engines.backends import installed

_PACKAGES = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu"), "openvino": ("openvino",)}


@dataclass(frozen=True)
class Site:
    """What speed depends on.

    Attributes:
        processor: its name.
        features: its instruction sets.
        emulator: the command of the emulator that stands in for it, or None.
        cores: how many this process may keep busy.
        engines: engine to version, of those installed.
    """

    processor: str
    features: tuple[str, ...]
    emulator: str | None
    cores: int
    engines: dict[str, str]

    def difference(self, other: "Site") -> str | None:
        """Say in what another site differs from this one; None where it does not."""
        then, now = ((site.processor, ", ".join(site.features), site.emulator or "") for site in (other, self))
        if then != now:
            return f"the processor was {' '.join(filter(None, then))}, here it is {' '.join(filter(None, now))}"
        if other.cores != self.cores:
            return f"{other.cores} cores could be used, now {self.cores}"
        if other.engines != self.engines:
            return f"the engines were {_named(other.engines)}, now {_named(self.engines)}"
        return None


def this_site() -> Site:
    """Describe where this process runs; no engine is imported."""
    here = processor()
    engines = {name: _version(name) for name in installed()}
    return Site(here.name, here.features, " ".join(emulator()) or None, usable_cores(), engines)


def _version(engine: str) -> str:
    for package in _PACKAGES[engine]:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


def _named(engines: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in engines.items()) or "none"
