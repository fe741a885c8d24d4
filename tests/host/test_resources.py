"""Cores and memory, read from `/proc` and `/sys` as kernels and containers write them."""

import os
from pathlib import Path

import pytest

from edgecnn.host.resources import affinity, cgroup_quota, host_cores, memory_limit, physical_memory, usable_cores

V2 = "0::/user.slice/job.scope\n"
V1 = "12:cpuset:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"
HERE = "sys/fs/cgroup/user.slice/job.scope/cpu.max"
PARENT = "sys/fs/cgroup/user.slice/cpu.max"
MOUNT = "sys/fs/cgroup/cpu.max"


def machine(root: Path, groups: str | bytes | None, files: dict[str, str] | None = None) -> Path:
    """Write `/proc/self/cgroup`, and files under `/sys`."""
    content = {} if groups is None else {"proc/self/cgroup": groups}
    for name, text in (content | (files or {})).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def v1(quota: str, period: str = "100000", folder: str = "docker/abc") -> dict[str, str]:
    mount = Path("sys/fs/cgroup/cpu") / folder
    return {str(mount / "cpu.cfs_quota_us"): f"{quota}\n", str(mount / "cpu.cfs_period_us"): f"{period}\n"}


LAYOUTS: dict[str, tuple[str | None, dict[str, str], float | None]] = {
    "v2-group": (V2, {HERE: "150000 100000\n"}, 1.5),
    "v2-parent": (V2, {HERE: "max 100000\n", PARENT: "300000 100000\n"}, 3),
    "v2-tighter-parent": (V2, {HERE: "400000 100000\n", PARENT: "50000 100000\n"}, 0.5),
    "v2-tighter-group": (V2, {HERE: "50000 100000\n", PARENT: "400000 100000\n"}, 0.5),
    "v2-other-period": (V2, {HERE: "25000 10000\n"}, 2.5),
    "v2-unlimited": (V2, {HERE: "max 100000\n", PARENT: "max 100000\n"}, None),
    "v2-container": ("0::/docker/0123abcd\n", {MOUNT: "200000 100000\n"}, 2),
    "v2-container-namespace": ("0::/\n", {MOUNT: "200000 100000\n"}, 2),
    "v2-no-files": (V2, {}, None),
    "v1-group": (V1, v1("150000"), 1.5),
    "v1-unlimited": (V1, v1("-1"), None),
    "v1-parent": (V1, v1("-1") | v1("50000", folder="docker"), 0.5),
    "v1-container": (V1, v1("200000", folder=""), 2),
    "v1-other-controller": ("4:cpuset:/docker/abc\n", v1("50000"), None),
    "v1-and-v2": (V1 + V2, v1("300000") | {HERE: "100000 100000\n"}, 1),
    "v1-tighter-than-v2": (V1 + V2, v1("50000") | {HERE: "100000 100000\n"}, 0.5),
    "colon-in-name": ("0::/a:b\n", {"sys/fs/cgroup/a:b/cpu.max": "100000 100000"}, 1),
    "no-files": (None, {}, None),
    "no-proc": (None, {MOUNT: "100000 100000\n"}, None),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_uses_the_lowest_quota_of_group_and_parents(layout: str, tmp_path: Path):
    groups, files, expected = LAYOUTS[layout]
    assert cgroup_quota(machine(tmp_path, groups, files)) == expected


MALFORMED: dict[str, tuple[str | bytes, dict[str, str]]] = {
    "empty-groups": ("", {}),
    "groups-without-colons": ("garbage\n\n", {MOUNT: "100000 100000\n"}),
    "binary-groups": (b"\xff\xfe\x80", {}),
    "empty-limit": (V2, {HERE: ""}),
    "one-number": (V2, {HERE: "100000\n"}),
    "three-numbers": (V2, {HERE: "1 2 3\n"}),
    "text-limit": (V2, {HERE: "much 100000\n"}),
    "text-period": (V2, {HERE: "100000 long\n"}),
    "zero-period": (V2, {HERE: "100000 0\n"}),
    "v1-empty-quota": (V1, v1("")),
    "v1-text-quota": (V1, v1("much")),
    "v1-zero-period": (V1, v1("100000", "0")),
    "v1-no-period": (V1, {"sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "100000"}),
}


@pytest.mark.parametrize("layout", MALFORMED)
def test_ignores_malformed_files(layout: str, tmp_path: Path):
    groups, files = MALFORMED[layout]
    root = machine(tmp_path, groups, files)
    assert cgroup_quota(root) is None
    assert usable_cores(root) == len(os.sched_getaffinity(0))


def test_a_malformed_limit_keeps_the_parents_limit(tmp_path: Path):
    assert cgroup_quota(machine(tmp_path, V2, {HERE: "much 100000", PARENT: "50000 100000"})) == 0.5


@pytest.mark.parametrize("quota", ["150000", "100000", "50000", "1000"])
def test_a_quota_below_two_cores_gives_one(quota: str, tmp_path: Path):
    assert usable_cores(machine(tmp_path, V2, {HERE: f"{quota} 100000"})) == 1


def test_affinity_limits_a_larger_quota(tmp_path: Path):
    assert usable_cores(machine(tmp_path, V2, {HERE: "102400000 100000"})) == len(os.sched_getaffinity(0))


def test_uses_the_affinity_without_limits(tmp_path: Path):
    assert usable_cores(tmp_path) == len(os.sched_getaffinity(0))


def test_an_affinity_of_one_core_gives_one(tmp_path: Path):
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)


def test_this_machine_has_a_usable_core():
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
    assert affinity() <= host_cores()


MEMINFO = {"proc/meminfo": "MemTotal:        8000000 kB\nMemFree:         1000000 kB\n"}
ALL = 8_000_000 * 1024
V1_MEMORY = "9:memory:/docker/abc\n"
UNLIMITED = "9223372036854771712\n"  # "no limit" in v1


def limited(group: str, *, parent: str = "max\n") -> dict[str, str]:
    return {"sys/fs/cgroup/user.slice/job.scope/memory.max": group, "sys/fs/cgroup/user.slice/memory.max": parent}


def v1_limited(group: str, *, folder: str = "docker/abc") -> dict[str, str]:
    return {str(Path("sys/fs/cgroup/memory") / folder / "memory.limit_in_bytes"): group}


MEMORY: dict[str, tuple[str | None, dict[str, str], int]] = {
    "v2-group": (V2, limited("536870912\n"), 2**29),
    "v2-parent": (V2, limited("max\n", parent="536870912\n"), 2**29),
    "v2-tighter-parent": (V2, limited("1073741824", parent="536870912"), 2**29),
    "v2-unlimited": (V2, limited("max\n"), ALL),
    "v2-above-physical": (V2, limited("1000000000000000"), ALL),
    "v2-container-namespace": ("0::/\n", {"sys/fs/cgroup/memory.max": "536870912"}, 2**29),
    "v1-group": (V1_MEMORY, v1_limited("536870912\n"), 2**29),
    "v1-unlimited": (V1_MEMORY, v1_limited(UNLIMITED), ALL),
    "v1-parent": (V1_MEMORY, v1_limited(UNLIMITED) | v1_limited("1048576", folder="docker"), 2**20),
    "v1-container": (V1_MEMORY, v1_limited("536870912", folder=""), 2**29),
    "v1-other-controller": (V1, v1_limited("536870912"), ALL),
    "v1-and-v2": (V1_MEMORY + V2, v1_limited("1073741824") | limited("536870912"), 2**29),
    "empty-limit": (V2, limited(""), ALL),
    "text-limit": (V2, limited("much"), ALL),
    "negative-limit": (V2, limited("-1"), ALL),
    "malformed-with-parent": (V2, limited("much", parent="536870912"), 2**29),
    "no-groups": (None, {}, ALL),
}


@pytest.mark.parametrize("layout", MEMORY)
def test_uses_the_lowest_memory_limit(layout: str, tmp_path: Path):
    groups, files, expected = MEMORY[layout]
    assert memory_limit(machine(tmp_path, groups, files | MEMINFO)) == expected


@pytest.mark.parametrize("meminfo", [None, "", "MemTotal:\n", "MemTotal: much kB\n", "MemFree: 1 kB\n"])
def test_uses_sysconf_without_a_valid_meminfo(meminfo: str | None, tmp_path: Path):
    files = {} if meminfo is None else {"proc/meminfo": meminfo}
    assert physical_memory(machine(tmp_path, None, files)) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_reads_the_memory_of_this_machine():
    limit, physical = memory_limit(), physical_memory()
    assert limit is not None
    assert physical is not None
    assert 0 < limit <= physical
