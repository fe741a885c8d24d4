"""The systemd unit: checked by systemd itself, and its command run in what of the sandbox can be had without it."""

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
"""What `systemd-analyze security` may give at most: 0 is shut, 10 is open."""
KEY = "0123456789abcdef" * 2
_PR_SET_MDWE, _REFUSE_EXEC_GAIN = 65, 1

systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def installed(folder: Path, *names: str) -> Path:
    """The unit with drop-ins as it lies in /etc/systemd/system, with a program in place of what is not here."""
    unit = folder / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/edgecnn/bin/edgecnn", sys.executable))
    for name in names:
        drop_in = folder / f"{UNIT.name}.d" / DROP_INS[name].name
        drop_in.parent.mkdir(exist_ok=True)
        shutil.copyfile(DROP_INS[name], drop_in)
    return unit


@systemd
@pytest.mark.parametrize("names", EXPOSURE, ids="+".join)
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, names: tuple[str, ...]):
    command = ["systemd-analyze", "verify", "--man=no", str(installed(tmp_path, *names))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@systemd
@pytest.mark.parametrize("names", EXPOSURE, ids="+".join)
def test_the_sandbox_is_as_tight_as_it_was(tmp_path: Path, names: tuple[str, ...]):
    # A file on its own: offline, systemd looks for no drop-ins.
    unit = installed(tmp_path)
    with unit.open("a") as file:
        file.writelines(DROP_INS[name].read_text() for name in names)
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for edgecnn\.service: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= EXPOSURE[names]


def test_the_times_and_limits_of_the_unit_go_with_the_servers_own(tmp_path: Path):
    options = serve_options(unit_command(GENERIC, credentials=tmp_path))
    service = unit_file(UNIT)["Service"]
    assert seconds(service["TimeoutStopSec"]) > options.grace_s + 5
    assert seconds(service["TimeoutStartSec"]) >= 5 * options.load_timeout_s
    assert int(service["LimitNOFILE"]) > 4 * options.max_connections
    assert service["Type"] == "notify"
    assert seconds(service["WatchdogSec"]) >= 10


def seconds(text: str) -> float:
    """Read a time as systemd writes it."""
    number, unit = re.fullmatch(r"(\d+)(s|min)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1.0, "min": 60.0}[unit]


def test_the_units_command_serves_with_its_key_from_the_credentials_folder(tmp_path: Path):
    (tmp_path / "api-key").write_text(f"{KEY}\n")
    words = unit_command(GENERIC, credentials=tmp_path)
    assert words[1:3] == ["serve", "/srv/edgecnn/models"]
    options = [word for pair in zip(words[3:-1:2], words[4::2], strict=True) if pair[0] != "--port" for word in pair]
    with serving(*options, headers={"Authorization": f"Bearer {KEY}"}) as server:
        assert server.get("/v2/health/ready").status == 200
        server.headers = {}
        assert server.post({}).status == 401
        assert server.stop() == 0


def test_the_running_service_follows_the_commands_that_install_and_roll_back(edgecnn, tmp_path: Path):
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
    """Write a README's path as it lies here."""
    for before, after in places.items():
        if word == before or word.startswith(f"{before}/"):
            return after + word.removeprefix(before)
    return word


def served_under(prefix: list[str], backend: str, folder: Path) -> str:
    """Serve and end, in a process that a prefix starts; skips where that is not to be had here, and says so."""
    said = folder / "said"
    served = [sys.executable, "-m", "edgecnn", "serve", str(COMMITTED), "--backend", backend, "--port", "0"]
    with said.open("w") as file:
        process = subprocess.Popen([*prefix, *served], stderr=file, env=child_environment())
    try:
        wait_for(lambda: "edgecnn serves" in said.read_text() or process.poll() is not None)
        found = re.search(r"edgecnn listens on \S+ .*pid=(\d+)", said.read_text())
        if found is None:
            pytest.skip(f"not to be had here: {said.read_text()[:200]}")
        assert process.poll() is None, said.read_text()
        os.kill(int(found[1]), signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0, said.read_text()
    finally:
        process.kill()
        process.wait()
    return said.read_text()


@pytest.mark.slow
def test_onnx_runtime_serves_where_no_memory_is_both_written_and_run(tmp_path: Path):
    assert unit_file(UNIT)["Service"]["MemoryDenyWriteExecute"] == "yes"
    code = "import ctypes, os, sys\n"
    code += f"if ctypes.CDLL(None).prctl({_PR_SET_MDWE}, {_REFUSE_EXEC_GAIN}, 0, 0, 0):\n"
    code += "    sys.exit('this kernel does not know PR_SET_MDWE')\n"
    code += "os.execv(sys.argv[1], sys.argv[1:])\n"
    assert 'engine="onnxruntime' in served_under([sys.executable, "-c", code], "onnxruntime", tmp_path)


def allowed_calls() -> set[str]:
    """The system calls of the unit's filter, by systemd's own table."""
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
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_server_makes_no_system_call_that_the_unit_forbids(tmp_path: Path, backend: str):
    counted = tmp_path / "counted"
    served_under(["strace", "-f", "-c", "-S", "name", "-o", str(counted)], backend, tmp_path)
    lines = [line.split() for line in counted.read_text().splitlines()]
    made = {line[-1] for line in lines if line and line[0][0].isdigit() and line[-1] != "total"}
    assert {"execve", "epoll_ctl", "listen", "mmap"} <= made
    assert made - allowed_calls() == set()
