"""What `check.py` finds, and what of it must hold."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LIMIT = 0.05
"""By how much the RMS logit error of an INT8 bundle may differ from this machine's, as a share of it."""

REQUIRED = "onnxruntime"
"""The engine of a device install: everything must hold on it. The other one's failures are told, not forbidden."""


@dataclass(frozen=True)
class Device:
    """One processor, and what the commands do on it.

    Attributes:
        name: as QEMU has it.
        about: what stands in a table.
        processor: what `edgecnn doctor` calls it.
        features: the instruction sets that it names; on emulated x86 the host's.
        doctor: exit code of `edgecnn doctor`.
        problems: the engines that do not run, and why.
        saturates: operators whose full-range INT8 sums saturate, per engine.
        incurable: engines on which they do although they are asked for exact sums.
        predicted: what `edgecnn predict` answers to a digit, or why it does not.
        served: what `edgecnn serve` answers to it over HTTP.
        ready_s: from its start to readiness; emulated.
        served_mb: resident memory of its processes, the emulators' too.
        served_exit: its exit code after SIGTERM.
        right: what the digit is.
    """

    name: str
    about: str
    processor: str
    features: list[str]
    doctor: int
    problems: dict[str, str]
    saturates: dict[str, list[str]]
    incurable: list[str]
    predicted: str
    served: str
    ready_s: float
    served_mb: float
    served_exit: int
    right: str


@dataclass(frozen=True)
class Cell:
    """One bundle on one engine of one device.

    Attributes:
        device: name of the processor.
        bundle: name of the bundle.
        precision: `fp32` or `int8`.
        full_range: whether its weights go beyond ±64.
        digest: of the bundle.
        engine: its name.
        images: how many were answered beside the self-test.
        verify: exit code of `edgecnn verify`.
        problem: what it says where it is not 0.
        different: how many images are answered otherwise than on this machine; None where nothing was answered.
        unlike_reference: how many are answered otherwise than by PyTorch.
        rms_error: root mean square error of the logits against PyTorch's.
        rms_ratio: that error divided by this machine's on the same engine.
        startup_s: from the start of a process to its first answer; emulated.
        peak_mb: the most memory of that process, the emulator's too.
    """

    device: str
    bundle: str
    precision: str
    full_range: bool
    digest: str
    engine: str
    images: int
    verify: int
    problem: str | None
    different: int | None = None
    unlike_reference: int | None = None
    rms_error: float | None = None
    rms_ratio: float | None = None
    startup_s: float | None = None
    peak_mb: float | None = None

    def answered(self, logits: np.ndarray, *, here: np.ndarray, reference: np.ndarray) -> "Cell":
        """Return the same with what its logits say beside this machine's and PyTorch's, all float32 [N, K]."""
        answers = logits.argmax(axis=1)
        return dataclasses.replace(
            self,
            different=int((answers != here.argmax(axis=1)).sum()),
            unlike_reference=int((answers != reference.argmax(axis=1)).sum()),
            rms_error=rms_error(logits, reference),
            rms_ratio=rms_error(logits, reference) / rms_error(here, reference),
        )

    def with_costs(self, *, startup_s: float, peak_mb: float) -> "Cell":
        """Return the same with what it cost."""
        return dataclasses.replace(self, startup_s=round(startup_s, 2), peak_mb=round(peak_mb, 1))


@dataclass(frozen=True)
class FullRange:
    """A bundle with weights beyond ±64 on a processor that saturates.

    OpenVINO cannot be told to sum exactly, so commands warn there, and refuse with `--strict`; whether its kernels for
    this very network saturate is another question, which `openvino` answers. ONNX Runtime saturates unless it is told.

    Attributes:
        bundle: its name.
        verify_warns: what `edgecnn verify` warns of on OpenVINO.
        strict_verify: its exit code with `--strict`.
        load_warns: what loading it there warns of.
        strict_load: exit code of loading it there with `--strict`.
        says: its last line then.
        openvino: RMS error on OpenVINO divided by this machine's.
        uncured: RMS error on ONNX Runtime as that is by default, divided by this machine's.
        uncured_error: its largest logit error on the self-test.
        tolerance: of the self-test: what verify allows.
        cured: RMS error as edgecnn opens it, told to sum exactly, divided by this machine's.
    """

    bundle: str
    verify_warns: tuple[str, ...]
    strict_verify: int
    load_warns: tuple[str, ...]
    strict_load: int
    says: str | None
    openvino: float | None
    uncured: float | None
    uncured_error: float
    tolerance: float
    cured: float | None


def shortcomings(cells: Sequence[Cell], devices: Sequence[Device], guarded: FullRange | None) -> tuple[str, ...]:
    """Return a line for everything that must hold and does not."""
    found = []
    for device in devices:
        if device.doctor:
            found.append(f"{device.name}: edgecnn doctor ends with {device.doctor}")
        if REQUIRED in device.problems:
            found.append(f"{device.name}: {REQUIRED}: {device.problems[REQUIRED]}")
        if {device.predicted, device.served} != {device.right}:
            found.append(
                f"{device.name}: a {device.right} is predicted as {device.predicted} and served as {device.served}"
            )
        if device.served_exit:
            found.append(f"{device.name}: edgecnn serve ends with {device.served_exit} after SIGTERM")
    for cell in cells:
        if cell.engine == REQUIRED:
            found += [f"{cell.device}, {cell.bundle}: {problem}" for problem in _shortcomings(cell)]
    return (*found, *(_unguarded(guarded, devices) if guarded else ()))


def _shortcomings(cell: Cell) -> list[str]:
    if cell.verify:
        return [f"edgecnn verify ends with {cell.verify}: {cell.problem}"]
    if cell.rms_ratio is None:
        return ["it answers nothing"]
    if cell.precision == "int8" and abs(cell.rms_ratio - 1) > LIMIT:
        return [f"the RMS logit error is {cell.rms_ratio:.3f} of this machine's, allowed is {LIMIT:.0%} more or less"]
    return []


def _unguarded(guarded: FullRange, devices: Sequence[Device]) -> list[str]:
    """Say where a bundle that saturates slips through; its cure is one of the cells."""
    found = []
    if not guarded.verify_warns or guarded.strict_verify != 1:
        found.append(f"Haswell: edgecnn verify of {guarded.bundle} on OpenVINO does not say that sums may saturate")
    if not guarded.load_warns or guarded.strict_load != 1:
        found.append(f"Haswell: loading {guarded.bundle} on OpenVINO goes unnoticed")
    if guarded.uncured_error <= guarded.tolerance:
        found.append(
            f"Haswell: the self-test of {guarded.bundle} would not catch ONNX Runtime's sums if they saturated"
        )
    if guarded.uncured is None or guarded.uncured <= 1 + LIMIT:
        found.append(f"Haswell: {guarded.bundle} does not saturate on ONNX Runtime: the cure was not tried")
    haswell = next((device for device in devices if device.name == "Haswell"), None)
    if haswell is None or not haswell.saturates.get(REQUIRED) or "openvino" not in haswell.incurable:
        found.append("Haswell: edgecnn doctor does not say that full-range weights saturate")
    return found


def without_folders(lines: Sequence[str]) -> tuple[str, ...]:
    """Return lines with the last part of each path alone: this machine's folders mean nothing elsewhere."""
    return tuple(
        " ".join(word.rsplit("/", 1)[-1] if word.startswith("/") else word for word in line.split(" "))
        for line in lines
    )


def rms_error(logits: np.ndarray, expected: np.ndarray) -> float:
    """Return the root mean square error of logits."""
    return float(np.sqrt(np.mean((logits.astype(np.float64) - expected) ** 2)))
