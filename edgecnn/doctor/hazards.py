"""Known hazards of a machine and its engines: pure functions over facts.

Report only hazards that apply to this machine and that the user can fix.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgecnn.doctor.examination import Examination
from edgecnn.host.machine import Machine
from edgecnn.host.processor import INT8_DOT_PRODUCTS

_GENERIC = ("QEMU Virtual CPU", "Common KVM processor", "Common 32-bit KVM processor")
"""Names of virtual processors that hide features of the real processor."""

_LITTLE_MEMORY = 2**30
_VGG16 = "VGG-16's FP32 weights alone are 528 MiB"

_TELEMETRY_SINCE = (1, 29)


@dataclass(frozen=True)
class Hazard:
    """A known problem: a machine-readable name, and one line with the problem and its fix."""

    name: str
    message: str


def hazards(machine: Machine, engines: Sequence[Examination], *, telemetry: str | None = "1") -> tuple[Hazard, ...]:
    """Return the known hazards of this machine with these engines.

    `telemetry` is the value of the environment variable ORT_DISABLE_TELEMETRY.
    """
    found = [*_of_processor(machine), *_of_cores(machine), *_of_memory(machine)]
    for engine in engines:
        found += [*_of_packages(engine), *_of_saturation(engine), *_of_precision(engine)]
        found += _of_telemetry(engine, telemetry)
    return tuple(found)


def _of_processor(machine: Machine) -> Iterator[Hazard]:
    processor = machine.processor
    if machine.emulator:
        yield Hazard(
            "emulated",
            "this processor is emulated: its reported name and instruction sets may be the host's; saturation and "
            "precisions were measured and are valid; measure times on the real processor instead",
        )
    elif processor.name.startswith(_GENERIC):
        yield Hazard(
            "generic-processor",
            f"the hypervisor reports {processor.name!r} and hides features of the real processor: "
            f"pass the host's processor to the virtual machine (QEMU: -cpu host)",
        )
    # An empty list means that the system does not report features, not that they are missing.
    if processor.features and not machine.emulator and not set(processor.features) & set(INT8_DOT_PRODUCTS):
        yield Hazard(
            "no-int8-dot-product",
            "the processor has no instruction for INT8 dot products (VNNI on x86, dot product on ARM): INT8 saves "
            "less time here than on processors that have one; compare INT8 with FP32 on this machine first",
        )


def _of_cores(machine: Machine) -> Iterator[Hazard]:
    cores, quota = machine.usable_cores, machine.quota
    threads = "1 thread" if cores == 1 else f"{cores} threads"
    others = (
        f"edgecnn uses {threads}; set the same in other programs, whose engines may start one for each core of the host"
    )
    if quota is not None and quota < machine.affinity:
        if quota < 1:
            yield Hazard(
                "quota-below-one-core",
                f"the control group's quota is {quota:g} of a core: the process is paused for the rest of each period, "
                f"and latency varies; set the quota to at least one core",
            )
        elif quota != int(quota):
            yield Hazard(
                "fractional-quota",
                f"the control group's quota is {quota:g} cores, and edgecnn uses {cores}: all threads would wait for "
                f"an additional one, which gets only part of each period; set the quota to a whole number",
            )
        if machine.host_cores > 1:
            yield Hazard(
                "quota", f"the control group's quota is {quota:g} of the host's {machine.host_cores} cores: {others}"
            )
    if machine.affinity < machine.host_cores:
        yield Hazard("affinity", f"this process can use {machine.affinity} of {machine.host_cores} cores: {others}")
    if cores == 1:
        yield Hazard(
            "one-core", "only one core is available: any other load on it delays every answer; keep other work off it"
        )


def _of_memory(machine: Machine) -> Iterator[Hazard]:
    memory, physical = machine.memory_bytes, machine.physical_memory_bytes
    if memory is None or memory >= _LITTLE_MEMORY:
        return
    limit = "the control group's limit is" if physical is not None and memory < physical else "the machine has"
    yield Hazard(
        "little-memory",
        f"{limit} {memory / 2**20:,.0f} MiB of memory, and a process that needs more is killed ({_VGG16}): "
        f"use small networks, or INT8",
    )


def _of_packages(engine: Examination) -> Iterator[Hazard]:
    if len(engine.packages) > 1:
        names = [package.partition(" ")[0] for package in engine.packages]
        yield Hazard(
            "two-packages",
            f"{' and '.join(engine.packages)} provide the same module, and only the last one installed is used: "
            f"pip uninstall {' '.join(names)}, then install one of them",
        )


def _of_saturation(engine: Examination) -> Iterator[Hazard]:
    if not engine.saturates:
        return
    what = f"full-range INT8 weights saturate on {engine.engine} here ({', '.join(engine.saturates)})"
    if engine.saturates_anyway:
        how = "and it has no exact INT8 mode: keep weights within ±64, as `edgecnn quantize` does by default"
    else:
        how = "unless exact INT8 mode is on, as in edgecnn; for other programs keep weights within ±64"
    yield Hazard("saturation", f"{what}, {how}")


def _of_precision(engine: Examination) -> Iterator[Hazard]:
    for device in engine.devices:
        if device.default_precision not in (None, "fp32"):
            yield Hazard(
                "default-precision",
                f"{engine.engine} on {device.name} computes FP32 models in {device.default_precision} by default: "
                f"edgecnn requests fp32; request it in other programs too, or their answers differ",
            )


def _of_telemetry(engine: Examination, telemetry: str | None) -> Iterator[Hazard]:
    if engine.engine != "onnxruntime" or telemetry == "1" or _release(engine.version) < _TELEMETRY_SINCE:
        return
    yield Hazard(
        "telemetry",
        f"ORT_DISABLE_TELEMETRY is {telemetry!r} in the environment, and ONNX Runtime {engine.version} may send "
        f"telemetry: set it to 1, or unset it, which lets edgecnn turn telemetry off",
    )


def _release(version: str | None) -> tuple[int, ...]:
    """Return the major and minor version; () if the version is unknown."""
    parts = (version or "").split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()
