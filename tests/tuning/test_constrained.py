"""Tuning with limited resources: half a core by a control group, and one core by affinity."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from repository import COMMITTED

V1, V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


@pytest.fixture
def half_a_core() -> Iterator[Path]:
    """A control group with a quota of half a core."""
    parent = V1 if V1.is_dir() else V2
    group = parent / f"edgecnn-test-{os.getpid()}"
    try:
        group.mkdir()
        if parent == V1:
            (group / "cpu.cfs_quota_us").write_text("50000")
        else:
            (group / "cpu.max").write_text("50000 100000")
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"cannot create a control group: {error}")
    yield group
    group.rmdir()


def tuned(*before: str) -> dict[str, Any]:
    command = [*before, sys.executable, "-m", "edgecnn", "tune", str(COMMITTED), "--budget", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_uses_one_thread_with_half_a_core(half_a_core: Path):
    found = tuned("bash", "-c", f'echo $$ > {half_a_core}/cgroup.procs; exec "$@"', "_")
    assert found["profile"]["site"]["cores"] == 1
    assert {trial["setting"]["threads"] for trial in found["trials"]} == {1}
    assert found["profile"]["choice"]["figure"]["value"] > 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no processor affinity on this system")
def test_uses_one_thread_on_one_core():
    core = min(os.sched_getaffinity(0))
    found = tuned("taskset", "-c", str(core))
    assert found["profile"]["site"]["cores"] == 1
    assert {trial["setting"]["threads"] for trial in found["trials"]} == {1}
