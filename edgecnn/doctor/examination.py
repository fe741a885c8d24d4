"""What one engine really does here, found by running a small graph through it, in a process of its own.

An engine that was built for another processor does not raise, it dies, and takes its process along. The child is
`python -m edgecnn.doctor.examination ENGINE`, its answer an `Examination` as JSON.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.errors import EngineError
from edgecnn.files.schema import SchemaError, dump, parse
from edgecnn.host.child import child_command, child_environment, last_line, signal_name
from edgecnn.runtime.engines.backend import PRECISIONS, Backend, Device, Precision, SessionInfo, SessionOptions
from edgecnn.runtime.engines.backends import get_backend
from edgecnn.runtime.engines.saturation import GRAPH, SHAPE, saturating

TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Trial:
    """A device asked for a precision: the session that ran, as the engine describes it, or why it was refused."""

    precision: Precision
    session: SessionInfo | None = None
    refusal: str | None = None


@dataclass(frozen=True)
class ExaminedDevice:
    """A device, named as `--device` takes it, with one trial for each precision.

    `default_precision` is what the engine computes in by default; None if it does not report it.
    """

    name: str
    description: str
    default_precision: Precision | None
    trials: tuple[Trial, ...]

    @property
    def runs(self) -> bool:
        """Whether a graph runs on it, in any precision."""
        return any(trial.session for trial in self.trials)


@dataclass(frozen=True)
class Examination:
    """What an engine does on this machine.

    Attributes:
        engine: its name, as in `--backend`.
        problem: why there is nothing more to tell: not installed, broken, crashed.
        version: of the engine.
        packages: the installed packages, with versions, that own its module.
        devices: what it names, and what runs there.
        saturates: the INT8 operators whose sums saturate on the CPU unless it is told otherwise; None for unknown.
        saturates_anyway: those that do although it was told to sum exactly.
    """

    engine: str
    problem: str | None = None
    version: str | None = None
    packages: tuple[str, ...] = ()
    devices: tuple[ExaminedDevice, ...] = ()
    saturates: tuple[str, ...] | None = None
    saturates_anyway: tuple[str, ...] | None = None

    @property
    def runs(self) -> bool:
        """Whether a graph runs on any of its devices."""
        return any(device.runs for device in self.devices)


def examine(engine: str) -> Examination:
    """Run a small graph on each device of an engine, in each precision, in this process."""
    try:
        backend = get_backend(engine)
    except EngineError as error:
        return Examination(engine, problem=str(error))
    devices = tuple(_examined(backend, device) for device in backend.devices())
    return Examination(
        engine,
        version=next((trial.session.version for device in devices for trial in device.trials if trial.session), None),
        devices=devices,
        saturates=_saturating(backend, SessionOptions()),
        saturates_anyway=_saturating(backend, SessionOptions(exact_int8=True)),
    )


def examine_apart(engine: str, *, command: Sequence[str] | None = None, timeout_s: float = TIMEOUT_S) -> Examination:
    """Examine an engine in a child process, or by `command`; a crash, a timeout or a failure is the result then."""
    ours = child_command("edgecnn.doctor.examination", engine)
    try:
        done = subprocess.run(
            command or ours, env=child_environment(), capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Examination(engine, problem=f"gave no answer within {timeout_s:g} s")
    if done.returncode:
        name = signal_name(done.returncode)
        problem = f"failed with exit code {done.returncode}: {last_line(done.stderr) or 'it said nothing'}"
        return Examination(engine, problem=problem if name is None else f"crashed: signal {name}")
    try:
        return parse(Examination, done.stdout)
    except SchemaError as error:
        return Examination(engine, problem=f"answered what cannot be read: {error}")


def _examined(backend: Backend, device: Device) -> ExaminedDevice:
    trials = tuple(_trial(backend, device.name, precision) for precision in PRECISIONS)
    try:
        default = backend.default_precision(GRAPH, device.name)
    except EngineError:  # the trials say why
        default = None
    return ExaminedDevice(device.name, device.description, default, trials)


def _trial(backend: Backend, device: str, precision: Precision) -> Trial:
    """Open the graph and run it once: some devices open what they cannot run."""
    try:
        session = backend.open(GRAPH, SessionOptions(device=device, precision=precision))
        try:
            session.run(np.zeros(SHAPE, np.uint8))
        finally:
            session.close()
    except EngineError as error:
        return Trial(precision, refusal=str(error))
    return Trial(precision, session.info)


def _saturating(backend: Backend, options: SessionOptions) -> tuple[str, ...] | None:
    try:
        return saturating(backend, options)
    except EngineError:
        return None


def main() -> None:
    """Examine the engine that the command line names, and answer on stdout."""
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # engines print; nothing but the answer may stand in it
    found = dump(examine(sys.argv[1]))
    with os.fdopen(answer, "w", encoding="utf-8") as stream:
        stream.write(found)


if __name__ == "__main__":
    main()
