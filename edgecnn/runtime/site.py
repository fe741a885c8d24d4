"""The hardware and engine versions for which a measurement is valid."""

import importlib.metadata
from dataclasses import dataclass

from edgecnn.host.processor import emulator, processor
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.engines.registry import installed

_PACKAGES = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu"), "openvino": ("openvino",)}


@dataclass(frozen=True)
class Site:
    """Hardware and engine versions that determine speed.

    Attributes:
        processor: name.
        features: instruction sets.
        emulator: command of the emulator that runs this process, or None.
        cores: number of usable cores.
        engines: engine to version, for all installed engines.
    """

    processor: str
    features: tuple[str, ...]
    emulator: str | None
    cores: int
    engines: dict[str, str]

    def difference(self, other: "Site") -> str | None:
        """Return a description of how another, earlier site differs from this one; None if it does not."""
        then, now = ((site.processor, ", ".join(site.features), site.emulator or "") for site in (other, self))
        if then != now:
            return f"the processor was {' '.join(filter(None, then))}, now {' '.join(filter(None, now))}"
        if other.cores != self.cores:
            return f"the usable cores were {other.cores}, now {self.cores}"
        if other.engines != self.engines:
            return f"the engines were {_named(other.engines)}, now {_named(self.engines)}"
        return None


def this_site() -> Site:
    """Return the site of this process. Does not import an engine."""
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
