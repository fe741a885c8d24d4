"""The device part on processors that this machine is not, by QEMU's user emulation: for benchmarks and slow tests.

The real interpreter and the real wheels run; only the instructions are emulated. Answers and start-up are the device's,
time is not. Needs Debian's `qemu-user-static`; for ARM also root, to download the packages of a small file system.

    python benchmarks/emulation.py    # builds that file system under build/emulation, about 400 MB
"""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).parents[1]
ARM = REPOSITORY / "build" / "emulation" / "arm64"
"""Debian's Python for ARM, and beside it the wheels of the device part."""

_WHEELS = "wheels"
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
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
_CORE = """processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""  # a Cortex-A72, for ONNX Runtime, which would else read this machine's


@dataclass(frozen=True)
class Processor:
    """A processor that QEMU knows.

    Attributes:
        name: as the option `-cpu` writes it.
        machine: as `uname -m` prints it.
        about: what stands in a table.
    """

    name: str
    machine: str
    about: str

    @property
    def emulator(self) -> str:
        """QEMU's program."""
        return f"qemu-{self.machine}-static"

    def missing(self) -> str | None:
        """Say what is not here that running on it needs; None where all is."""
        if self.machine == "x86_64" and platform.machine() != self.machine:
            return f"this interpreter is one for {platform.machine()}"
        if shutil.which(self.emulator) is None:
            return "QEMU is not installed: apt-get install qemu-user-static"
        if self.machine == "aarch64" and not (ARM / "proc" / "cpuinfo").is_file():
            return "there is no file system for ARM: python benchmarks/emulation.py"
        return None

    def run(self, *arguments: str, timeout_s: float = 1200) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments on it."""
        command, packages = [self.emulator, "-cpu", self.name], sysconfig.get_path("purelib")
        if self.machine == "aarch64":
            command += ["-L", str(ARM), str(ARM / "usr" / "bin" / "python3.11")]
            packages = str(ARM / _WHEELS)
        else:
            command += [str(Path(sys.executable).resolve())]  # not a virtual environment's link to it
        environment = os.environ | {
            "ORT_DISABLE_TELEMETRY": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{packages}",
        }
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )


HASWELL = Processor("Haswell", "x86_64", "Haswell: AVX2, no VNNI")
NEHALEM = Processor("Nehalem", "x86_64", "Nehalem: SSE4.2")
CORTEX_A72 = Processor("cortex-a72", "aarch64", "Cortex-A72: Raspberry Pi 4")
PROCESSORS = (HASWELL, NEHALEM, CORTEX_A72)

_DEVICE = """
import sys
from pathlib import Path
import numpy as np
from edgecnn.runtime.backend import SessionOptions
from edgecnn.runtime.backends import get_backend
model, images, logits, engine = sys.argv[1:]
session = get_backend(engine).open(Path(model), SessionOptions(threads=1))
images = np.load(images)
np.save(logits, np.concatenate([session.run(images[start : start + 8]) for start in range(0, len(images), 8)]))
"""


def emulated_logits(
    processor: Processor, model: Path, *, images: np.ndarray, engine: str = "onnxruntime"
) -> np.ndarray:
    """Run a graph there, as an engine is by default: nothing protects its integer sums but its weights.

    Args:
        processor: where.
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


def build_arm() -> None:
    """Build the file system for ARM, whole or not at all."""
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
    requirements = ["numpy>=2.0", "Pillow>=13", "click>=8.1", "rich>=13.7", "onnxruntime>=1.29"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(downloads)]
    subprocess.run([*pip, *target, *requirements], check=True)
    for wheel in downloads.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(new / _WHEELS)
    (new / "proc").mkdir()
    (new / "proc" / "cpuinfo").write_text("".join(_CORE.format(number=number) for number in range(2)))
    processors = new / "sys" / "devices" / "system" / "cpu"
    processors.mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (processors / name).write_text("0-1\n")
    shutil.rmtree(downloads)
    shutil.rmtree(ARM, ignore_errors=True)
    new.rename(ARM)


if __name__ == "__main__":
    build_arm()
    print(f"built {ARM.relative_to(REPOSITORY)}")
