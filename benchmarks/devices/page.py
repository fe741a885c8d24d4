"""The page of `check.py`."""

from collections.abc import Sequence

from benchmarks.common.tables import table
from benchmarks.devices.findings import Cell, Device, FullRange

_ENGINES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
_HEAD = """# The same answers on other processors

Written by `make devices`. The real interpreter and the real wheels run, only the instructions are emulated (QEMU's
user emulation). **Seconds are the emulator's, on a busy machine: they say nothing about a device's speed.** Memory is
the whole process's, that of the emulator and the code that it has translated included: a device needs less. No real
board was tried.

## doctor, predict and serve

The committed bundle, and one digit as a PNG file; over HTTP to `edgecnn serve`, whose children are emulated too. What
doctor calls an emulated x86 processor is the host's name, as the kernel claims it; what it says of sums was run.
"""
_DEVICES = (
    *("device", "doctor calls it", "full-range sums, ONNX Runtime and OpenVINO", "predicted", "served"),
    *("ready after", "memory"),
)
_BUNDLES = """
## Every bundle

Answers to N test images of Fashion-MNIST (for the committed bundle: the images of its self-test), beside this machine's
on the same engine and beside PyTorch's. The ratio is that of the RMS logit error against PyTorch to this machine's: for
INT8 it must stay within 0.95 to 1.05 on ONNX Runtime; for FP32 both errors are rounding, and it says little."""
_NOTES = {
    "openvino": (
        "OpenVINO is no engine for INT8 on ARM, as far as emulation can tell: 2026.4.1 refuses most INT8 graphs there,",
        "and answers others wrongly, symmetric ones too; `verify` and `serve`, which replay the self-test, catch them.",
        "FP32 holds on the Cortex-A53 and A72. On QEMU's `max` it does not, but does with `-cpu max,sve=off`: either",
        "the SVE kernels are at fault or QEMU 7.2's emulation of SVE; only a real processor with SVE can tell.",
        "`--backend auto` takes ONNX Runtime where it is installed.",
        "",
    )
}
_CELLS = (
    *("bundle", "device", "verify", "N", "other than here", "other than PyTorch", "RMS error", "ratio"),
    *("start-up", "peak memory"),
)


def page(
    devices: Sequence[Device], cells: Sequence[Cell], guarded: FullRange | None, *, left_out: Sequence[str] = ()
) -> str:
    """Write the tables; the first device is this machine."""
    about = {device.name: device.about for device in devices}
    lines = [_HEAD, table(_DEVICES, map(_device, devices)), _BUNDLES]
    if left_out:
        lines += ["", f"Left out, because `make zoo` has not built them: {', '.join(left_out)}."]
    for engine in dict.fromkeys(cell.engine for cell in cells):
        mine = [cell for cell in cells if cell.engine == engine]
        lines += ["", f"### {_ENGINES[engine]}", ""]
        lines += [table(_CELLS, [_cell(cell, about[cell.device]) for cell in mine])]
        failed = dict.fromkeys((about[cell.device], cell.bundle, cell.problem) for cell in mine if cell.problem)
        if failed:
            lines += ["", *_NOTES.get(engine, ()), "What does not hold:", ""]
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
    return "saturates" if engine in device.incurable else "saturates unless told"


def _cell(cell: Cell, device: str) -> list[str]:
    head = [cell.bundle, device, "holds" if cell.verify == 0 else "**fails**", str(cell.images)]
    if cell.rms_error is None or cell.rms_ratio is None:
        return [*head, *[""] * (len(_CELLS) - len(head))]
    errors = [str(cell.different), str(cell.unlike_reference), f"{cell.rms_error:.3g}", f"{cell.rms_ratio:.3f}"]
    return [*head, *errors, f"{cell.startup_s:.1f} s", f"{cell.peak_mb:.0f} MB"]


def _guarded(guarded: FullRange) -> list[str]:
    nan = float("nan")
    return [
        "## Full-range weights where sums saturate (Haswell)",
        "",
        f"`{guarded.bundle}` was made with `--full-range`, against edgecnn's default.",
        "",
        "- `doctor` says that sums saturate: see the first table.",
        "- `verify` and `predict` on OpenVINO, which cannot be told to sum exactly, warn; with `--strict` their exit "
        f"codes are {guarded.strict_verify} and {guarded.strict_load}: {guarded.says}",
        f"- OpenVINO's answers: RMS error {guarded.openvino or nan:.3f} times this machine's. Its kernels for this "
        "network hardly saturate, those for doctor's graph do.",
        f"- ONNX Runtime as it is by default: RMS error {guarded.uncured or nan:.2f} times this machine's; on the "
        f"self-test a logit is off by {guarded.uncured_error:.3g}, `verify` allows {guarded.tolerance:.3g}.",
        f"- cured, as edgecnn opens it, told to sum exactly: {guarded.cured or nan:.3f} times this machine's, and the "
        "proof holds.",
    ]
