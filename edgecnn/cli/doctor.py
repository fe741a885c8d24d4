"""`edgecnn doctor`: report the hardware, the engines and known hazards of this machine."""

from typing import TYPE_CHECKING

import click

from edgecnn.cli.options import json_option
from edgecnn.cli.output import columns, emit, number

if TYPE_CHECKING:
    from edgecnn.doctor.diagnosis import Diagnosis
    from edgecnn.doctor.examination import Examination, PrecisionTrial
    from edgecnn.host.machine import Machine


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Report the hardware, the engines and known hazards of this machine.

    Lists the usable processor, cores and memory. For each engine and device it runs small graphs and reports the
    actual precision, whether INT8 saturates, and whether linear layers with 4-bit weights run. Exits with code 1 if no
    engine runs.
    """
    from edgecnn.doctor.diagnosis import diagnose, require_engine

    found = diagnose()
    emit(found, _text(found), as_json=as_json)
    require_engine(found)


def _text(diagnosis: "Diagnosis") -> str:
    lines = [columns([*_facts(diagnosis.machine), *_bandwidth(diagnosis.read_bytes_per_s)])]
    for engine in diagnosis.engines:
        lines += ["", _engine(engine)]
    lines += ["", "hazards" if diagnosis.hazards else "no known hazards"]
    lines += [f"  - {hazard.message}" for hazard in diagnosis.hazards]
    return "\n".join(lines)


def _facts(machine: "Machine") -> list[tuple[str, str]]:
    quota = "no quota" if machine.quota is None else f"quota {machine.quota:g}"
    cores = f"{machine.usable_cores} of {machine.host_cores} used (affinity {machine.affinity}, {quota})"
    emulated = [("emulated by", machine.emulator)] if machine.emulator else []
    return [
        ("processor", machine.processor.name),
        ("architecture", machine.processor.architecture),
        ("instruction sets", ", ".join(machine.processor.features) or "not reported by this system"),
        *emulated,
        ("cores", cores),
        ("memory", f"{_memory(machine.memory_bytes)} of {_memory(machine.physical_memory_bytes)} may be used"),
        ("huge pages", _huge_pages(machine)),
        ("system", f"{machine.system}, Python {machine.python}"),
    ]


def _huge_pages(machine: "Machine") -> str:
    """Return the size of huge pages, and whether weights are moved to them."""
    size = f"{machine.huge_page_bytes / 2**20:g} MiB, " if machine.huge_page_bytes else ""
    use = f"not used: {machine.no_huge_pages}" if machine.no_huge_pages else "used for the weights of large networks"
    return f"{size}{use}"


def _bandwidth(read_bytes_per_s: float | None) -> list[tuple[str, str]]:
    """Return the row of the read bandwidth; none if it is unknown."""
    if read_bytes_per_s is None:
        return []
    return [("read bandwidth", f"{number(read_bytes_per_s / 1e9)} GB/s, all usable cores together")]


def _memory(count: int | None) -> str:
    if count is None:
        return "an unknown amount"
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _engine(engine: "Examination") -> str:
    title = f"{engine.engine} {engine.version or ''}".rstrip()
    if engine.problem:
        packages = f" ({', '.join(engine.packages)})" if engine.packages else ""
        return f"{title}{packages}: {engine.problem}"
    precisions = [trial.precision for trial in engine.devices[0].trials] if engine.devices else []
    rows = [("  device", *precisions, "threads", "default", "description")]
    for device in engine.devices:
        sessions = [trial.session for trial in device.trials if trial.session]
        rows.append(
            (
                f"  {device.name}",
                *(_runs_as(trial, device.name) for trial in device.trials),
                str(sessions[0].threads) if sessions else "",
                device.default_precision or "unknown",
                device.description,
            )
        )
    reasons = [
        f"  {device.name} does not run: {device.trials[0].refusal}" for device in engine.devices if not device.runs
    ]
    table = columns(rows, optional=(len(rows[0]) - 1, len(rows[0]) - 2))
    return "\n".join([title, table, *reasons, f"  {_int8(engine)}", *_four_bits(engine)])


def _four_bits(engine: "Examination") -> list[str]:
    """Return a line about 4-bit linear layers, and the reason for each device that runs others only."""
    known = [device for device in engine.devices if device.four_bits is not None]
    if not known:
        return []
    places = ", ".join(device.name for device in known if device.four_bits)
    refusals = [f"    {device.name}: {device.four_bits_refusal}" for device in known if not device.four_bits]
    return [f"  4-bit linear layers: {f'run on {places}' if places else 'not supported'}", *refusals]


def _runs_as(trial: "PrecisionTrial", device: str) -> str:
    if trial.session is None:
        return "unsupported"
    elsewhere = f" on {trial.session.device}" if trial.session.device != device else ""
    return f"{trial.session.precision}{elsewhere}"


def _int8(engine: "Examination") -> str:
    if engine.saturates is None:
        return "full-range INT8 weights: unknown, the engine did not run on the CPU"
    if not engine.saturates:
        return "full-range INT8 weights: summed exactly"
    cure = "not avoidable" if engine.saturates_anyway else "avoided by edgecnn with exact INT8"
    return f"full-range INT8 weights: saturate in {' and '.join(engine.saturates)}, {cure}"
