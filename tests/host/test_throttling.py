"""Clock, temperature and throttling, read from `/sys` as kernels of laptops, boards and virtual machines write it."""

from pathlib import Path

import pytest

from edgecnn.host.throttling import ProcessorState, processor_state

CPU = "sys/devices/system/cpu"
PI = "sys/devices/platform/soc/soc:firmware/get_throttled"

LAPTOP = {
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "2400000\n",
    f"{CPU}/cpu1/cpufreq/scaling_cur_freq": "2600000\n",
    f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "3\n",
    f"{CPU}/cpu0/thermal_throttle/package_throttle_count": "4\n",
    "sys/class/thermal/thermal_zone0/type": "acpitz\n",
    "sys/class/thermal/thermal_zone0/temp": "99000\n",
    "sys/class/thermal/thermal_zone1/type": "x86_pkg_temp\n",
    "sys/class/thermal/thermal_zone1/temp": "71000\n",
    "sys/class/hwmon/hwmon2/name": "coretemp\n",
    "sys/class/hwmon/hwmon2/temp1_input": "72500\n",
    "sys/class/hwmon/hwmon3/name": "nvme\n",
    "sys/class/hwmon/hwmon3/temp1_input": "88000\n",
}
BOARD = {
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "81300\n",
}
SYSTEMS = {
    "laptop": (LAPTOP, ProcessorState(2500.0, 72.5, 7, None)),
    "raspberry-pi-hot": (BOARD | {PI: "80008\n"}, ProcessorState(1500.0, 81.3, None, ("soft temperature limit",))),
    "raspberry-pi-weak-supply": (
        BOARD | {PI: "0x50005\n"},
        ProcessorState(1500.0, 81.3, None, ("under-voltage", "throttled")),
    ),
    "raspberry-pi-cool": (BOARD | {PI: "0\n"}, ProcessorState(1500.0, 81.3, None, ())),
    "virtual-machine": ({"proc/cpuinfo": "cpu MHz\t\t: 2600.000\n\ncpu MHz\t\t: 2601.000\n"}, ProcessorState(2600.5)),
    "only-another-sensor": (
        {"sys/class/hwmon/hwmon0/name": "board\n", "sys/class/hwmon/hwmon0/temp1_input": "45000\n"},
        ProcessorState(temperature_c=45.0),
    ),
    "broken-sensors": (
        {
            f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "<unknown>\n",
            "sys/class/thermal/thermal_zone0/temp": "-273200\n",
            PI: "nonsense\n",
        },
        ProcessorState(),
    ),
    "nothing": ({}, ProcessorState()),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_reads_what_the_system_shows(system: str, tmp_path: Path):
    files, expected = SYSTEMS[system]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert processor_state(tmp_path) == expected
