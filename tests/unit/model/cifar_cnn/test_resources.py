# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest
from cifar_cnn.resources import cpu_quota, granted_cpus

V2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct"
V1_SETS = "32 24 0:28 / /sys/fs/cgroup/cpuset rw,nosuid - cgroup cgroup rw,cpuset"


def tree(root: Path, groups: str, mounts: list[str], files: dict[str, str]) -> Path:
    """A root folder with a recorded /proc/self and control group files."""
    proc = root / "proc/self"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text(groups)
    (proc / "mountinfo").write_text("\n".join(mounts) + "\n")
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_version_2_takes_the_smallest_quota_up_to_the_top(tmp_path: Path) -> None:
    files = {"a/cpu.max": "150000 100000\n", "a/b/cpu.max": "max 100000\n", "a/b/c/cpu.max": "400000 100000\n"}
    assert cpu_quota(tree(tmp_path, "0::/a/b/c\n", [V2], files)) == 1.5


def test_version_1_reads_the_cpu_hierarchy_only(tmp_path: Path) -> None:
    files = {
        "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/docker/x/cpu.cfs_quota_us": "200000\n",
        "cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000\n",
        "cpuset/docker/x/cpu.cfs_quota_us": "1000\n",
        "cpuset/docker/x/cpu.cfs_period_us": "100000\n",
    }
    groups = "5:cpuset:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/\n"
    assert cpu_quota(tree(tmp_path, groups, [V1_SETS, V1], files)) == 2.0


@pytest.mark.parametrize("mounted", ["/docker/x", "/docker/other"])
def test_a_containers_own_mount_is_its_group(tmp_path: Path, mounted: str) -> None:
    mount = V1.replace("0:27 / ", f"0:27 {mounted} ")
    files = {"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}
    assert cpu_quota(tree(tmp_path, "3:cpu,cpuacct:/docker/x\n", [mount], files)) == 0.5


def test_no_control_groups_means_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    assert granted_cpus(tmp_path) == len(os.sched_getaffinity(0))


def test_a_fraction_is_rounded_up_and_affinity_is_the_ceiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    root = tree(tmp_path, "0::/\n", [V2], {"cpu.max": "150000 100000\n"})
    assert granted_cpus(root) == 2
    (root / "sys/fs/cgroup/cpu.max").write_text("10000 100000\n")
    assert granted_cpus(root) == 1
    (root / "sys/fs/cgroup/cpu.max").write_text("1600000 100000\n")
    assert granted_cpus(root) == 4
