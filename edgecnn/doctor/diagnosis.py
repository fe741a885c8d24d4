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
from edgecnn.host.machine import Machine, machine
from edgecnn.runtime.engines.choices import ENGINES
from edgecnn.runtime.engines.registry import installed, none_installed


@dataclass(frozen=True)
class Diagnosis:
    """The machine, an examination of each engine (installed or not), and the hazards."""

    machine: Machine
    engines: tuple[Examination, ...]
    hazards: tuple[Hazard, ...]


def diagnose(*, root: Path = Path("/"), examine: Callable[[str], Examination] = examine_apart) -> Diagnosis:
    """Examine this machine and every engine. `root` contains `/proc` and `/sys`."""
    here = machine(root)
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
    return Diagnosis(here, tuple(engines), hazards(here, engines, telemetry=telemetry))


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
