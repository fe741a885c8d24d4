"""Diagnosis of this machine: its hardware, its engines and the known hazards."""

import dataclasses
import importlib.metadata
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgecnn.doctor.examination import Examination, examine_apart
from edgecnn.doctor.hazards import Hazard, hazards
from edgecnn.errors import EngineError, EngineMissing
from edgecnn.hints import install_command
from edgecnn.host.bandwidth import Reads, read_bandwidth_apart
from edgecnn.host.machine import Machine, machine
from edgecnn.runtime.engines.choices import ENGINES
from edgecnn.runtime.engines.registry import installed, none_installed

_READ_BYTES = 64 << 20
"""About AlexNet's weights in INT8."""


@dataclass(frozen=True)
class Diagnosis:
    """The machine, an examination of each engine (installed or not), and the hazards.

    `read_bytes_per_s` is the read bandwidth of all usable cores together; None if it could not be measured.
    """

    machine: Machine
    engines: tuple[Examination, ...]
    hazards: tuple[Hazard, ...]
    read_bytes_per_s: float | None = None


def diagnose(
    *,
    root: Path = Path("/"),
    examine: Callable[[str], Examination] = examine_apart,
    read_bandwidth: Callable[[Reads], float | None] = read_bandwidth_apart,
) -> Diagnosis:
    """Examine this machine and every engine. `root` contains `/proc` and `/sys`."""
    here = machine(root)
    read_bytes_per_s = read_bandwidth(Reads(here.usable_cores, _READ_BYTES))
    owners = importlib.metadata.packages_distributions()
    engines = []
    for name in ENGINES:
        if name in installed():
            packages = tuple(
                f"{owner} {importlib.metadata.version(owner)}" for owner in sorted(set(owners.get(name, ())))
            )
            found = dataclasses.replace(examine(name), packages=packages)
        else:
            found = Examination(name, problem=f"not installed: {install_command(name)}")
        engines.append(found)
    telemetry = os.environ.get("ORT_DISABLE_TELEMETRY")
    return Diagnosis(here, tuple(engines), hazards(here, engines, telemetry=telemetry), read_bytes_per_s)


def require_engine(diagnosis: Diagnosis) -> None:
    """Check that at least one engine runs a graph.

    Raises:
        EngineMissing: no engine is installed.
    EngineError: no installed engine runs a small graph.
    """
    if any(engine.runs for engine in diagnosis.engines):
        return
    if not installed():
        raise EngineMissing(none_installed())
    reasons = (f"{engine.engine}: {engine.problem or 'no device runs a graph'}" for engine in diagnosis.engines)
    raise EngineError(f"no engine runs a graph on this machine: {'; '.join(reasons)}")
