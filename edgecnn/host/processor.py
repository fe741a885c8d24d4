"""Name and instruction sets of the processor, as the kernel reports them.

Reading them is cheap and imports no engine. They do not show which instructions an engine uses: `saturation` and
`examination` run a graph to find that out.
"""

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

_FEATURES = {
    "sse4_2": "SSE4.2",
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "VNNI",
    "avx512_bf16": "BF16",
    "avx512_fp16": "FP16",
    "amx_int8": "AMX-INT8",
    "amx_bf16": "AMX-BF16",
    "neon": "NEON",
    "asimd": "NEON",  # name of NEON on 64-bit kernels
    "asimdhp": "FP16",
    "asimddp": "dot product",
    "i8mm": "i8mm",
    "bf16": "BF16",
    "sve": "SVE",
    "sve2": "SVE2",
}
"""Names of instruction sets in `/proc/cpuinfo` (x86 and ARM), and their common names."""

INT8_DOT_PRODUCTS = ("VNNI", "AVX-VNNI", "AMX-INT8", "dot product", "i8mm")
"""Instruction sets with one instruction that multiplies and adds 8-bit numbers."""

_ARM_CORES = {
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse N1",
    0xD40: "Neoverse V1",
    0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE",
    0xD49: "Neoverse N2",
    0xD4F: "Neoverse V2",
    0xC07: "Cortex-A7",
    0xC09: "Cortex-A9",
    0xC0F: "Cortex-A15",
}
"""Part numbers of cores by ARM itself (implementer 0x41), from the Main ID Register."""
_ARM = 0x41

_BOARDS = ("proc/device-tree/model", "sys/firmware/devicetree/base/model")


@dataclass(frozen=True)
class Processor:
    """A processor as the kernel describes it.

    Attributes:
        name: name of the model; on ARM, names of the board and its cores. `unknown` if the system reports none.
        architecture: as `uname -m` prints it.
        features: instruction sets that matter for networks, such as `AVX2`, `VNNI`, `NEON`, `dot product`; empty if
            the system does not list them.
    """

    name: str
    architecture: str
    features: tuple[str, ...]


def processor(root: Path = Path("/")) -> Processor:
    """Return a description of the processor. `root` contains `/proc` and `/sys`."""
    cores = _cpuinfo(root)
    flags = [set((core.get("flags") or core.get("Features") or "").split()) for core in cores]
    common = set.intersection(*(found for found in flags if found)) if any(flags) else set()
    features = tuple(dict.fromkeys(name for flag, name in _FEATURES.items() if flag in common))
    return Processor(_name(root, cores), platform.machine(), features)


def emulator() -> tuple[str, ...]:
    """Return the command of the emulator that runs this process, such as `qemu-x86_64-static -cpu Haswell`; () if none.

    QEMU's user emulation hides its command line under `/proc/self`, but not under `/proc/thread-self`.
    """
    try:
        real = os.fsdecode(Path("/proc/thread-self/cmdline").read_bytes()).split("\0")[:-1]
    except OSError:  # not Linux
        return ()
    if not real or not Path(real[0]).name.startswith("qemu-"):
        return ()
    command = real[: len(real) - len(sys.orig_argv)]
    # A kernel that starts the emulator itself (binfmt_misc) may append the interpreter's path.
    if len(command) > 1 and Path(command[-1]).resolve() == Path(sys.executable).resolve():
        command.pop()
    return tuple(command)


def emulated_command() -> tuple[str, ...]:
    """Return the prefix that makes a command run on the same, possibly emulated, processor as this process.

    Child processes of an emulated process run on the host unless the command names the emulator. The prefix is empty if
    the emulator's executable cannot be found, as in a container: there the kernel starts the emulator.
    """
    command = emulator()
    return command if command and shutil.which(command[0]) else ()


def _cpuinfo(root: Path) -> list[dict[str, str]]:
    """Read the blocks of `/proc/cpuinfo`: one for each core, and on ARM one for the board."""
    try:
        text = (root / "proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return []
    blocks = []
    for block in text.split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines() if ":" in line)
        blocks.append({key.strip(): value.strip() for key, _, value in pairs})
    return blocks


def _name(root: Path, cores: list[dict[str, str]]) -> str:
    parts = [_arm_core(core) for core in cores if "CPU part" in core]
    if parts:  # the model name of 32-bit ARM kernels is less specific: "ARMv7 Processor rev 3 (v7l)"
        kinds = " + ".join(dict.fromkeys(parts))
        board = _board(root, cores)
        return f"{board}, {kinds}" if board else kinds
    names = [core["model name"] for core in cores if core.get("model name")]
    return names[0] if names else _board(root, cores) or platform.processor() or "unknown"


def _board(root: Path, cores: list[dict[str, str]]) -> str | None:
    for name in _BOARDS:
        try:
            text = (root / name).read_bytes().rstrip(b"\0").decode(errors="replace").strip()
        except OSError:
            continue
        if text:
            return text
    return next((core["Model"] for core in cores if core.get("Model")), None)


def _arm_core(core: dict[str, str]) -> str:
    implementer, part = core.get("CPU implementer", ""), core["CPU part"]
    try:
        known = _ARM_CORES.get(int(part, 16)) if int(implementer, 16) == _ARM else None
    except ValueError:
        known = None
    return known or f"ARM implementer {implementer or 'unknown'}, part {part or 'unknown'}"
