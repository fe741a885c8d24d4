"""The page of `check.py`."""

from collections.abc import Sequence

from benchmarks.common.tables import table
from benchmarks.devices.findings import Cell, Device, FullRange

_ENGINES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
_HEAD = """# Answers on other processors

Written by `make devices`. The real interpreter and the real wheels run; only the instructions are emulated (QEMU's
user emulation). **Times are those of the emulator on a busy machine. They say nothing about a device's speed.** Memory
is that of the whole process, including the emulator and its translated code; a device needs less. No real board was
tested.

## doctor, predict and serve

The committed bundle, and one digit as a PNG file; over HTTP to `edgecnn serve`, whose children are emulated too. For an
emulated x86 processor, doctor shows the host's name, as the kernel reports it. Its result about sums was measured.
"""
_DEVICES = (
    *("device", "name in doctor", "full-range sums, ONNX Runtime and OpenVINO", "predicted", "served"),
    *("ready after", "memory"),
)
_BUNDLES = """
## All bundles

Answers to N test images of Fashion-MNIST (for the committed bundle: the images of its self-test), compared with this
machine's on the same engine and with PyTorch's. The ratio is the RMS logit error against PyTorch divided by this
machine's. For INT8 on ONNX Runtime it must be within 0.95 to 1.05. For FP32 both errors are rounding errors, and the
ratio has little meaning."""
_NOTES = {
    "openvino": (
        "OpenVINO 2026.4.1 does not support INT8 on ARM, according to emulation: it rejects most INT8 graphs and",
        "gives wrong answers for others, including symmetric ones. `verify` and `serve` detect this with the",
        "self-test. FP32 is correct on the Cortex-A53 and A72. On QEMU's `max` it is wrong, but with",
        "`-cpu max,sve=off` it is correct: the cause is either the SVE kernels or QEMU 7.2's emulation of SVE.",
        "Only a real processor with SVE can show which. `--engine auto` uses ONNX Runtime if it is installed.",
        "",
    )
}
_CELLS = (
    *("bundle", "device", "verify", "N", "differs from here", "differs from PyTorch", "RMS error", "ratio"),
    *("start-up", "peak memory"),
)


def page(
    devices: Sequence[Device], cells: Sequence[Cell], guarded: FullRange | None, *, left_out: Sequence[str] = ()
) -> str:
    """Write the tables; the first device is this machine."""
    about = {device.name: device.about for device in devices}
    lines = [_HEAD, table(_DEVICES, map(_device, devices)), _BUNDLES]
    if left_out:
        lines += ["", f"Skipped, because `make zoo` has not built them: {', '.join(left_out)}."]
    for engine in dict.fromkeys(cell.engine for cell in cells):
        mine = [cell for cell in cells if cell.engine == engine]
        lines += ["", f"### {_ENGINES[engine]}", ""]
        lines += [table(_CELLS, [_cell(cell, about[cell.device]) for cell in mine])]
        failed = dict.fromkeys((about[cell.device], cell.bundle, cell.problem) for cell in mine if cell.problem)
        if failed:
            lines += ["", *_NOTES.get(engine, ()), "Failures:", ""]
            lines += [f"- {device}, {bundle}: {problem}" for device, bundle, problem in failed]
    if guarded:
        lines += ["", *_guarded(guarded)]
    return "\n".join([*lines, ""])


def _device(device: Device) -> list[str]:
    sums = ", ".join(_sums(device, engine) for engine in _ENGINES)
    costs = [f"{device.ready_s:.0f} s", f"{device.served_mb:.0f} MB"]
    return [device.about, device.processor, sums, device.predicted, device.served, *costs]


def _sums(device: Device, engine: str) -> str:
    if engine in device.problems:
        return "does not run"
    if not device.saturates[engine]:
        return "exact"
    return "saturates" if engine in device.incurable else "saturates by default"


def _cell(cell: Cell, device: str) -> list[str]:
    head = [cell.bundle, device, "holds" if cell.verify == 0 else "**fails**", str(cell.images)]
    if cell.rms_error is None or cell.rms_ratio is None:
        return [*head, *[""] * (len(_CELLS) - len(head))]
    errors = [str(cell.different), str(cell.unlike_reference), f"{cell.rms_error:.3g}", f"{cell.rms_ratio:.3f}"]
    return [*head, *errors, f"{cell.startup_s:.1f} s", f"{cell.peak_mb:.0f} MB"]


def _guarded(guarded: FullRange) -> list[str]:
    nan = float("nan")
    return [
        "## Full-range weights on a processor that saturates (Haswell)",
        "",
        f"`{guarded.bundle}` was made with `--full-range`, which is not edgecnn's default.",
        "",
        "- `doctor` reports that sums saturate: see the first table.",
        "- `verify` and `predict` warn on OpenVINO, which has no exact INT8. With `--strict` their exit "
        f"codes are {guarded.strict_verify} and {guarded.strict_load}: {guarded.says}",
        f"- OpenVINO: RMS error {guarded.openvino or nan:.3f} times this machine's. Its kernels for this "
        "network hardly saturate, but its kernels for doctor's graph do.",
        f"- ONNX Runtime with its defaults: RMS error {guarded.uncured or nan:.2f} times this machine's; on the "
        f"self-test a logit differs by {guarded.uncured_error:.3g}, and `verify` allows {guarded.tolerance:.3g}.",
        f"- ONNX Runtime with exact INT8, as edgecnn uses it: {guarded.cured or nan:.3f} times this machine's, and the "
        "self-test passes.",
    ]
