"""Tests of batch jobs on a real Ray cluster: two nodes with one core each, on this machine."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from batch_sources import contents, digit_folder
from ray_cluster import NODE, ray_cluster
from repository import COMMITTED

IMAGES, SHARD = 800, 40
MALFORMED = ("http://host", ":6379", "host:99999", "")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of a head node; tests add a second node."""
    with ray_cluster() as started:
        yield started


@contextlib.contextmanager
def second_node(cluster: Any, environment: Mapping[str, str] | None = None) -> Iterator[Any]:
    """Add a node, and end it if the block has not."""
    node = cluster.add_node(**NODE, env_vars=dict(environment or {}))
    cluster.wait_for_nodes()
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node)


def patched(folder: Path, code: str) -> dict[str, str]:
    """Return the environment of processes that run code at their start."""
    (folder / "sitecustomize.py").write_text(textwrap.dedent(code))
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH", "")])])}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_folder(tmp_path_factory.mktemp("ray") / "digits", IMAGES)


@pytest.fixture(scope="module")
def expected(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The output of a local run."""
    folder = tmp_path_factory.mktemp("local")
    out = folder / "out"
    done = run(command(digits, out), {"XDG_STATE_HOME": str(folder)})
    assert done.returncode == 0, done.stderr
    return contents(out)


def command(
    digits: Path, out: Path, address: str | None = None, actors: tuple[str, str] = ("--min-actors", "2")
) -> list[str]:
    options = ["--out", str(out), "--shard-images", str(SHARD), "--threads", "1", "--engine", "onnxruntime"]
    ray = [] if address is None else ["--ray", address, *actors]
    return [sys.executable, "-m", "edgecnn", "batch", str(COMMITTED), str(digits), *options, *ray]


def run(command: list[str], environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | (environment or {})
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=100, env=environment)


def wait_for_shards(process: subprocess.Popen[Any], out: Path, count: int) -> None:
    while process.poll() is None and len(list(out.glob("shard-*"))) < count:
        time.sleep(0.01)
    assert process.poll() is None, "the job has ended too early"


def test_output_is_that_of_a_local_run(cluster: Any, digits: Path, expected: dict[str, bytes], tmp_path: Path):
    arguments = command(digits, tmp_path / "out", cluster.address)
    with second_node(cluster):
        done = run(arguments)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{IMAGES} images in {IMAGES // SHARD} shards: ")
    assert contents(tmp_path / "out") == expected
    again = run(arguments)
    assert f"{IMAGES // SHARD} of them by an earlier run" in again.stdout


def test_a_killed_node_loses_no_image(cluster: Any, digits: Path, expected: dict[str, bytes], tmp_path: Path):
    out = tmp_path / "out"
    with (
        second_node(cluster) as node,
        subprocess.Popen(command(digits, out, cluster.address), stderr=subprocess.PIPE, text=True) as process,
    ):
        wait_for_shards(process, out, 3)
        cluster.remove_node(node, allow_graceful=False)
        _, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "")
    assert contents(out) == expected


@pytest.mark.slow
def test_a_killed_driver_continues(cluster: Any, digits: Path, expected: dict[str, bytes], tmp_path: Path):
    """The second run asks for more actors than the cluster has cores."""
    out = tmp_path / "out"
    arguments = command(digits, out, cluster.address)
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as process:
        wait_for_shards(process, out, 2)
        process.send_signal(signal.SIGKILL)
    done = run(arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "of them by an earlier run" in done.stdout
    assert contents(out) == expected


ANOTHER_VERSION = "import edgecnn; edgecnn.__version__ = '0.0.9'"
WRONG_LOGITS = """
    from edgecnn.runtime.engines import onnxruntime as engine
    run = engine.OnnxRuntimeSession.run
    engine.OnnxRuntimeSession.run = lambda self, images, out=None: engine.deliver(-run(self, images), out)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "message", "is_left_out"),
    [
        (ANOTHER_VERSION, "node 127.0.0.1 differs from the job's environment (edgecnn 0.0.9", False),
        (WRONG_LOGITS, "node 127.0.0.1 is left out: the proof of", True),
    ],
    ids=["another version", "failing self-test"],
)
def test_a_node_that_differs_is_named(
    cluster: Any,
    digits: Path,
    expected: dict[str, bytes],
    tmp_path: Path,
    code: str,
    message: str,
    is_left_out: bool,
):
    with second_node(cluster, patched(tmp_path, code)):
        done = run(command(digits, tmp_path / "out", cluster.address))
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"warning: {message}")
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines())
    found = contents(tmp_path / "out")
    assert found.keys() == expected.keys()
    different = {name for name in found if found[name] != expected[name]}
    assert different == (set() if is_left_out else {"manifest.json"})


@pytest.mark.slow
def test_a_limited_pool_has_one_actor(cluster: Any, digits: Path, expected: dict[str, bytes], tmp_path: Path):
    """The nodes differ, so the manifest tells whether both computed shards."""
    with second_node(cluster, patched(tmp_path, ANOTHER_VERSION)):
        done = run(command(digits, tmp_path / "out", cluster.address, ("--max-actors", "1")))
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert len({shard["environment"] is None for shard in manifest["shards"]}) == 1
    assert contents(tmp_path / "out").keys() == expected.keys()


@pytest.mark.slow
def test_reports_a_node_without_edgecnn(cluster: Any, digits: Path, tmp_path: Path):
    with second_node(cluster, patched(tmp_path, "import sys; sys.modules['edgecnn'] = None")):
        check_report(run(command(digits, tmp_path / "out", cluster.address)), "No module named 'edgecnn")


def check_report(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert message in line


@pytest.mark.parametrize("kind", ["closed", pytest.param("silent", marks=pytest.mark.slow)])
def test_reports_an_address_that_does_not_answer(digits: Path, tmp_path: Path, kind: str):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if kind == "silent":
            listener.listen()
        address = "{}:{}".format(*listener.getsockname())
        check_report(run(command(digits, tmp_path / "out", address)), f"no Ray cluster answers at {address}")


@pytest.mark.parametrize(
    "address", ["host", *(pytest.param(each, marks=pytest.mark.slow) for each in MALFORMED)], ids=repr
)
def test_reports_a_malformed_address(digits: Path, tmp_path: Path, address: str):
    check_report(run(command(digits, tmp_path / "out", address)), "expected the address of a Ray cluster as HOST:PORT")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recorded", "message"),
    [(None, "no Ray cluster runs here"), ("127.0.0.1:9", "no Ray cluster answers at 127.0.0.1:9")],
    ids=["none", "ended"],
)
def test_reports_that_no_cluster_runs_here(digits: Path, tmp_path: Path, recorded: str | None, message: str):
    """Ray records the address of the last cluster, and searches the processes of this machine for others."""
    code = (
        "import functools; from ray._private import services; services.find_gcs_addresses = functools.cache(frozenset)"
    )
    environment = patched(tmp_path, code)
    (tmp_path / "ray").mkdir()
    if recorded is not None:
        (tmp_path / "ray" / "ray_current_cluster").write_text(recorded)
    done = run(command(digits, tmp_path / "out", "auto"), environment | {"RAY_TMPDIR": str(tmp_path)})
    check_report(done, message)


def test_reports_too_few_cores(cluster: Any, digits: Path, tmp_path: Path):
    arguments = command(digits, tmp_path / "out", cluster.address)
    arguments[arguments.index("--threads") + 1] = "4"
    check_report(run(arguments), "no node has 4 cores for an actor, the largest has 1: pass --threads 1")


@pytest.mark.slow
def test_a_head_node_that_dies_is_reported(digits: Path, tmp_path: Path):
    out = tmp_path / "out"
    with ray_cluster() as own:
        arguments = command(digits, out, own.address, ("--max-actors", "1"))
        with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
            wait_for_shards(process, out, 2)
            own.head_node.kill_gcs_server()
            _, error = process.communicate(timeout=150)
    assert process.returncode != 0
    assert error.startswith("warning: the head node at 127.0.0.1:")
    assert run(command(digits, out)).returncode == 0
