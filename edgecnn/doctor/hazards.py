"""What goes wrong on a machine like this one, and what to do about it: pure functions over facts.

Only what is true here, and only what a reader can act on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgecnn.doctor.examination import Examination
from edgecnn.host.machine import Machine
from edgecnn.host.processor import INT8_DOT_PRODUCTS

_GENERIC = ("QEMU Virtual CPU", "Common KVM processor", "Common 32-bit KVM processor")
"""What hypervisors call a processor that hides most of the real one."""

_LITTLE_MEMORY = 2**30
_VGG16 = "VGG-16's FP32 weights alone are 528 MiB"

_TELEMETRY_SINCE = (1, 29)


@dataclass(frozen=True)
class Hazard:
    """A known problem: its name for programs, and one line that says what it is and what to do."""

    name: str
    message: str


def hazards(machine: Machine, engines: Sequence[Examination], *, telemetry: str | None = "1") -> tuple[Hazard, ...]:
    """List the known hazards of this machine with these engines.

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
            "this processor is emulated: its name and instruction sets are what the kernel claims, perhaps the host's; "
            "saturation and precisions were run; take no times here, they say nothing about the real one",
        )
    elif processor.name.startswith(_GENERIC):
        yield Hazard(
            "generic-processor",
            f"the hypervisor shows {processor.name!r} and hides what the real processor can do: "
            f"give the virtual machine the host's (QEMU: -cpu host)",
        )
    # Where the system lists no features at all, nothing is known to be missing.
    if processor.features and not machine.emulator and not set(processor.features) & set(INT8_DOT_PRODUCTS):
        yield Hazard(
            "no-int8-dot-product",
            "the processor has no instruction for INT8 dot products (VNNI on x86, dot product on ARM): INT8 gains "
            "less time here than elsewhere; compare it with FP32 on this machine before you decide",
        )


def _of_cores(machine: Machine) -> Iterator[Hazard]:
    cores, quota = machine.usable_cores, machine.quota
    threads = "1 thread" if cores == 1 else f"{cores} threads"
    others = (
        f"edgecnn takes {threads}; set that in other programs, whose engines may start one for each core of the host"
    )
    if quota is not None and quota < machine.affinity:
        if quota < 1:
            yield Hazard(
                "quota-below-one-core",
                f"the control group may use {quota:g} of a core: the process stands still for the rest of each period, "
                f"and latency is uneven; give it a whole core",
            )
        elif quota != int(quota):
            yield Hazard(
                "fractional-quota",
                f"the control group's quota is {quota:g} cores, of which edgecnn uses {cores}: with one thread more, "
                f"all would wait for its share of the period; give it a whole number",
            )
        if machine.host_cores > 1:
            yield Hazard(
                "quota", f"the control group may use {quota:g} of the host's {machine.host_cores} cores: {others}"
            )
    if machine.affinity < machine.host_cores:
        yield Hazard("affinity", f"this process may use {machine.affinity} of {machine.host_cores} cores: {others}")
    if cores == 1:
        yield Hazard(
            "one-core", "there is one core to use: whatever else runs on it delays every answer; keep other work off it"
        )


def _of_memory(machine: Machine) -> Iterator[Hazard]:
    memory, physical = machine.memory_bytes, machine.physical_memory_bytes
    if memory is None or memory >= _LITTLE_MEMORY:
        return
    limit = "the control group may use" if physical is not None and memory < physical else "the machine has"
    yield Hazard(
        "little-memory",
        f"{limit} {memory / 2**20:,.0f} MiB of memory, and a process that needs more is killed ({_VGG16}): "
        f"take small networks, or INT8",
    )


def _of_packages(engine: Examination) -> Iterator[Hazard]:
    if len(engine.packages) > 1:
        names = [package.partition(" ")[0] for package in engine.packages]
        yield Hazard(
            "two-packages",
            f"{' and '.join(engine.packages)} own the same module, and which one runs depends on what was installed "
            f"last: pip uninstall {' '.join(names)}, then install one of them",
        )


def _of_saturation(engine: Examination) -> Iterator[Hazard]:
    if not engine.saturates:
        return
    what = f"full-range INT8 weights saturate on {engine.engine} here ({', '.join(engine.saturates)})"
    if engine.saturates_anyway:
        how = "and it cannot be told to sum exactly: keep weights within ±64, as `edgecnn quantize` does by default"
    else:
        how = "unless it is told to sum exactly, as edgecnn tells it; for other programs keep weights within ±64"
    yield Hazard("saturation", f"{what}, {how}")


def _of_precision(engine: Examination) -> Iterator[Hazard]:
    for device in engine.devices:
        if device.default_precision not in (None, "fp32"):
            yield Hazard(
                "default-precision",
                f"{engine.engine} on {device.name} computes FP32 models in {device.default_precision} here unless told "
                f"otherwise: edgecnn asks for fp32; other programs must too, or their answers differ",
            )


def _of_telemetry(engine: Examination, telemetry: str | None) -> Iterator[Hazard]:
    if engine.engine != "onnxruntime" or telemetry == "1" or _release(engine.version) < _TELEMETRY_SINCE:
        return
    yield Hazard(
        "telemetry",
        f"ORT_DISABLE_TELEMETRY is {telemetry!r} in the environment, and ONNX Runtime {engine.version} may call home: "
        f"unset it, and edgecnn turns telemetry off, or set it to 1",
    )


def _release(version: str | None) -> tuple[int, ...]:
    """Return major and minor of a version; () for one that is not known."""
    parts = (version or "").split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()
