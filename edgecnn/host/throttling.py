"""Clock, temperature and throttling of the processor, as far as Linux shows them.

Sources: Documentation/admin-guide/pm/cpufreq.rst, Documentation/driver-api/thermal/sysfs-api.rst,
Documentation/hwmon/sysfs-interface.rst and Documentation/arch/x86 (thermal_throttle) of Linux; `vcgencmd get_throttled`
in Raspberry Pi's documentation. In a virtual machine most of these files are missing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_CPUS = "sys/devices/system/cpu"
_RASPBERRY_PI = "sys/devices/platform/soc/soc:firmware/get_throttled"
_LIMITS = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
"""Bits of the Raspberry Pi's firmware that are set as long as the limit applies."""
_PROCESSOR_SENSORS = ("cpu", "soc", "pkg", "coretemp", "k10temp", "zenpower")
_PLAUSIBLE_C = (-40.0, 150.0)


@dataclass(frozen=True)
class ProcessorState:
    """The state of the processor at one moment. Each value is None if the system does not show it.

    Attributes:
        clock_mhz: mean clock rate of the cores.
        temperature_c: temperature of the processor's hottest sensor, or of the hottest one if none is named after it.
        throttle_events: how often the cores and their packages were throttled since the start of the system (x86).
        limits: limits that the firmware applies now (Raspberry Pi).
    """

    clock_mhz: float | None = None
    temperature_c: float | None = None
    throttle_events: int | None = None
    limits: tuple[str, ...] | None = None


def processor_state(root: Path = Path("/")) -> ProcessorState:
    """Read the state of the processor. `root` contains `/proc` and `/sys`."""
    return ProcessorState(_clock_mhz(root), _temperature_c(root), _throttle_events(root), _limits(root))


def _clock_mhz(root: Path) -> float | None:
    clocks = [khz / 1e3 for khz in _numbers((root / _CPUS).glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))]
    if not clocks:
        lines = _text(root / "proc/cpuinfo").splitlines()
        clocks = [mhz for line in lines if line.startswith("cpu MHz") and (mhz := _number(line.partition(":")[2]))]
    return sum(clocks) / len(clocks) if clocks else None


def _temperature_c(root: Path) -> float | None:
    sensors = [(zone / "type", [zone / "temp"]) for zone in (root / "sys/class/thermal").glob("thermal_zone*")]
    sensors += [(chip / "name", list(chip.glob("temp*_input"))) for chip in (root / "sys/class/hwmon").glob("hwmon*")]
    found = [(_text(name).strip().lower(), degrees / 1e3) for name, files in sensors for degrees in _numbers(files)]
    found = [(name, degrees) for name, degrees in found if _PLAUSIBLE_C[0] < degrees < _PLAUSIBLE_C[1]]
    named = [degrees for name, degrees in found if any(part in name for part in _PROCESSOR_SENSORS)]
    return max(named or (degrees for _, degrees in found), default=None)


def _throttle_events(root: Path) -> int | None:
    counts = list(_numbers((root / _CPUS).glob("cpu[0-9]*/thermal_throttle/*_throttle_count")))
    return int(sum(counts)) if counts else None


def _limits(root: Path) -> tuple[str, ...] | None:
    try:
        bits = int(_text(root / _RASPBERRY_PI), 16)
    except ValueError:
        return None
    return tuple(name for bit, name in _LIMITS.items() if bits >> bit & 1)


def _numbers(files: Iterable[Path]) -> list[float]:
    """Return the numbers in files, and skip unreadable files: a sensor may be off."""
    return [value for file in files if (value := _number(_text(file))) is not None]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
