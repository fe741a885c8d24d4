"""The container files: linted, checked for their guarantees, and their steps run in an empty folder."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Image, interpreter, last, steps
from deployment import DEPLOY
from packaging.requirements import Requirement
from repository import COMMITTED, REPOSITORY
from server_process import TIMEOUT_S, wait_for

FOLDER = DEPLOY / "container"
FILES = sorted(FOLDER.glob("*.Containerfile"))
DEVICE, WORKSTATION = FOLDER / "device.Containerfile", FOLDER / "workstation.Containerfile"
EXTRAS = {
    "onnxruntime": ("onnxruntime", "serve"),
    "openvino": ("openvino", "serve"),
    "workstation": ("pipeline", "tensorboard", "openvino", "serve"),
}
USER = 10001
BY_NAME = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


@BY_NAME
def test_hadolint_finds_nothing(file: Path):
    program = Path(sysconfig.get_path("scripts")) / "hadolint"
    if not program.exists():
        pytest.skip("hadolint is not installed: its package has no wheel for this machine")
    done = subprocess.run([program, "--failure-threshold", "style", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@BY_NAME
def test_image_runs_as_a_fixed_user_with_a_healthcheck(file: Path):
    names = [step.name for step in steps(file)]
    assert last(file, "USER").value == f"{USER}:{USER}"
    assert max(at for at, name in enumerate(names) if name in {"RUN", "COPY"}) < names.index("USER")
    assert not {"ADD", "VOLUME", "ONBUILD", "SHELL"} & set(names)
    assert last(file, "ENTRYPOINT").words == ["edgecnn"]  # no shell between the runtime's signals and the supervisor
    assert last(file, "CMD").words
    health = last(file, "HEALTHCHECK")
    assert health.value == "NONE" or "/v2/health/ready" in health.words[-1]


@BY_NAME
def test_base_image_has_one_exact_version(file: Path):
    bases = {step.value.split(" AS ")[0] for step in steps(file) if step.name == "FROM"}
    (base,) = bases
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", base)
    assert not re.search(r"--platform|amd64|arm64|x86_64|aarch64", "\n".join(step.value for step in steps(file)))


def test_workstation_build_differs_only_in_its_lock():
    assert last(WORKSTATION, "RUN").value == last(DEVICE, "RUN").value.replace("${ENGINE}.lock", "workstation.lock")


def locked(name: str) -> dict[str, set[str]]:
    """Return the locked versions of each package. Different Python versions may need different ones."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([a-z0-9-]+)==(\S+)", (FOLDER / f"{name}.lock").read_text(), re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize("name", EXTRAS)
def test_lock_satisfies_requirements_with_hashes(name: str):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    asked = [text for extra in EXTRAS[name] for text in project["optional-dependencies"][extra]]
    versions = locked(name)
    for text in [*project["dependencies"], *asked]:
        requirement = Requirement(text)
        found = versions[requirement.name.lower()]
        assert all(requirement.specifier.contains(version) for version in found), (
            f"{text}: found {found} in the lock, lock again"
        )
    entries = re.split(r"^(?=[a-z0-9-]+==)", (FOLDER / f"{name}.lock").read_text(), flags=re.MULTILINE)[1:]
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


def test_device_locks_contain_one_engine():
    for name, other in (("onnxruntime", "openvino"), ("openvino", "onnxruntime")):
        assert name in locked(name)
        assert not {other, "torch", "onnx"} & set(locked(name))


def test_sends_only_wheel_and_locks_to_the_builder():
    lines = [line for line in (REPOSITORY / ".containerignore").read_text().splitlines() if line[:1] not in {"", "#"}]
    assert lines == ["*", "!dist/edgecnn-*.whl", "!deploy/container/*.lock"]
    assert (REPOSITORY / ".dockerignore").read_text() == (REPOSITORY / ".containerignore").read_text()
    copied = " ".join(step.value.rpartition(" ")[0] for file in FILES for step in steps(file) if step.name == "COPY")
    sources = {word for word in copied.split() if not word.startswith(("--", "/"))}
    assert {re.sub(r"\$\{ENGINE\}|workstation", "*", word) for word in sources} == {line[1:] for line in lines[1:]}


@pytest.fixture(params=["onnxruntime", "openvino"])
def image(request: pytest.FixtureRequest) -> Iterator[Image]:
    """Build a device image from the wheel and its lock, in a folder that any user may read."""
    python = interpreter()
    if python is None:
        pytest.skip("no Python that every user may run")
    if not has_package_index():
        pytest.skip("no package index is reachable")
    folder = Path(tempfile.mkdtemp(prefix="edgecnn-image-"))
    try:
        context = folder / "context"
        for name in ("dist", "deploy/container"):
            (context / name).mkdir(parents=True)
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(context / "dist")]
        subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
        for lock in FOLDER.glob("*.lock"):
            shutil.copy(lock, context / "deploy" / "container")
        made = Image(folder, context, {"ENGINE": request.param})
        made.build(DEVICE, python=python)
        (folder / "tmp").mkdir()
        (folder / "tmp").chmod(0o1777)
        shutil.copytree(COMMITTED, folder / "models" / COMMITTED.name)
        folder.chmod(0o755)
        yield made
    finally:
        shutil.rmtree(folder)


def has_package_index() -> bool:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--retries", "0", "--timeout", "10", "click"]
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run([*command, "-d", folder], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_device_image_serves_without_writing(image: Image):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    words = [*last(DEVICE, "ENTRYPOINT").words, *last(DEVICE, "CMD").words]
    command = image.command(words, {"8080": port, "0.0.0.0": "127.0.0.1"})
    health = image.command(last(DEVICE, "HEALTHCHECK").words, {"8080": port})
    account = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
    before = files(image.root)
    inside = {"env": image.environment, "cwd": "/", "stderr": subprocess.PIPE, "text": True} | account
    assert subprocess.run(health, check=False, **inside).returncode != 0  # no server runs yet
    said = image.root / "tmp" / "said"
    with said.open("w") as log:
        server = subprocess.Popen(command, **inside | {"stderr": log})
    try:
        wait_for(lambda: "edgecnn serves" in said.read_text() or server.poll() is not None)
        assert server.poll() is None, said.read_text()
        done = subprocess.run(health, check=False, **inside)
        assert done.returncode == 0, done.stderr
        content = (REPOSITORY / "calibration/digits-sample/train/7/1.png").read_bytes()
        path = f"http://127.0.0.1:{port}/v2/models/{COMMITTED.name}/infer?classification=1"
        with urllib.request.urlopen(urllib.request.Request(path, content, {"Content-Type": "image/png"})) as answer:
            assert b":7:7" in answer.read()
        server.send_signal(signal.SIGTERM)
        assert server.wait(TIMEOUT_S) == 0, said.read_text()
    finally:
        server.kill()
        server.wait()
    assert files(image.root) == before
    for name in ("verify", "doctor"):
        words = ["edgecnn", name, "/models/lenet-digits-int8"] if name == "verify" else ["edgecnn", name]
        done = subprocess.run(image.command(words, {}), check=False, stdout=subprocess.DEVNULL, **inside)
        assert done.returncode == 0, done.stderr
    assert files(image.root) == before


def files(root: Path) -> dict[str, int]:
    """Return the files of an image outside its tmpfs, with their modification times."""
    found = (path for path in root.rglob("*") if root / "tmp" not in (path, *path.parents))
    return {str(path): path.lstat().st_mtime_ns for path in found}
