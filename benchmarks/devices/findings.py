"""The results of `check.py`, and their requirements."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LIMIT = 0.05
"""Permitted relative difference of an INT8 bundle's RMS logit error from this machine's."""

REQUIRED = "onnxruntime"
"""The engine of a device installation: failures on it count. Failures of the other engine are only reported."""


@dataclass(frozen=True)
class Device:
    """One processor, and the results of the commands on it.

    Attributes:
        name: as in QEMU.
        about: its text in tables.
        processor: its name in `edgecnn doctor`.
        features: its instruction sets in `edgecnn doctor`; on emulated x86 the host's.
        doctor: exit code of `edgecnn doctor`.
        problems: engines that do not run, with the reason.
        saturates: operators whose full-range INT8 sums saturate, for each engine.
        incurable: engines that saturate in spite of exact INT8.
        predicted: label from `edgecnn predict` for a digit, or the error.
        served: label from `edgecnn serve` over HTTP.
        ready_s: from the server's start until it is ready; emulated.
        served_mb: resident memory of its processes, including the emulators.
        served_exit: its exit code after SIGTERM.
        right: the correct label.
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
        full_range: whether its weights exceed ±64.
        digest: of the bundle.
        engine: its name.
        images: number of images in addition to the self-test.
        verify: exit code of `edgecnn verify`.
        problem: its error if the exit code is not 0.
        different: number of images with another label than on this machine; None without answers.
        unlike_reference: number of images with another label than in PyTorch.
        rms_error: root mean square error of the logits against PyTorch's.
        rms_ratio: that error divided by this machine's on the same engine.
        startup_s: from the start of a process to its first answer; emulated.
        peak_mb: peak memory of that process, including the emulator.
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
        """Return a copy with the comparison of its logits with this machine's and PyTorch's, all float32 [N, K]."""
        answers = logits.argmax(axis=1)
        return dataclasses.replace(
            self,
            different=int((answers != here.argmax(axis=1)).sum()),
            unlike_reference=int((answers != reference.argmax(axis=1)).sum()),
            rms_error=rms_error(logits, reference),
            rms_ratio=rms_error(logits, reference) / rms_error(here, reference),
        )

    def with_costs(self, *, startup_s: float, peak_mb: float) -> "Cell":
        """Return a copy with start-up time and memory."""
        return dataclasses.replace(self, startup_s=round(startup_s, 2), peak_mb=round(peak_mb, 1))


@dataclass(frozen=True)
class FullRange:
    """A bundle with weights beyond ±64 on a processor that saturates.

    OpenVINO has no exact INT8, so commands warn, and fail with `--strict`. `openvino` shows whether its kernels
    saturate for this network. ONNX Runtime saturates by default.

    Attributes:
        bundle: its name.
        verify_warns: warnings of `edgecnn verify` on OpenVINO.
        strict_verify: its exit code with `--strict`.
        load_warns: warnings of `edgecnn predict` on OpenVINO.
        strict_load: its exit code with `--strict`.
        says: its last line with `--strict`.
        openvino: RMS error on OpenVINO divided by this machine's.
        uncured: RMS error on ONNX Runtime with its defaults, divided by this machine's.
        uncured_error: largest logit error of that run on the self-test.
        tolerance: of the self-test.
        cured: RMS error with exact INT8, as edgecnn uses it, divided by this machine's.
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
    """Return one line for each requirement that fails."""
    found = []
    for device in devices:
        if device.doctor:
            found.append(f"{device.name}: edgecnn doctor exited with {device.doctor}")
        if REQUIRED in device.problems:
            found.append(f"{device.name}: {REQUIRED}: {device.problems[REQUIRED]}")
        if {device.predicted, device.served} != {device.right}:
            found.append(
                f"{device.name}: a {device.right} is predicted as {device.predicted} and served as {device.served}"
            )
        if device.served_exit:
            found.append(f"{device.name}: edgecnn serve exited with {device.served_exit} after SIGTERM")
    for cell in cells:
        if cell.engine == REQUIRED:
            found += [f"{cell.device}, {cell.bundle}: {problem}" for problem in _shortcomings(cell)]
    return (*found, *(_unguarded(guarded, devices) if guarded else ()))


def _shortcomings(cell: Cell) -> list[str]:
    if cell.verify:
        return [f"edgecnn verify exited with {cell.verify}: {cell.problem}"]
    if cell.rms_ratio is None:
        return ["no answer"]
    if cell.precision == "int8" and abs(cell.rms_ratio - 1) > LIMIT:
        return [f"the RMS logit error is {cell.rms_ratio:.3f} of this machine's, expected within {LIMIT:.0%}"]
    return []


def _unguarded(guarded: FullRange, devices: Sequence[Device]) -> list[str]:
    """Return the checks that miss a saturating bundle; exact INT8 is checked as one of the cells."""
    found = []
    if not guarded.verify_warns or guarded.strict_verify != 1:
        found.append(f"Haswell: edgecnn verify of {guarded.bundle} on OpenVINO does not warn of saturation")
    if not guarded.load_warns or guarded.strict_load != 1:
        found.append(f"Haswell: loading {guarded.bundle} on OpenVINO gives no warning")
    if guarded.uncured_error <= guarded.tolerance:
        found.append(f"Haswell: the self-test of {guarded.bundle} would not detect saturation in ONNX Runtime")
    if guarded.uncured is None or guarded.uncured <= 1 + LIMIT:
        found.append(f"Haswell: {guarded.bundle} does not saturate on ONNX Runtime: exact INT8 was not tested")
    haswell = next((device for device in devices if device.name == "Haswell"), None)
    if haswell is None or not haswell.saturates.get(REQUIRED) or "openvino" not in haswell.incurable:
        found.append("Haswell: edgecnn doctor does not report that full-range weights saturate")
    return found


def without_folders(lines: Sequence[str]) -> tuple[str, ...]:
    """Return lines with only the last part of each path, because folders differ between machines."""
    return tuple(
        " ".join(word.rsplit("/", 1)[-1] if word.startswith("/") else word for word in line.split(" "))
        for line in lines
    )


def rms_error(logits: np.ndarray, expected: np.ndarray) -> float:
    """Return the root mean square error of logits."""
    return float(np.sqrt(np.mean((logits.astype(np.float64) - expected) ** 2)))
