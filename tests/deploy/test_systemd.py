"""The systemd unit: verified by systemd, and its command run in the parts of the sandbox that need no systemd."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from deployment import DEPLOY, UNIT, edgecnn_commands, serve_options, unit_command, unit_file
from model_versions import put
from repository import COMMITTED
from server_process import TIMEOUT_S, serving, wait_for

from edgecnn.archive.packing import pack
from edgecnn.bundle.store import open_bundle
from edgecnn.host.child import child_environment

GENERIC = DEPLOY / "boards" / "generic-x86.env"
DROP_INS = {"openvino": UNIT.parent / "openvino.conf", "accelerator": UNIT.parent / "accelerator.conf"}
EXPOSURE = {(): 1.5, ("openvino",): 1.6, ("accelerator",): 2.2}
"""The highest exposure that `systemd-analyze security` may report: 0 is closed, 10 is open."""
KEY = "0123456789abcdef" * 2
_PR_SET_MDWE, _REFUSE_EXEC_GAIN = 65, 1

systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def installed(folder: Path, *names: str) -> Path:
    """Write the unit with drop-ins, laid out as in /etc/systemd/system, with this Python as its program."""
    unit = folder / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/edgecnn/bin/edgecnn", sys.executable))
    for name in names:
        drop_in = folder / f"{UNIT.name}.d" / DROP_INS[name].name
        drop_in.parent.mkdir(exist_ok=True)
        shutil.copyfile(DROP_INS[name], drop_in)
    return unit


@systemd
@pytest.mark.parametrize("names", EXPOSURE, ids="+".join)
def test_systemd_accepts_the_unit(tmp_path: Path, names: tuple[str, ...]):
    command = ["systemd-analyze", "verify", "--man=no", str(installed(tmp_path, *names))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@systemd
@pytest.mark.parametrize("names", EXPOSURE, ids="+".join)
def test_sandbox_exposure_stays_low(tmp_path: Path, names: tuple[str, ...]):
    # A single file: with --offline, systemd ignores drop-ins.
    unit = installed(tmp_path)
    with unit.open("a") as file:
        file.writelines(DROP_INS[name].read_text() for name in names)
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for edgecnn\.service: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= EXPOSURE[names]


def test_timeouts_and_limits_match_the_server(tmp_path: Path):
    options = serve_options(unit_command(GENERIC, credentials=tmp_path))
    service = unit_file(UNIT)["Service"]
    assert seconds(service["TimeoutStopSec"]) > options.grace_s + 5
    assert seconds(service["TimeoutStartSec"]) >= 5 * options.load_timeout_s
    assert int(service["LimitNOFILE"]) > 4 * options.max_connections
    assert service["Type"] == "notify"
    assert seconds(service["WatchdogSec"]) >= 10


def seconds(text: str) -> float:
    """Parse a time of a systemd unit."""
    number, unit = re.fullmatch(r"(\d+)(s|min)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1.0, "min": 60.0}[unit]


def test_unit_command_serves_with_the_credential_key(tmp_path: Path):
    (tmp_path / "api-key").write_text(f"{KEY}\n")
    words = unit_command(GENERIC, credentials=tmp_path)
    assert words[1:3] == ["serve", "/srv/edgecnn/models"]
    options = [word for pair in zip(words[3:-1:2], words[4::2], strict=True) if pair[0] != "--port" for word in pair]
    with serving(*options, headers={"Authorization": f"Bearer {KEY}"}) as server:
        assert server.get("/v2/health/ready").status == 200
        server.headers = {}
        assert server.post({}).status == 401
        assert server.stop() == 0


@pytest.mark.slow
def test_service_follows_install_and_rollback(edgecnn, tmp_path: Path):
    models, archive = tmp_path / "models", tmp_path / f"{COMMITTED.name}.tar"
    put(tmp_path, 2)
    pack(tmp_path / "2", archive)
    places = {"exported": str(COMMITTED.parent), archive.name: str(archive), "/srv/edgecnn/models": str(models)}
    text = (UNIT.parent / "README.md").read_text()
    found = [words[1:] for words in edgecnn_commands("".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)))]
    commands = [[replaced(word, places) for word in words] for words in found if words[0] in {"install", "rollback"}]
    assert [words[0] for words in commands] == ["install", "install", "rollback"]
    assert edgecnn(*commands[0]).code == 0
    (tmp_path / "api-key").write_text(f"{KEY}\n")
    words = unit_command(GENERIC, credentials=tmp_path)
    assert places[words[2]] == str(models)
    key = {"Authorization": f"Bearer {KEY}"}
    options = ("--api-key-file", tmp_path / "api-key", "--watch-s", 0.1)
    with serving(*options, bundles=[models], name=COMMITTED.name, headers=key) as server:
        for command, bundle in zip(commands[1:], (tmp_path / "2", COMMITTED), strict=True):
            assert edgecnn(*command).code == 0
            digest = open_bundle(bundle).digest
            wait_for(lambda digest=digest: server.infer(server.images[:1]).headers["x-bundle-digest"] == digest)


def replaced(word: str, places: dict[str, str]) -> str:
    """Map a path of the README to this machine."""
    for before, after in places.items():
        if word == before or word.startswith(f"{before}/"):
            return after + word.removeprefix(before)
    return word


def served_under(prefix: list[str], engine: str, folder: Path) -> str:
    """Serve and stop in a process that a prefix starts; skip if this machine cannot run it."""
    said = folder / "said"
    served = [sys.executable, "-m", "edgecnn", "serve", str(COMMITTED), "--engine", engine, "--port", "0"]
    with said.open("w") as file:
        process = subprocess.Popen([*prefix, *served], stderr=file, env=child_environment())
    try:
        wait_for(lambda: "edgecnn serves" in said.read_text() or process.poll() is not None)
        found = re.search(r"edgecnn listens on \S+ .*pid=(\d+)", said.read_text())
        if found is None:
            pytest.skip(f"the server did not start under the prefix: {said.read_text()[:200]}")
        assert process.poll() is None, said.read_text()
        os.kill(int(found[1]), signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0, said.read_text()
    finally:
        process.kill()
        process.wait()
    return said.read_text()


@pytest.mark.slow
def test_onnxruntime_serves_without_executable_writes(tmp_path: Path):
    assert unit_file(UNIT)["Service"]["MemoryDenyWriteExecute"] == "yes"
    code = "import ctypes, os, sys\n"
    code += f"if ctypes.CDLL(None).prctl({_PR_SET_MDWE}, {_REFUSE_EXEC_GAIN}, 0, 0, 0):\n"
    code += "    sys.exit('this kernel does not support PR_SET_MDWE')\n"
    code += "os.execv(sys.argv[1], sys.argv[1:])\n"
    assert 'engine="onnxruntime' in served_under([sys.executable, "-c", code], "onnxruntime", tmp_path)


def allowed_calls() -> set[str]:
    """Return the system calls that the unit's filter allows, according to systemd."""
    (group,) = unit_file(UNIT)["Service"]["SystemCallFilter"].split()
    known: dict[str, set[str]] = {}
    text = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    for line in text.splitlines():
        if line.startswith("@"):
            name = line.strip()
            known[name] = set()
        elif line.startswith(" ") and not line.strip().startswith("#"):
            known[name].add(line.strip())

    def expand(wanted: str) -> set[str]:
        return set().union(*(expand(each) if each.startswith("@") else {each} for each in known[wanted]))

    return expand(group)


@pytest.mark.slow
@systemd
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_server_makes_only_allowed_system_calls(tmp_path: Path, engine: str):
    counted = tmp_path / "counted"
    served_under(["strace", "-f", "-c", "-S", "name", "-o", str(counted)], engine, tmp_path)
    lines = [line.split() for line in counted.read_text().splitlines()]
    made = {line[-1] for line in lines if line and line[0][0].isdigit() and line[-1] != "total"}
    assert {"execve", "epoll_ctl", "listen", "mmap"} <= made
    assert made - allowed_calls() == set()
