"""Cores by affinity and by quota, and memory, from `/proc` and `/sys` as kernels and containers lay them out."""

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
    """Lay out a `/proc/self/cgroup` and files under `/sys`."""
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
    "v2, a limit on the group": (V2, {HERE: "150000 100000\n"}, 1.5),
    "v2, a limit on the parent": (V2, {HERE: "max 100000\n", PARENT: "300000 100000\n"}, 3),
    "v2, the tighter limit on the parent": (V2, {HERE: "400000 100000\n", PARENT: "50000 100000\n"}, 0.5),
    "v2, the tighter limit on the group": (V2, {HERE: "50000 100000\n", PARENT: "400000 100000\n"}, 0.5),
    "v2, a limit with another period": (V2, {HERE: "25000 10000\n"}, 2.5),
    "v2, no limit": (V2, {HERE: "max 100000\n", PARENT: "max 100000\n"}, None),
    "v2, in a container the group is the mount": ("0::/docker/0123abcd\n", {MOUNT: "200000 100000\n"}, 2),
    "v2, in a container with its own namespace": ("0::/\n", {MOUNT: "200000 100000\n"}, 2),
    "v2, no files": (V2, {}, None),
    "v1, a limit": (V1, v1("150000"), 1.5),
    "v1, no limit": (V1, v1("-1"), None),
    "v1, a limit on the parent": (V1, v1("-1") | v1("50000", folder="docker"), 0.5),
    "v1, in a container the group is the mount": (V1, v1("200000", folder=""), 2),
    "v1, another controller's files": ("4:cpuset:/docker/abc\n", v1("50000"), None),
    "v1 and v2 side by side": (V1 + V2, v1("300000") | {HERE: "100000 100000\n"}, 1),
    "v1 and v2, the tighter one is v1": (V1 + V2, v1("50000") | {HERE: "100000 100000\n"}, 0.5),
    "a colon in the group's name": ("0::/a:b\n", {"sys/fs/cgroup/a:b/cpu.max": "100000 100000"}, 1),
    "no files at all": (None, {}, None),
    "no proc, as on another system": (None, {MOUNT: "100000 100000\n"}, None),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_quota_is_the_tightest_of_the_group_and_its_parents(layout: str, tmp_path: Path):
    groups, files, expected = LAYOUTS[layout]
    assert cgroup_quota(machine(tmp_path, groups, files)) == expected


MALFORMED: dict[str, tuple[str | bytes, dict[str, str]]] = {
    "an empty list of groups": ("", {}),
    "a list of groups without colons": ("garbage\n\n", {MOUNT: "100000 100000\n"}),
    "a list of groups that is no text": (b"\xff\xfe\x80", {}),
    "an empty limit": (V2, {HERE: ""}),
    "a limit of one number": (V2, {HERE: "100000\n"}),
    "a limit of three numbers": (V2, {HERE: "1 2 3\n"}),
    "a limit of words": (V2, {HERE: "much 100000\n"}),
    "a limit with a period of words": (V2, {HERE: "100000 long\n"}),
    "a limit with a period of nothing": (V2, {HERE: "100000 0\n"}),
    "v1, an empty quota": (V1, v1("")),
    "v1, a quota of words": (V1, v1("much")),
    "v1, a period of nothing": (V1, v1("100000", "0")),
    "v1, a quota without a period": (V1, {"sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "100000"}),
}


@pytest.mark.parametrize("layout", MALFORMED)
def test_malformed_files_count_as_no_limit(layout: str, tmp_path: Path):
    groups, files = MALFORMED[layout]
    root = machine(tmp_path, groups, files)
    assert cgroup_quota(root) is None
    assert usable_cores(root) == len(os.sched_getaffinity(0))


def test_a_malformed_limit_does_not_hide_the_parents(tmp_path: Path):
    assert cgroup_quota(machine(tmp_path, V2, {HERE: "much 100000", PARENT: "50000 100000"})) == 0.5


@pytest.mark.parametrize("quota", ["150000", "100000", "50000", "1000"])
def test_less_than_two_cores_of_quota_is_one_core(quota: str, tmp_path: Path):
    assert usable_cores(machine(tmp_path, V2, {HERE: f"{quota} 100000"})) == 1


def test_a_quota_above_the_affinity_leaves_the_affinity(tmp_path: Path):
    assert usable_cores(machine(tmp_path, V2, {HERE: "102400000 100000"})) == len(os.sched_getaffinity(0))


def test_without_limits_the_affinity_counts(tmp_path: Path):
    assert usable_cores(tmp_path) == len(os.sched_getaffinity(0))


def test_an_affinity_to_one_core_is_one_core(tmp_path: Path):
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)


def test_this_machine_has_at_least_one_usable_core():
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
    assert affinity() <= host_cores()


MEMINFO = {"proc/meminfo": "MemTotal:        8000000 kB\nMemFree:         1000000 kB\n"}
ALL = 8_000_000 * 1024
V1_MEMORY = "9:memory:/docker/abc\n"
UNLIMITED = "9223372036854771712\n"  # what v1 kernels write for no limit


def limited(group: str, *, parent: str = "max\n") -> dict[str, str]:
    return {"sys/fs/cgroup/user.slice/job.scope/memory.max": group, "sys/fs/cgroup/user.slice/memory.max": parent}


def v1_limited(group: str, *, folder: str = "docker/abc") -> dict[str, str]:
    return {str(Path("sys/fs/cgroup/memory") / folder / "memory.limit_in_bytes"): group}


MEMORY: dict[str, tuple[str | None, dict[str, str], int]] = {
    "v2, a limit on the group": (V2, limited("536870912\n"), 2**29),
    "v2, a limit on the parent": (V2, limited("max\n", parent="536870912\n"), 2**29),
    "v2, the tighter limit on the parent": (V2, limited("1073741824", parent="536870912"), 2**29),
    "v2, no limit": (V2, limited("max\n"), ALL),
    "v2, a limit beyond the machine": (V2, limited("1000000000000000"), ALL),
    "v2, in a container with its own namespace": ("0::/\n", {"sys/fs/cgroup/memory.max": "536870912"}, 2**29),
    "v1, a limit": (V1_MEMORY, v1_limited("536870912\n"), 2**29),
    "v1, no limit": (V1_MEMORY, v1_limited(UNLIMITED), ALL),
    "v1, a limit on the parent": (V1_MEMORY, v1_limited(UNLIMITED) | v1_limited("1048576", folder="docker"), 2**20),
    "v1, in a container the group is the mount": (V1_MEMORY, v1_limited("536870912", folder=""), 2**29),
    "v1, another controller's files": (V1, v1_limited("536870912"), ALL),
    "v1 and v2 side by side": (V1_MEMORY + V2, v1_limited("1073741824") | limited("536870912"), 2**29),
    "an empty limit": (V2, limited(""), ALL),
    "a limit of words": (V2, limited("much"), ALL),
    "a limit below nothing": (V2, limited("-1"), ALL),
    "a malformed limit does not hide the parent's": (V2, limited("much", parent="536870912"), 2**29),
    "no control groups": (None, {}, ALL),
}


@pytest.mark.parametrize("layout", MEMORY)
def test_memory_is_the_tightest_limit_or_all_that_there_is(layout: str, tmp_path: Path):
    groups, files, expected = MEMORY[layout]
    assert memory_limit(machine(tmp_path, groups, files | MEMINFO)) == expected


@pytest.mark.parametrize("meminfo", [None, "", "MemTotal:\n", "MemTotal: much kB\n", "MemFree: 1 kB\n"])
def test_without_a_readable_total_the_system_is_asked(meminfo: str | None, tmp_path: Path):
    files = {} if meminfo is None else {"proc/meminfo": meminfo}
    assert physical_memory(machine(tmp_path, None, files)) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_this_machine_has_memory():
    limit, physical = memory_limit(), physical_memory()
    assert limit is not None
    assert physical is not None
    assert 0 < limit <= physical
