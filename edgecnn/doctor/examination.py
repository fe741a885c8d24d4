"""Examination of one engine: a child process runs a small graph on each device, in each precision.

A child process is needed because an engine built for another processor crashes instead of raising an exception. The
command is `python -m edgecnn.doctor.examination ENGINE`. It prints an `Examination` as JSON.
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
from edgecnn.runtime.engines.engine import PRECISIONS, Device, Engine, Precision, SessionInfo, SessionOptions
from edgecnn.runtime.engines.four_bits import refusal_of_four_bits
from edgecnn.runtime.engines.registry import get_engine
from edgecnn.runtime.engines.saturation import GRAPH, SHAPE, saturating

TIMEOUT_S = 120.0


@dataclass(frozen=True)
class PrecisionTrial:
    """The result of one precision on one device: the session that ran, or the reason why none could be opened."""

    precision: Precision
    session: SessionInfo | None = None
    refusal: str | None = None


@dataclass(frozen=True)
class ExaminedDevice:
    """A device, with one trial for each precision.

    Attributes:
        name: as in `--device`.
        description: what the engine calls it.
        default_precision: the engine's default precision, or None if the engine does not report it.
        trials: one for each precision.
        four_bits: whether linear layers with 4-bit weights run in the first precision that the device supports; None
            if it supports none.
        four_bits_refusal: why they do not run.
    """

    name: str
    description: str
    default_precision: Precision | None
    trials: tuple[PrecisionTrial, ...]
    four_bits: bool | None = None
    four_bits_refusal: str | None = None

    @property
    def runs(self) -> bool:
        """Whether a graph runs on the device in any precision."""
        return any(trial.session for trial in self.trials)


@dataclass(frozen=True)
class Examination:
    """The result of examining one engine on this machine.

    Attributes:
        engine: name, as in `--engine`.
        problem: why the engine could not be examined (not installed, broken, crashed), or None.
        version: version of the engine.
        packages: installed packages, with versions, that provide the engine's module.
        devices: devices that the engine lists, with their trials.
        saturates: INT8 operators that saturate on the CPU by default; None if unknown.
        saturates_anyway: INT8 operators that saturate in exact INT8 mode too; None if unknown.
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
        """Whether a graph runs on any device."""
        return any(device.runs for device in self.devices)


def examine(name: str) -> Examination:
    """Examine an engine in this process: run a small graph on each device, in each precision."""
    try:
        engine = get_engine(name)
    except EngineError as error:
        return Examination(name, problem=str(error))
    devices = tuple(_examined(engine, device) for device in engine.devices())
    return Examination(
        name,
        version=next((trial.session.version for device in devices for trial in device.trials if trial.session), None),
        devices=devices,
        saturates=_saturating(engine, SessionOptions()),
        saturates_anyway=_saturating(engine, SessionOptions(exact_int8=True)),
    )


def examine_apart(engine: str, *, command: Sequence[str] | None = None, timeout_s: float = TIMEOUT_S) -> Examination:
    """Examine an engine in a child process, or with `command`. Report crashes and timeouts as the `problem`."""
    ours = child_command("edgecnn.doctor.examination", engine)
    try:
        done = subprocess.run(
            command or ours, env=child_environment(), capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Examination(engine, problem=f"no answer within {timeout_s:g} s")
    if done.returncode:
        name = signal_name(done.returncode)
        problem = f"failed with exit code {done.returncode}: {last_line(done.stderr) or 'no error output'}"
        return Examination(engine, problem=problem if name is None else f"crashed: signal {name}")
    try:
        return parse(Examination, done.stdout)
    except SchemaError as error:
        return Examination(engine, problem=f"invalid output from the examination process: {error}")


def _examined(engine: Engine, device: Device) -> ExaminedDevice:
    trials = tuple(_trial(engine, device.name, precision) for precision in PRECISIONS)
    try:
        default = engine.default_precision(GRAPH, device.name)
    except EngineError:  # the trials contain the reason
        default = None
    runs, refusal = _four_bits(engine, device.name, trials)
    return ExaminedDevice(device.name, device.description, default, trials, runs, refusal)


def _four_bits(engine: Engine, device: str, trials: tuple[PrecisionTrial, ...]) -> tuple[bool | None, str | None]:
    """Return whether 4-bit linear layers run on a device, and why they do not; None if no graph runs."""
    precision = next((trial.precision for trial in trials if trial.session), None)
    if precision is None:
        return None, None
    refusal = refusal_of_four_bits(engine, SessionOptions(device=device, precision=precision))
    return refusal is None, refusal


def _trial(engine: Engine, device: str, precision: Precision) -> PrecisionTrial:
    """Open the graph and run it once: some devices can open a graph but cannot run it."""
    try:
        session = engine.open(GRAPH, SessionOptions(device=device, precision=precision))
        try:
            session.run(np.zeros(SHAPE, np.uint8))
        finally:
            session.close()
    except EngineError as error:
        return PrecisionTrial(precision, refusal=str(error))
    return PrecisionTrial(precision, session.info)


def _saturating(engine: Engine, options: SessionOptions) -> tuple[str, ...] | None:
    try:
        return saturating(engine, options)
    except EngineError:
        return None


def main() -> None:
    """Examine the engine named on the command line, and print the result to stdout."""
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # engines print to stdout; keep it free for the JSON
    found = dump(examine(sys.argv[1]))
    with os.fdopen(answer, "w", encoding="utf-8") as stream:
        stream.write(found)


if __name__ == "__main__":
    main()
