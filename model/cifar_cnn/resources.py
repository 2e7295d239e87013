# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""How many CPUs this process may use: its affinity and the CPU quota of its control groups.

Both generations of control groups are read, as the kernel's Documentation/admin-guide/cgroup-v1/cpusets.rst,
Documentation/scheduler/sched-bwc.rst and Documentation/admin-guide/cgroup-v2.rst define them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def granted_cpus(root: Path = Path("/")) -> int:
    """Returns the CPUs granted to this process, at least 1; a fractional quota is rounded up.

    `root` is where /proc and /sys are looked for.
    """
    affinity = len(os.sched_getaffinity(0))
    quota = cpu_quota(root)
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Returns the smallest CPU quota, in CPUs, of this process's group and the groups above it; None without one."""
    return min((quota for folder in _group_folders(root) if (quota := _quota_of(folder)) is not None), default=None)


def _quota_of(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()  # version 2: "max 100000" or "150000 100000"
    except OSError:
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()  # version 1: -1 means none
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    return None if quota in {"max", "-1"} else int(quota) / int(period)


def _group_folders(root: Path) -> Iterator[Path]:
    """Yields this process's folder in every mounted hierarchy with a CPU controller, then the folders above it."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return
    for group in groups:
        _, controllers, path = group.split(":", 2)
        for line in mounts:
            # 36 35 98:0 /root /mount/point rw - type source options (proc(5), "mountinfo")
            before, _, after = line.partition(" - ")
            mount_root, mount_point = before.split()[3:5]
            kind, _, options = after.split()[:3]
            version_2 = kind == "cgroup2" and controllers == ""
            version_1 = kind == "cgroup" and "cpu" in controllers.split(",") and "cpu" in options.split(",")
            if not (version_2 or version_1):
                continue
            top = root / mount_point.lstrip("/")
            # Inside a container the path may lie above what is mounted; then the mount itself is our group.
            below = os.path.relpath(path, mount_root)
            folder = top if below.startswith("..") else top / below
            yield folder
            yield from (parent for parent in folder.parents if parent == top or top in parent.parents)
