"""A worker that is started again serves what the one before it has served, and not what clients did not agree to.

The number in a comment is the row of the project's table of faults.
"""

import os
import shutil
import signal
from pathlib import Path

import pytest
from model_versions import NAME, put, put_with_another_class
from repository import COMMITTED
from server_process import Server, serving, wait_for

QUICK = ("--watch-s", 0.1)
REASON = (
    "version 2 was refused: expected logits float32 [-1,10] as the version that is served has, "
    "found logits float32 [-1,11]"
)


def kill(server: Server) -> None:
    """Kill the worker, and wait until the next one is ready."""
    before = again(server)
    (worker,) = server.worker_pids()
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: again(server) == before + 1)


def again(server: Server) -> int:
    return sum("is ready again" in line for line in server.lines)


def order(server: Server, action: str, name: str = NAME) -> int:
    return server.request("POST", f"/v2/repository/models/{name}/{action}", b"").status


@pytest.mark.slow
def test_what_was_refused_for_its_tensors_is_refused_again(one_version: Path):  # 78
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
def test_what_was_unloaded_stays_so_and_what_was_loaded_comes_back(one_version: Path):
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
        assert server.index()[COMMITTED.name]["reason"] == "there is no bundle any more"


@pytest.mark.slow
def test_a_worker_whose_models_are_all_unloaded_waits_for_orders(one_version: Path):
    with serving("--model-control", *QUICK, bundles=[one_version], name=NAME) as server:
        assert order(server, "unload") == 200
        kill(server)
        assert server.index()[NAME]["reason"] == "it was unloaded"
        put_with_another_class(one_version, 2)
        assert order(server, "load") == 200  # nobody relies on the tensors of what was unloaded
        assert server.index()[NAME]["version"] == "2"
        kill(server)
        assert server.index()[NAME]["version"] == "2"
        assert server.stop() == 0
