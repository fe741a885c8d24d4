"""A restarted worker serves the same models as its predecessor, and keeps the same tensors.

The number in a comment is a row in the project's table of faults.
"""

import os
import resource
import shutil
import signal
from pathlib import Path

import pytest
from model_versions import NAME, put, put_with_another_class
from repository import COMMITTED
from server_process import Server, serving, wait_for

QUICK = ("--watch-s", 0.1)
REASON = (
    "version 2 was refused: expected logits float32 [-1,10] as in the current version, found logits float32 [-1,11]"
)


def kill(server: Server) -> None:
    """Kill the worker and wait until its successor is ready."""
    before = again(server)
    (worker,) = server.worker_pids()
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: again(server) == before + 1)


def again(server: Server) -> int:
    return sum("is ready again" in line for line in server.lines)


def order(server: Server, action: str, name: str = NAME) -> int:
    return server.request("POST", f"/v2/repository/models/{name}/{action}", b"").status


@pytest.mark.slow
def test_a_rejected_version_stays_rejected(one_version: Path):  # 78
    with serving(*QUICK, "--strict", bundles=[one_version], name=NAME) as server:
        put_with_another_class(one_version, 2)
        wait_for(lambda: server.index()[NAME]["reason"] == REASON)
        for _ in range(2):
            kill(server)
            assert server.index()[NAME] == {"name": NAME, "version": "1", "state": "READY", "reason": REASON}
            assert server.infer(server.images[:3]).body == server.golden
        put(one_version, 3)
        wait_for(lambda: server.index()[NAME] == {"name": NAME, "version": "3", "state": "READY", "reason": ""})
        assert server.stop() == 0


@pytest.mark.slow
def test_keeps_loaded_and_unloaded_models(one_version: Path):
    options = ("--model-control", *QUICK)
    with serving(*options, bundles=[one_version.parent], name=NAME) as server:
        shutil.copytree(COMMITTED, one_version.parent / "newcomer")
        assert order(server, "load", COMMITTED.name) == 200
        assert order(server, "unload") == 200
        before = server.index()
        kill(server)
        assert server.index() == before
        assert (before[NAME]["state"], before[COMMITTED.name]["state"]) == ("UNAVAILABLE", "READY")
        shutil.rmtree(one_version.parent / "newcomer")
        assert order(server, "load") == 200
        kill(server)
        assert server.index()[NAME]["state"] == "READY"
        assert server.index()[COMMITTED.name]["reason"] == "no bundle was found"


@pytest.mark.slow
def test_starts_with_all_models_unloaded(one_version: Path):
    with serving("--model-control", *QUICK, bundles=[one_version], name=NAME) as server:
        assert order(server, "unload") == 200
        kill(server)
        assert server.index()[NAME]["reason"] == "it was unloaded"
        put_with_another_class(one_version, 2)
        assert order(server, "load") == 200  # an unloaded model may change its tensors
        assert server.index()[NAME]["version"] == "2"
        kill(server)
        assert server.index()[NAME]["version"] == "2"
        assert server.stop() == 0


@pytest.mark.slow
def test_a_worker_that_cannot_answer_is_restarted():
    with serving() as server:
        for break_down in (stop, take_descriptors):
            (worker,) = server.worker_pids()
            begun = len(server.lines)
            break_down(worker)
            with server.connect():  # needs a descriptor
                wait_for(lambda begun=begun: any(KILLED in line for line in server.lines[begun:]), limit_s=60.0)
            wait_for(lambda begun=begun: any("ready again" in line for line in server.lines[begun:]))
            assert server.infer(server.images[:3]).body == server.golden
            assert not Path(f"/proc/{worker}").exists()
        assert server.stop() == 0


KILLED = "the worker does not answer: it is killed"


def stop(worker: int) -> None:
    os.kill(worker, signal.SIGSTOP)


def take_descriptors(worker: int) -> None:
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, resource.prlimit(worker, resource.RLIMIT_NOFILE)[1]))
