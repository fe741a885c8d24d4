"""What the processor is: its name and the instruction sets that matter to a network, as the kernel tells them.

Cheap, and without an engine. Instruction sets say what to expect, not what an engine takes: what really runs is found
by running it (`saturation`, `examination`).
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
    "asimd": "NEON",  # the same on 64-bit kernels
    "asimdhp": "FP16",
    "asimddp": "dot product",
    "i8mm": "i8mm",
    "bf16": "BF16",
    "sve": "SVE",
    "sve2": "SVE2",
}
"""What `/proc/cpuinfo` calls them, x86 and ARM, and what people do."""

INT8_DOT_PRODUCTS = ("VNNI", "AVX-VNNI", "AMX-INT8", "dot product", "i8mm")
"""Features that multiply and add 8-bit numbers in one instruction."""

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
"""Parts of the implementer 0x41, ARM itself, as in its cores' Main ID Register."""
_ARM = 0x41

_BOARDS = ("proc/device-tree/model", "sys/firmware/devicetree/base/model")


@dataclass(frozen=True)
class Processor:
    """A processor as its kernel describes it.

    Attributes:
        name: of the model; for an ARM board the board's and its cores'. `unknown` where nothing tells.
        architecture: as `uname -m` prints it.
        features: instruction sets that matter to a network, such as `AVX2`, `VNNI`, `NEON`, `dot product`; empty
            where the system does not list them.
    """

    name: str
    architecture: str
    features: tuple[str, ...]


def processor(root: Path = Path("/")) -> Processor:
    """Describe the processor; `/proc` and `/sys` are in `root`."""
    cores = _cpuinfo(root)
    flags = [set((core.get("flags") or core.get("Features") or "").split()) for core in cores]
    common = set.intersection(*(found for found in flags if found)) if any(flags) else set()
    features = tuple(dict.fromkeys(name for flag, name in _FEATURES.items() if flag in common))
    return Processor(_name(root, cores), platform.machine(), features)


def emulator() -> tuple[str, ...]:
    """Return the command of the emulator that runs this interpreter, `qemu-x86_64-static -cpu Haswell`; () for none.

    QEMU's user emulation shows a process its own command line under `/proc/self`, and the real one elsewhere.
    """
    try:
        real = os.fsdecode(Path("/proc/thread-self/cmdline").read_bytes()).split("\0")[:-1]
    except OSError:  # another system
        return ()
    if not real or not Path(real[0]).name.startswith("qemu-"):
        return ()
    command = real[: len(real) - len(sys.orig_argv)]
    # A kernel that starts the emulator by itself (binfmt_misc) may hand it the interpreter's path once more.
    if len(command) > 1 and Path(command[-1]).resolve() == Path(sys.executable).resolve():
        command.pop()
    return tuple(command)


def emulated_command() -> tuple[str, ...]:
    """Return what must stand before a command so that it runs on the processor that this process runs on.

    What an emulated process starts runs on the host, unless the emulator is named again; where the emulator is not to
    be found, as in a container, the kernel starts it.
    """
    command = emulator()
    return command if command and shutil.which(command[0]) else ()


def _cpuinfo(root: Path) -> list[dict[str, str]]:
    """Read the blocks of `/proc/cpuinfo`, one a core; ARM kernels add one for the board."""
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
    if parts:  # what 32-bit ARM kernels call the model name says less: "ARMv7 Processor rev 3 (v7l)"
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
