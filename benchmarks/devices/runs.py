"""Run edgecnn on one device for `check.py`, through the command line and the public API, in separate processes.

The processes are observed from outside, and edgecnn is not changed for the emulator.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.results import DIGIT
from benchmarks.common.served_once import Served, served
from benchmarks.devices.emulation import Processor
from edgecnn.bundle.store import Bundle

_LIMIT_S = 3600
_ANSWERS = """
import json, sys, time
begun = float(sys.argv[5])
import numpy as np
import edgecnn
bundle, engine, images, logits = sys.argv[1:5]
images = np.load(images)
with edgecnn.load(bundle, engine=engine) as classifier:
    classifier.logits(images[:1])
    started = time.time() - begun
    np.save(logits, np.concatenate([classifier.logits(images[at : at + 8]) for at in range(0, len(images), 8)]))
    engine = f"{classifier.info.engine} {classifier.info.version}"
status = open("/proc/self/status").read()  # getrusage would include the parent's peak
peak = int(status.partition("VmHWM:")[2].split()[0])
print(json.dumps({"startup_s": started, "peak_kib": peak, "engine": engine}))
"""


@dataclass(frozen=True)
class Said:
    """The result of a command.

    Attributes:
        code: its exit code.
        result: its output parsed as JSON; None without output.
        problem: its last line on stderr if it failed.
        warnings: its warnings.
    """

    code: int
    result: Any
    problem: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Answers:
    """The answers of a bundle on a device.

    Attributes:
        engine: name and version.
        logits: float32 [N, K].
        startup_s: from the start of the process to its first answer.
        peak_mb: peak memory of the process, including the emulator.
    """

    engine: str
    logits: np.ndarray
    startup_s: float
    peak_mb: float


def edgecnn(device: Processor, *arguments: str) -> Said:
    """Run an edgecnn command that can print JSON."""
    done = device.run("-m", "edgecnn", *arguments, "--json", timeout_s=_LIMIT_S)
    lines = _said(done.stderr)
    result = json.loads(done.stdout) if done.stdout.strip() else None
    problem = None
    if done.returncode:
        problem = lines[-1].removeprefix("error: ") if lines else f"exit code {done.returncode}"
    warned = tuple(line.removeprefix("warning: ") for line in lines if line.startswith("warning: "))
    return Said(done.returncode, result, problem, warned)


def verify(device: Processor, bundle: Bundle, *, engine: str) -> Said:
    """Run `edgecnn verify` and write its record."""
    with tempfile.TemporaryDirectory() as folder:
        record = str(Path(folder) / "record.json")
        return edgecnn(device, "verify", str(bundle.path), "--engine", engine, "--record", record)


def answers(device: Processor, bundle: Bundle, *, images: np.ndarray, engine: str) -> Answers | None:
    """Run a bundle on uint8 [N, H, W, C] with `edgecnn.load`; return None if the process fails."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "images.npy", Path(folder) / "logits.npy"
        np.save(before, images)
        arguments = [str(bundle.path), engine, str(before), str(after), repr(time.time())]
        done = device.run("-c", _ANSWERS, *arguments, timeout_s=_LIMIT_S)
        if done.returncode:
            print(f"{device.name}, {bundle.path.name}, {engine}: {_said(done.stderr)[-1:]}", flush=True)
            return None
        found = json.loads(done.stdout)
        return Answers(found["engine"], np.load(after), found["startup_s"], found["peak_kib"] * 1024 / 1e6)


def serve(device: Processor, bundle: Bundle) -> Served:
    """Start `edgecnn serve` on the device and send it the digit.

    Raises:
        RuntimeError: the server did not become ready.
    """
    command = device.command("-m", "edgecnn", "serve", str(bundle.path), "--port", "0")
    return served(command, device.environment(), model=bundle.manifest.name, image=DIGIT)


def _said(stderr: str) -> list[str]:
    """Return the program's output lines without the emulator's."""
    return [line for line in map(str.strip, stderr.splitlines()) if line and not line.startswith("qemu-")]
