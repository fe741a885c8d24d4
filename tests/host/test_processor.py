"""Processors, read from files that kernels write about them."""

import platform
from pathlib import Path

import pytest
from marks import emulated

from benchmarks.devices.emulation import HASWELL
from edgecnn.host.processor import emulated_command, emulator, processor

XEON = """processor\t: {number}
vendor_id\t: GenuineIntel
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8480+
flags\t\t: fpu sse4_1 sse4_2 avx avx2 avx_vnni avx512f avx512_vnni avx512_bf16 avx512_fp16 amx_bf16 amx_tile amx_int8
power management:

"""
ZEN3 = """processor\t: {number}
vendor_id\t: AuthenticAMD
model\t\t: 33
model name\t: AMD Ryzen 9 5950X 16-Core Processor
flags\t\t: fpu sse4_1 sse4_2 avx avx2 vaes

"""
PI4 = """processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: 0xd08

"""
PI5 = PI4.replace("crc32 cpuid", "aes crc32 fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp").replace("0xd08", "0xd0b")
PI4_32BIT = PI4.replace("fp asimd evtstrm crc32 cpuid", "half thumb neon vfpv4").replace(
    "BogoMIPS", "model name\t: ARMv7 Processor rev 3 (v7l)\nBogoMIPS"
)
BOARD = "Hardware\t: BCM2835\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n"


def machine(root: Path, cpuinfo: str | bytes | None = None, **files: bytes) -> Path:
    """Write `/proc/cpuinfo` and the files with the model of the board."""
    places = {"proc": "proc/device-tree/model", "firmware": "sys/firmware/devicetree/base/model"}
    content = {places[name]: data for name, data in files.items()}
    if cpuinfo is not None:
        content["proc/cpuinfo"] = cpuinfo if isinstance(cpuinfo, bytes) else cpuinfo.encode()
    for name, data in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def cores(block: str, count: int = 2) -> str:
    return "".join(block.format(number=number) for number in range(count))


def test_reads_all_features_of_a_xeon_with_amx(tmp_path: Path):
    found = processor(machine(tmp_path, cores(XEON)))
    assert found.name == "Intel(R) Xeon(R) Platinum 8480+"
    assert found.architecture == platform.machine()
    instructions = ("SSE4.2", "AVX2", "AVX-512", "AVX-VNNI", "VNNI", "BF16", "FP16", "AMX-INT8", "AMX-BF16")
    assert found.features == instructions


def test_zen_3_has_avx2_but_no_vnni(tmp_path: Path):
    found = processor(machine(tmp_path, cores(ZEN3)))
    assert (found.name, found.features) == ("AMD Ryzen 9 5950X 16-Core Processor", ("SSE4.2", "AVX2"))


def test_names_a_raspberry_pi_4_by_board_and_core(tmp_path: Path):
    found = processor(machine(tmp_path, cores(PI4, 4), proc=b"Raspberry Pi 4 Model B Rev 1.4\0"))
    assert (found.name, found.features) == ("Raspberry Pi 4 Model B Rev 1.4, Cortex-A72", ("NEON",))


def test_raspberry_pi_5_has_dot_products(tmp_path: Path):
    found = processor(machine(tmp_path, cores(PI5, 4), firmware=b"Raspberry Pi 5 Model B Rev 1.0\0"))
    assert found.name == "Raspberry Pi 5 Model B Rev 1.0, Cortex-A76"
    assert found.features == ("NEON", "FP16", "dot product")


def test_reads_the_board_of_a_32_bit_kernel(tmp_path: Path):
    found = processor(machine(tmp_path, cores(PI4_32BIT, 4) + BOARD))
    assert (found.name, found.features) == ("Raspberry Pi 4 Model B Rev 1.4, Cortex-A72", ("NEON",))


def test_names_an_arm_server_by_its_core(tmp_path: Path):
    assert processor(machine(tmp_path, cores(PI4))).name == "Cortex-A72"


def test_mixed_cores_have_their_common_features(tmp_path: Path):
    found = processor(machine(tmp_path, PI5 + PI4.replace("0xd08", "0xd05")))
    assert (found.name, found.features) == ("Cortex-A76 + Cortex-A55", ("NEON",))


@pytest.mark.parametrize("part", ["0x999", "odd", ""])
def test_names_an_unknown_arm_core_by_its_part(part: str, tmp_path: Path):
    found = processor(machine(tmp_path, PI4.replace("0xd08", part)))
    assert found.name == f"ARM implementer 0x41, part {part or 'unknown'}"


def test_names_another_implementer_by_its_number(tmp_path: Path):
    assert processor(machine(tmp_path, PI4.replace("0x41", "0x51"))).name == "ARM implementer 0x51, part 0xd08"


@pytest.mark.parametrize("cpuinfo", [None, "", "garbage\n\n\n", b"\xff\xfe\x80:\x00\n\n", "flags\n", "model name\t:\n"])
def test_accepts_invalid_cpuinfo(cpuinfo: str | bytes | None, tmp_path: Path):
    found = processor(machine(tmp_path, cpuinfo))
    assert found.name == (platform.processor() or "unknown")
    assert found.features == ()


def test_skips_an_empty_board_name(tmp_path: Path):
    found = processor(machine(tmp_path, cores(PI4), proc=b"\0", firmware=b"Rock 5B\0"))
    assert found.name == "Rock 5B, Cortex-A72"


def test_names_this_processor():
    assert processor().name


def test_detects_no_emulator_here():
    assert emulator() == emulated_command() == ()


@emulated
def test_detects_the_emulator_in_a_child():
    code = "from edgecnn.host.processor import *; print(*emulator()); print(*emulated_command())"
    assert HASWELL.run("-c", code).stdout.split("\n")[:2] == ["qemu-x86_64-static -cpu Haswell"] * 2
