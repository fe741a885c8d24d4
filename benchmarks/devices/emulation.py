"""Run edgecnn on other processors with QEMU's user emulation, for benchmarks and slow tests.

The real interpreter and the real wheels run; only the instructions are emulated. Answers and start-up are those of the
device, times are not. Needs Debian's `qemu-user-static`; for ARM also root, to download packages for a small file
system.

    python -m benchmarks.devices.emulation    # builds that file system in build/emulation, about 550 MB
"""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common.results import BUILD, REPOSITORY

_BUILD = BUILD / "emulation"
ARM = _BUILD / "arm64"
"""Debian's Python for ARM, and the wheels for a device: both engines, and the server's libraries."""

_WHEELS = "wheels"
_BUILT_OF = "requirements.txt"
_PYTHON = (3, 11)
_PACKAGES = (
    "python3.11",
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "zlib1g",
    "libexpat1",
    "libssl3",
    "libffi8",
    "libbz2-1.0",
    "liblzma5",
    "libsqlite3-0",
    "libuuid1",
    "libncursesw6",
    "libtinfo6",
    "libreadline8",
    "libcrypt1",
)
_PLATFORMS = (
    *(f"manylinux_2_{minor}_aarch64" for minor in range(35, 16, -1)),  # Debian 12 has version 2.36 of the C library
    "manylinux2014_aarch64",
)
_CORE = """processor\t: {number}
BogoMIPS\t: 108.00
Features\t: {core.features}
CPU implementer\t: {core.implementer:#04x}
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: {core.part:#05x}
CPU revision\t: 0

"""
_CORES = 2


@dataclass(frozen=True)
class Core:
    """The content of `/proc/cpuinfo` for an ARM core; without it ONNX Runtime would read this machine's.

    Attributes:
        part: its part number.
        implementer: its implementer number; 0x41 is ARM.
        features: instruction sets, named as in the kernel.
    """

    part: int
    implementer: int = 0x41
    features: str = "fp asimd evtstrm crc32 cpuid"

    @property
    def identification(self) -> int:
        """The Main ID Register, without variant and revision."""
        return self.implementer << 24 | 0xF << 16 | self.part << 4


@dataclass(frozen=True)
class Processor:
    """A processor that QEMU emulates, or this machine.

    Attributes:
        name: for the option `-cpu`.
        machine: as `uname -m` prints it.
        about: its text in tables.
        core: of an ARM processor.
        emulated: whether it needs QEMU.
    """

    name: str
    machine: str
    about: str
    core: Core | None = None
    emulated: bool = True

    @property
    def emulator(self) -> str:
        """QEMU's program."""
        return f"qemu-{self.machine}-static"

    @property
    def root(self) -> Path:
        """The file system of an ARM processor: `ARM`, with this core under `/proc`."""
        return _BUILD / self.name

    def missing(self) -> str | None:
        """Return the missing requirement for running on this processor; None if all are met."""
        if not self.emulated:
            return None
        if self.machine == "x86_64" and platform.machine() != self.machine:
            return f"this interpreter is for {platform.machine()}"
        if shutil.which(self.emulator) is None:
            return "QEMU is not installed: apt-get install qemu-user-static"
        if self.core is not None and not arm_stands():
            return "the ARM file system is missing or has other packages: run make arm"
        return None

    def command(self, *arguments: str) -> list[str]:
        """Return the command that runs Python with these arguments on the processor."""
        command = [self.emulator, "-cpu", self.name] if self.emulated else []
        if self.core is not None:
            command += ["-L", str(self.root), str(self.root / "usr" / "bin" / "python3.11")]
        else:
            command += [str(Path(sys.executable).resolve())]  # resolve a virtual environment's link
        return [*command, *arguments]

    def environment(self, paths: Sequence[Path] = ()) -> dict[str, str]:
        """Return the environment of that command: additional paths for modules, this edgecnn, and its packages."""
        packages = sysconfig.get_path("purelib") if self.core is None else str(ARM / _WHEELS)
        # OPENBLAS_CORETYPE would make NumPy use this machine's instructions.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
        return inherited | {
            "ORT_DISABLE_TELEMETRY": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(map(str, (*paths, REPOSITORY, packages))),
        }

    def run(
        self, *arguments: str, paths: Sequence[Path] = (), timeout_s: float = 1200
    ) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments on the processor; see `environment` for the paths."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(paths),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


HASWELL = Processor("Haswell", "x86_64", "Haswell: AVX2, no VNNI")
NEHALEM = Processor("Nehalem", "x86_64", "Nehalem: SSE4.2")
CORTEX_A53 = Processor("cortex-a53", "aarch64", "Cortex-A53: Raspberry Pi 3", Core(0xD03))
CORTEX_A72 = Processor("cortex-a72", "aarch64", "Cortex-A72: Raspberry Pi 4", Core(0xD08))
ARM_MAX = Processor(
    "max",
    "aarch64",
    "aarch64 with all QEMU features",
    Core(0x051, 0x00, "fp asimd evtstrm crc32 atomics fphp asimdhp cpuid asimdrdm asimddp sve sve2 i8mm bf16"),
)
HERE = Processor("this machine", platform.machine(), "this machine", emulated=False)
PROCESSORS = (HASWELL, NEHALEM, CORTEX_A72)
DEVICES = (CORTEX_A53, CORTEX_A72, ARM_MAX, HASWELL, NEHALEM)
"""All processors that `check.py` covers."""

_DEVICE = """
import sys
from pathlib import Path
import numpy as np
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.engines.registry import get_engine
model, images, logits, engine = sys.argv[1:]
session = get_engine(engine).open(Path(model), SessionOptions(threads=1))
images = np.load(images)
np.save(logits, np.concatenate([session.run(images[start : start + 8]) for start in range(0, len(images), 8)]))
"""


def emulated_logits(
    processor: Processor, model: Path, *, images: np.ndarray, engine: str = "onnxruntime"
) -> np.ndarray:
    """Run a graph on a processor with the engine's defaults, without exact INT8.

    Args:
        processor: the processor.
        model: the ONNX file.
        images: uint8 [N, H, W, C].
        engine: its name.

    Returns float32 [N, K].
    """
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "images.npy", Path(folder) / "logits.npy"
        np.save(before, images)
        done = processor.run("-c", _DEVICE, str(model), str(before), str(after), engine)
        if done.returncode:
            raise RuntimeError(f"{processor.name} failed with {done.returncode}: {done.stderr[-500:]}")
        logits: np.ndarray = np.load(after)
        return logits


def arm_stands() -> bool:
    """Return whether the ARM file system exists with the current packages."""
    built_of = ARM / _BUILT_OF
    return built_of.is_file() and built_of.read_text().splitlines() == _requirements()


def _requirements() -> list[str]:
    """Return the requirements of a device with both engines and the server."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    return [*project["dependencies"], *extras["onnxruntime"], *extras["openvino"], *extras["serve"]]


def build_arm() -> None:
    """Build the ARM file system, completely or not at all, and one with each core under `/proc`."""
    new = ARM.with_name("arm64.new")
    shutil.rmtree(new, ignore_errors=True)
    downloads = new / "downloads"
    downloads.mkdir(parents=True)
    subprocess.run(["dpkg", "--add-architecture", "arm64"], check=True)
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(
        ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *(f"{name}:arm64" for name in _PACKAGES)],
        cwd=downloads,
        check=True,
    )
    for package in downloads.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(new)], check=True)
    target = ["--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp"]
    target += [part for platform in _PLATFORMS for part in ("--platform", platform)]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(downloads)]
    subprocess.run([*pip, *target, *_requirements()], check=True)
    for wheel in downloads.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(new / _WHEELS)
    shutil.rmtree(downloads)
    _compile(new)
    (new / _BUILT_OF).write_text("".join(f"{line}\n" for line in _requirements()))
    shutil.rmtree(ARM, ignore_errors=True)
    new.rename(ARM)
    for device in DEVICES:
        if device.core is not None:
            _build_root(device.root, device.core)


def _compile(root: Path) -> None:
    """Compile the bytecode as an installation does, if this interpreter has the same version."""
    if sys.version_info[:2] == _PYTHON:
        folders = [str(root / "usr" / "lib" / "python3.11"), str(root / _WHEELS)]
        options = ["-q", "-q", "--invalidation-mode", "unchecked-hash"]
        subprocess.run([sys.executable, "-m", "compileall", *options, *folders], check=False)  # some are templates


def _build_root(root: Path, core: Core) -> None:
    """Create a root with this core's `/proc`; its other folders are links to `ARM`."""
    shutil.rmtree(root, ignore_errors=True)
    (root / "proc").mkdir(parents=True)
    for name in ("usr", "lib", "etc"):
        (root / name).symlink_to(f"../{ARM.name}/{name}")
    (root / "proc" / "cpuinfo").write_text("".join(_CORE.format(number=n, core=core) for n in range(_CORES)))
    processors = root / "sys" / "devices" / "system" / "cpu"
    processors.mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (processors / name).write_text(f"0-{_CORES - 1}\n")
    for number in range(_CORES):  # OpenVINO crashes if it cannot read this
        registers = processors / f"cpu{number}" / "regs" / "identification"
        registers.mkdir(parents=True)
        (registers / "midr_el1").write_text(f"{core.identification:#018x}\n")


if __name__ == "__main__":
    build_arm()
    print(f"built {ARM.relative_to(REPOSITORY)}")
