# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What a machine is and has: read from /proc, /sys and os-release, nothing is run and nothing is changed."""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import time
from collections.abc import Iterable
from typing import Any


def state_home(user_id: int, home: str, environment: dict[str, str]) -> str:
    """The folder for what the toolkit makes on a host: /var/lib/evenkeel for root, the XDG state home for others.

    Source: XDG Base Directory Specification 0.8, $XDG_STATE_HOME; a relative value there is to be ignored.
    """
    if user_id == 0:
        return "/var/lib/evenkeel"
    stated = environment.get("XDG_STATE_HOME", "")
    base = stated if os.path.isabs(stated) else os.path.join(home, ".local", "state")
    return os.path.join(base, "evenkeel")


def free_bytes(path: str) -> int:
    """Bytes an unprivileged process may still write at ``path``, or at its nearest existing parent."""
    probe = os.path.abspath(path)
    while not os.path.isdir(probe):
        probe = os.path.dirname(probe)
    return shutil.disk_usage(probe).free


def first_value(text: str, key: str, separator: str = ":") -> str | None:
    """The value of the first ``key<separator> value`` line, None where there is none."""
    for line in text.splitlines():
        name, found, value = line.partition(separator)
        if found and name.strip() == key:
            return value.strip().strip('"')
    return None


def cgroup_version(mounts: str) -> str:
    """``v2``, ``hybrid`` (controllers on v1 beside a v2 hierarchy), ``v1`` or ``none``; from /proc/self/mounts."""
    kinds = {fields[2] for fields in (line.split() for line in mounts.splitlines()) if len(fields) > 2}
    if "cgroup" in kinds:
        return "hybrid" if "cgroup2" in kinds else "v1"
    return "v2" if "cgroup2" in kinds else "none"


def busy_cores(before: str, after: str, hertz: int) -> float:
    """CPU seconds that something ran for, between two readings of /proc/stat's first line, steal included; proc(5)."""

    def running(line: str) -> int:
        user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in line.split()[1:9])
        return user + nice + system + irq + softirq + steal

    return (running(after) - running(before)) / hertz


def sample_busy_cores(seconds: float) -> float:
    """How many cores this machine kept busy over the next ``seconds``, whoever did it."""
    before, begin = _read("/proc/stat").splitlines()[0], time.monotonic()
    time.sleep(seconds)
    after, end = _read("/proc/stat").splitlines()[0], time.monotonic()
    return busy_cores(before, after, os.sysconf("SC_CLK_TCK")) / (end - begin)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def _kib(meminfo: str, key: str) -> int | None:
    """A line of /proc/meminfo in bytes, None where there is none; proc(5) gives them in units of 1,024 bytes."""
    found = first_value(meminfo, key)
    return int(found.split()[0]) * 1024 if found else None


def _swap_used(meminfo: str) -> int | None:
    total, free = _kib(meminfo, "SwapTotal"), _kib(meminfo, "SwapFree")
    return None if total is None or free is None else total - free


def describe(paths: Iterable[str], commands: Iterable[str]) -> dict[str, Any]:
    """The facts about this machine that every run records; sizes in bytes, absent readings None."""
    user = pwd.getpwuid(os.getuid())
    home = state_home(user.pw_uid, user.pw_dir, dict(os.environ))
    cpuinfo, meminfo, os_release = _read("/proc/cpuinfo"), _read("/proc/meminfo"), _read("/etc/os-release")
    load = _read("/proc/loadavg").split()
    return {
        "affinity_cpus": sorted(os.sched_getaffinity(0)),
        "cgroup_version": cgroup_version(_read("/proc/self/mounts")),
        "clocksource": _read("/sys/devices/system/clocksource/clocksource0/current_clocksource") or None,
        "commands": {name: shutil.which(name) for name in commands},
        "cpu_count": os.cpu_count(),
        "cpu_governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        "cpu_model": first_value(cpuinfo, "model name") or first_value(cpuinfo, "CPU part"),
        "distribution": first_value(os_release, "PRETTY_NAME", "="),
        "distribution_id": first_value(os_release, "ID", "="),
        "free_bytes": {path: free_bytes(path) for path in [home, *paths]},
        "host_boot_id": _read("/proc/sys/kernel/random/boot_id") or None,
        "hypervisor": "hypervisor" in (first_value(cpuinfo, "flags") or "").split(),
        "kernel": platform.release(),
        "load1": float(load[0]) if load else None,
        "machine": platform.machine(),
        "memory_bytes": _kib(meminfo, "MemTotal"),
        "python": platform.python_version(),
        "swap_bytes": _kib(meminfo, "SwapTotal"),
        "swap_used_bytes": _swap_used(meminfo),
        "state_home": home,
        "user": user.pw_name,
        "user_id": user.pw_uid,
    }
