# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.cgroup, on recorded trees of version 1, version 2 and both at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from evenkeel import cgroup
from evenkeel.procfs import ProcessNotFound

PID = 4321
UNLIMITED_V1 = "9223372036854771712\n"


class Host:
    """A host's /proc and /sys/fs/cgroup, written into a directory."""

    def __init__(self, root: Path) -> None:
        self.proc = str(root / "proc")
        self.cgroup = str(root / "cgroup")
        self._root = root

    def write(self, path: str, text: str) -> None:
        file = self._root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def process(self, membership: str, mountinfo: str) -> None:
        self.write(f"proc/{PID}/cgroup", membership)
        self.write("proc/self/mountinfo", mountinfo)

    def paths(self) -> dict[str, str]:
        return cgroup.paths_of(PID, self.proc, self.cgroup)

    def quota(self) -> float | None:
        return cgroup.cpu_quota_cores(PID, self.proc, self.cgroup)

    def memory_limit(self) -> int | None:
        return cgroup.memory_limit_bytes(PID, self.proc, self.cgroup)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


V1_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
"""
UNIFIED_MOUNT = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
V2_MOUNTS = "41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.fixture
def version_1(host: Host) -> Host:
    host.process("5:memory:/docker/ab12\n2:cpu,cpuacct:/docker/ab12\n1:name=systemd:/docker/ab12\n", V1_MOUNTS)
    groups = [("", "-1", UNLIMITED_V1), ("docker/", "150000", "900000\n"), ("docker/ab12/", "30000", UNLIMITED_V1)]
    for group, quota, limit in groups:
        host.write(f"cgroup/cpu,cpuacct/{group}cpu.cfs_quota_us", f"{quota}\n")
        host.write(f"cgroup/cpu,cpuacct/{group}cpu.cfs_period_us", "100000\n")
        host.write(f"cgroup/memory/{group}memory.limit_in_bytes", limit)
    host.write("cgroup/cpu,cpuacct/docker/ab12/cpuacct.usage", "12345678901\n")
    host.write("cgroup/cpu,cpuacct/docker/ab12/cpu.stat", "nr_periods 48\nnr_throttled 41\nthrottled_time 736355146\n")
    host.write("cgroup/memory/docker/ab12/memory.max_usage_in_bytes", "3801088\n")
    return host


@pytest.fixture
def version_2(host: Host) -> Host:
    host.process("0::/system.slice/docker-ab12.scope\n", V2_MOUNTS)
    group = "cgroup/system.slice/docker-ab12.scope"
    host.write("cgroup/system.slice/cpu.max", "150000 100000\n")
    host.write("cgroup/system.slice/memory.max", "max\n")
    host.write(f"{group}/cpu.max", "max 100000\n")
    host.write(f"{group}/memory.max", "268435456\n")
    host.write(
        f"{group}/cpu.stat",
        "usage_usec 2500001\nuser_usec 2000000\nnr_periods 10\nnr_throttled 3\nthrottled_usec 250000\n",
    )
    host.write(f"{group}/memory.peak", "2000000\n")
    return host


def test_version_1(version_1: Host) -> None:
    paths = version_1.paths()
    assert paths["cpu"] == paths["cpuacct"] == f"{version_1.cgroup}/cpu,cpuacct/docker/ab12"
    assert paths["memory"] == f"{version_1.cgroup}/memory/docker/ab12"
    assert "name=systemd" not in paths, "its directory does not exist"
    assert cgroup.cpu_usage_seconds(paths["cpuacct"]) == pytest.approx(12.345678901)
    assert cgroup.cpu_resolution_seconds(paths["cpuacct"]) == 1e-9
    assert cgroup.throttling(paths["cpu"]) == cgroup.Throttling(41, pytest.approx(0.736355146), 48)
    assert cgroup.memory_peak_bytes(paths["memory"]) == 3801088


def test_version_1_limits_are_the_tightest_up_the_hierarchy(version_1: Host) -> None:
    assert version_1.quota() == pytest.approx(0.3)
    assert version_1.memory_limit() == 900000, "the parent's limit holds for the child"


def test_version_2(version_2: Host) -> None:
    path = version_2.paths()[cgroup.UNIFIED]
    assert path == f"{version_2.cgroup}/system.slice/docker-ab12.scope"
    assert cgroup.cpu_usage_seconds(path) == pytest.approx(2.500001)
    assert cgroup.cpu_resolution_seconds(path) == 1e-6
    assert cgroup.throttling(path) == cgroup.Throttling(3, 0.25, 10)
    assert cgroup.memory_peak_bytes(path) == 2000000


def test_version_2_limits_are_the_tightest_up_the_hierarchy(version_2: Host) -> None:
    assert version_2.quota() == pytest.approx(1.5)
    assert version_2.memory_limit() == 268435456


def test_hybrid_takes_controllers_from_version_1(version_1: Host) -> None:
    version_1.process("5:memory:/docker/ab12\n2:cpu,cpuacct:/docker/ab12\n0::/docker/ab12\n", V1_MOUNTS + UNIFIED_MOUNT)
    version_1.write("cgroup/unified/docker/ab12/cgroup.procs", f"{PID}\n")
    paths = version_1.paths()
    assert paths[cgroup.UNIFIED] == f"{version_1.cgroup}/unified/docker/ab12"
    assert cgroup.cpu_usage_seconds(paths[cgroup.UNIFIED]) is None
    assert version_1.quota() == pytest.approx(0.3)
    assert version_1.memory_limit() == 900000


def test_no_limit_is_none(host: Host) -> None:
    host.process("0::/a\n", V2_MOUNTS)
    host.write("cgroup/a/cpu.max", "max 100000\n")
    assert (host.quota(), host.memory_limit()) == (None, None)


def test_what_the_kernel_does_not_give_is_none(tmp_path: Path) -> None:
    empty = str(tmp_path)
    assert cgroup.cpu_usage_seconds(empty) is None
    assert cgroup.throttling(empty) is None
    assert cgroup.memory_peak_bytes(empty) is None


@pytest.mark.parametrize("garbage", ["", "x\n", "1 2 3\n", "12x 100000\n", "100000\n"])
def test_a_garbled_quota_is_no_quota(garbage: str, host: Host) -> None:
    host.process("0::/a\n", V2_MOUNTS)
    host.write("cgroup/a/cpu.max", garbage)
    assert host.quota() is None


def test_inside_a_container_without_a_namespace_the_mount_is_the_own_group(host: Host) -> None:
    host.process(
        "3:memory:/docker/ab12\n", "35 31 0:32 /docker/ab12 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    )
    host.write("cgroup/memory/memory.limit_in_bytes", "7000\n")
    assert host.paths() == {"memory": f"{host.cgroup}/memory"}
    assert host.memory_limit() == 7000


def test_a_group_below_the_mounted_one_is_found(host: Host) -> None:
    host.process(
        "3:memory:/docker/ab12/web\n", "35 31 0:32 /docker/ab12 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    )
    host.write("cgroup/memory/web/memory.limit_in_bytes", "7000\n")
    assert host.paths() == {"memory": f"{host.cgroup}/memory/web"}


def test_a_group_outside_of_the_namespace_is_left_out(host: Host) -> None:
    host.process("0::/../other\n", V2_MOUNTS)
    host.write("cgroup/other/memory.max", "5\n")
    assert host.paths() == {}
    assert (host.quota(), host.memory_limit()) == (None, None)


def test_a_process_that_does_not_run_is_refused(host: Host) -> None:
    with pytest.raises(ProcessNotFound, match="process 4321 does not run"):
        host.paths()


def test_the_own_process_has_groups_where_they_are_mounted() -> None:
    paths = cgroup.paths_of(os.getpid())
    assert all(os.path.isdir(path) for path in paths.values())


@pytest.mark.parametrize(
    ("files", "used"),
    [
        ({"memory.usage_in_bytes": "9000", "memory.stat": "inactive_file 1\ntotal_inactive_file 2000\n"}, 7000),
        ({"memory.current": "9000", "memory.stat": "inactive_file 2000\n"}, 7000),
        ({"memory.current": "9000", "memory.stat": "inactive_file 9500\n"}, 0),
        ({"memory.current": "9000"}, 9000),
        ({"memory.stat": "inactive_file 2000\n"}, None),
    ],
)
def test_the_working_set_is_usage_without_the_inactive_file_cache(
    files: dict[str, str], used: int | None, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert cgroup.working_set_bytes(str(tmp_path)) == used


# Paths as kubelet and containerd make them in a KinD node, with the systemd driver and with the cgroupfs driver.
POD = "1f" * 32
SYSTEMD = f"/docker/{'0a' * 32}/kubelet.slice/kubelet-kubepods.slice/cri-containerd-{POD}.scope"
CGROUPFS = f"/docker/{'0a' * 32}/kubelet/kubepods/burstable/pod6f1d1c5e/{POD}"


@pytest.mark.parametrize("path", [SYSTEMD, CGROUPFS])
def test_a_process_of_a_container_is_found_by_its_id_whatever_the_driver(path: str, host: Host) -> None:
    for pid, group in ((7, "/docker/" + "0a" * 32), (812, path), (811, path), (9, "/")):
        host.write(f"proc/{pid}/cgroup", f"5:memory:{group}\n0::{group}\n")
    host.write("proc/self/cgroup", "0::/\n")
    assert cgroup.processes_of_containers([POD, "2e" * 32], host.proc) == {POD: 811}


def test_a_container_whose_process_has_ended_has_no_figures() -> None:
    container = cgroup.Group(POD, 2**30)
    assert (container.usage_seconds(), container.working_set_bytes(), container.memory_limit_bytes()) == (None,) * 3
    assert container.version is None


def test_another_ones_process_is_not_the_containers() -> None:
    assert cgroup.Group(POD, os.getpid()).version is None


def test_a_container_s_own_group_is_meant_not_one_inside_it() -> None:
    """As in a KinD node, whose systemd puts its first process into a group of its own."""
    container = "c0ffee" * 10
    assert cgroup._group_of(f"/sys/fs/cgroup/cpu/docker/{container}/init.scope", container) == (
        f"/sys/fs/cgroup/cpu/docker/{container}"
    )
    scope = f"/sys/fs/cgroup/memory/kubepods/cri-containerd-{container}.scope"
    assert cgroup._group_of(scope, container) == scope


def test_throttling_is_read_of_every_group_upwards(version_2: Host) -> None:
    version_2.write("cgroup/system.slice/cpu.stat", "nr_periods 20\nnr_throttled 9\nthrottled_usec 500000\n")
    found = cgroup.throttling_upwards(PID, version_2.proc, version_2.cgroup)
    assert found == [cgroup.Throttling(3, 0.25, 10), cgroup.Throttling(9, 0.5, 20)]


def test_a_process_that_has_ended_is_not_throttled_and_not_unthrottled_either(tmp_path: Path) -> None:
    assert cgroup.throttling_upwards(PID, str(tmp_path), str(tmp_path)) == []
    nothing = {"throttled_periods": None, "throttled_seconds": None, "elapsed_periods": None}
    assert cgroup.most_throttled([], []) == nothing
    assert cgroup.most_throttled([cgroup.Throttling(1, 0.1, 2)], []) == nothing


def test_groups_inside_one_another_are_not_added_up() -> None:
    before = [cgroup.Throttling(1, 0.1, 10), cgroup.Throttling(5, 1.0, 100)]
    after = [cgroup.Throttling(3, 0.3, 20), cgroup.Throttling(10, 1.5, 110)]
    found = cgroup.most_throttled(before, after)
    assert found == {"throttled_periods": 5, "throttled_seconds": 0.5, "elapsed_periods": 10}
    old_kernel = [cgroup.Throttling(3, 0.3)]
    assert cgroup.most_throttled([cgroup.Throttling(1, 0.1)], old_kernel)["elapsed_periods"] is None
