# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Control groups: usage counters and limits of a process or container, version 1, version 2 and both at once.

Formats: the kernel's ``admin-guide/cgroup-v1`` and ``admin-guide/cgroup-v2``. ``proc_root`` and ``cgroup_root`` can be
other directories, so that recorded trees can be read as well. A figure that the kernel does not give is None, never 0.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .procfs import ProcessNotFound

UNIFIED = "unified"
DEFAULT_CGROUP_ROOT = "/sys/fs/cgroup"

# Version 1 writes "no limit" as the largest page-aligned signed 64-bit number; no real machine comes near this.
NO_MEMORY_LIMIT_FROM = 1 << 60

NANOSECONDS_PER_SECOND = 1_000_000_000
MICROSECONDS_PER_SECOND = 1_000_000


class Mount(NamedTuple):
    """One mounted hierarchy: its directory, the group shown there as ``root``, its controllers (or ``unified``)."""

    directory: str
    root: str
    controllers: list[str]


def _read_text(*parts: str) -> str | None:
    try:
        with open(os.path.join(*parts), encoding="utf-8") as stream:
            return stream.read()
    except OSError:
        return None


def _read_integer(*parts: str) -> int | None:
    text = (_read_text(*parts) or "").strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _read_keyed(*parts: str) -> dict[str, int]:
    """Lines of ``name value``, as in cpu.stat and memory.stat."""
    pairs = (line.split() for line in (_read_text(*parts) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def parse_mounts(mountinfo: str) -> list[Mount]:
    """The control group hierarchies in a ``/proc/PID/mountinfo``."""
    mounts = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        controllers = [UNIFIED] if kind[0] == "cgroup2" else kind[2].split(",")
        mounts.append(Mount(directory=fields[4], root=fields[3], controllers=controllers))
    return mounts


def parse_membership(text: str) -> dict[str, str]:
    """``/proc/PID/cgroup``: controller -> path inside its hierarchy; version 2 under ``unified``."""
    paths = {}
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path:
            continue
        for controller in [UNIFIED] if number == "0" and not controllers else controllers.split(","):
            paths[controller] = path
    return paths


def _directory(mount: Mount, path: str) -> str | None:
    """Where a group is found below a mount that may show only a part of its hierarchy."""
    if path == "/.." or path.startswith("/../"):
        return None  # outside of this control group namespace
    if mount.root != "/" and (path == mount.root or path.startswith(mount.root + "/")):
        path = path[len(mount.root) :]
    directory = os.path.join(mount.directory, path.lstrip("/")).rstrip("/")
    if os.path.isdir(directory):
        return directory
    # In a container without a namespace of its own the host's path is written, but only its own group is mounted.
    return mount.directory if mount.root != "/" else None


def paths_of(pid: int, proc_root: str = "/proc", cgroup_root: str = DEFAULT_CGROUP_ROOT) -> dict[str, str]:
    """Directory of the process's group by controller (``cpu``, ``cpuacct``, ``memory`` ...; ``unified`` is version 2).

    Hierarchies that are not mounted, or where the group cannot be seen from here, are left out. Raises ProcessNotFound
    where the process does not run.
    """
    membership = _read_text(proc_root, str(pid), "cgroup")
    if membership is None:
        raise ProcessNotFound(f"process {pid} does not run, so its control groups cannot be read")
    inside = parse_membership(membership)
    paths = {}
    for mount in parse_mounts(_read_text(proc_root, "self", "mountinfo") or ""):
        directory = mount.directory
        if directory == DEFAULT_CGROUP_ROOT or directory.startswith(DEFAULT_CGROUP_ROOT + "/"):
            directory = cgroup_root + directory[len(DEFAULT_CGROUP_ROOT) :]
        for controller in mount.controllers:
            if controller in inside and controller not in paths:
                found = _directory(mount._replace(directory=directory), inside[controller])
                if found:
                    paths[controller] = found
    return paths


def _upwards(directory: str, cgroup_root: str) -> Iterator[str]:
    """The group and those above it, as far as they are mounted."""
    root = os.path.normpath(cgroup_root)
    directory = os.path.normpath(directory)
    while directory == root or directory.startswith(root + os.sep):
        yield directory
        if directory == root:
            return
        directory = os.path.dirname(directory)


def _quota_cores(directory: str) -> float | None:
    quota = _read_integer(directory, "cpu.cfs_quota_us")
    period = _read_integer(directory, "cpu.cfs_period_us")
    if quota is None or period is None:
        fields = (_read_text(directory, "cpu.max") or "max").split()
        if len(fields) != 2 or not fields[0].isdigit() or not fields[1].isdigit():
            return None
        quota, period = int(fields[0]), int(fields[1])
    return quota / period if quota > 0 and period > 0 else None


def _limit_bytes(directory: str) -> int | None:
    limit = _read_integer(directory, "memory.limit_in_bytes")
    if limit is None:
        limit = _read_integer(directory, "memory.max")
    return limit if limit is not None and limit < NO_MEMORY_LIMIT_FROM else None


def cpu_quota_cores(pid: int, proc_root: str = "/proc", cgroup_root: str = DEFAULT_CGROUP_ROOT) -> float | None:
    """The tightest CPU quota from the process's group up to the mounted root, in cores; None where there is none."""
    paths = paths_of(pid, proc_root, cgroup_root)
    quotas = [
        quota
        for controller in ("cpu", UNIFIED)
        if controller in paths
        for directory in _upwards(paths[controller], cgroup_root)
        for quota in [_quota_cores(directory)]
        if quota is not None
    ]
    return min(quotas, default=None)


def memory_limit_bytes(pid: int, proc_root: str = "/proc", cgroup_root: str = DEFAULT_CGROUP_ROOT) -> int | None:
    """The tightest memory limit from the process's group up to the mounted root; None where there is none."""
    paths = paths_of(pid, proc_root, cgroup_root)
    limits = [
        limit
        for controller in ("memory", UNIFIED)
        if controller in paths
        for directory in _upwards(paths[controller], cgroup_root)
        for limit in [_limit_bytes(directory)]
        if limit is not None
    ]
    return min(limits, default=None)


def cpu_usage_seconds(path: str) -> float | None:
    """CPU seconds charged so far to the group in directory ``path`` and those below it.

    Version 1: cpuacct.usage, nanoseconds; version 2: usage_usec of cpu.stat, microseconds.
    """
    nanoseconds = _read_integer(path, "cpuacct.usage")
    if nanoseconds is not None:
        return nanoseconds / NANOSECONDS_PER_SECOND
    microseconds = _read_keyed(path, "cpu.stat").get("usage_usec")
    return None if microseconds is None else microseconds / MICROSECONDS_PER_SECOND


def cpu_resolution_seconds(path: str) -> float:
    """The unit of the counter that ``cpu_usage_seconds`` reads there."""
    has_nanoseconds = os.path.exists(os.path.join(path, "cpuacct.usage"))
    return 1 / (NANOSECONDS_PER_SECOND if has_nanoseconds else MICROSECONDS_PER_SECOND)


class Throttling(NamedTuple):
    """How often, and for how long in sum over CPUs, the quota held a group back.

    ``elapsed_periods`` are the quota's periods in which the group had anything to run, held back or not.
    """

    periods: int
    seconds: float
    elapsed_periods: int | None = None


def throttling(path: str) -> Throttling | None:
    """What the CPU quota held back so far, by cpu.stat in directory ``path``."""
    values = _read_keyed(path, "cpu.stat")
    if "nr_throttled" not in values:
        return None
    periods, elapsed = values["nr_throttled"], values.get("nr_periods")
    if "throttled_usec" in values:
        return Throttling(periods, values["throttled_usec"] / MICROSECONDS_PER_SECOND, elapsed)
    return Throttling(periods, values.get("throttled_time", 0) / NANOSECONDS_PER_SECOND, elapsed)


def throttling_upwards(pid: int, proc_root: str = "/proc", cgroup_root: str = DEFAULT_CGROUP_ROOT) -> list[Throttling]:
    """What was held back so far of the process's group and of each group above it that is mounted, from the inside out.

    Any of them may have a quota, and each counts its own. Empty where the process has ended or no group can be seen.
    """
    try:
        paths = paths_of(pid, proc_root, cgroup_root)
    except ProcessNotFound:
        return []
    directory = paths.get("cpu") or paths.get(UNIFIED)
    found = [] if directory is None else [throttling(one) for one in _upwards(directory, cgroup_root)]
    return [one for one in found if one is not None]


def most_throttled(before: list[Throttling], after: list[Throttling]) -> dict[str, float | int | None]:
    """The keys ``throttled_periods``, ``throttled_seconds`` and ``elapsed_periods`` between two readings.

    Of the group that was held back longest: groups inside one another wait at the same time, and a sum would count it
    twice. All are null where nothing could be read, or the groups are not the same ones any more.
    """
    if not before or len(before) != len(after):
        return {"throttled_periods": None, "throttled_seconds": None, "elapsed_periods": None}
    differences = [
        Throttling(
            late.periods - early.periods,
            late.seconds - early.seconds,
            None
            if late.elapsed_periods is None or early.elapsed_periods is None
            else late.elapsed_periods - early.elapsed_periods,
        )
        for early, late in zip(before, after)
    ]
    most = max(differences, key=lambda one: one.seconds)
    return {
        "throttled_periods": most.periods,
        "throttled_seconds": most.seconds,
        "elapsed_periods": most.elapsed_periods,
    }


def memory_peak_bytes(path: str) -> int | None:
    """The highest usage so far, file cache included; version 2 has it from Linux 5.19 on."""
    peak = _read_integer(path, "memory.max_usage_in_bytes")
    return peak if peak is not None else _read_integer(path, "memory.peak")


def working_set_bytes(path: str) -> int | None:
    """Memory in use now: usage without the inactive file cache, as kubelet and cAdvisor count it.

    Formula: ``setMemoryStats`` of google/cadvisor@ab9bb9e9, container/libcontainer/handler.go.
    """
    usage = _read_integer(path, "memory.usage_in_bytes")
    if usage is None:
        usage = _read_integer(path, "memory.current")
    if usage is None:
        return None
    inside = _read_keyed(path, "memory.stat")
    # Version 1 has both keys, and there the one over the whole subtree counts.
    return max(0, usage - inside.get("total_inactive_file", inside.get("inactive_file", 0)))


def _group_of(path: str, name: str) -> str:
    """The named group itself: its first process may be in one below, as systemd's is in a KinD node."""
    above, _, below = path.partition(name)
    return above + name + below.partition("/")[0]


class Group:
    """The counters of the group whose path has a name in it, a container's id or a unit's; none where it is not seen.

    ``pid`` is one of its processes, ``version`` the control group version of its CPU counter, or None.
    """

    def __init__(self, name: str, pid: int) -> None:
        self._pid = pid
        try:
            paths = paths_of(pid)
        except ProcessNotFound:
            paths = {}
        # In another process namespace the same number is somebody else: the path must have the name.
        own = {controller: _group_of(path, name) for controller, path in paths.items() if name in path}
        # Where both versions are mounted, the unified one has no controllers: then these are in version 1's.
        self._usage_path = own.get("cpuacct") or own.get(UNIFIED)
        self._cpu_path = own.get("cpu") or own.get(UNIFIED)
        self._memory_path = own.get("memory") or own.get(UNIFIED)
        self.version = None if self._usage_path is None else 1 if "cpuacct" in own else 2
        self._throttled_before: Throttling | None = None

    def usage_seconds(self) -> float | None:
        """CPU seconds used so far."""
        return None if self._usage_path is None else cpu_usage_seconds(self._usage_path)

    def resolution_seconds(self) -> float | None:
        """The unit of ``usage_seconds``."""
        return None if self._usage_path is None else cpu_resolution_seconds(self._usage_path)

    def working_set_bytes(self) -> int | None:
        """Memory in use now."""
        return None if self._memory_path is None else working_set_bytes(self._memory_path)

    def memory_limit_bytes(self) -> int | None:
        """The tightest memory limit that holds for it; None where there is none, or it has ended."""
        try:
            return memory_limit_bytes(self._pid) if self._memory_path else None
        except ProcessNotFound:
            return None

    def begin(self) -> None:
        """The window begins: throttling is counted from here."""
        self._throttled_before = None if self._cpu_path is None else throttling(self._cpu_path)

    def facts(self) -> dict[str, Any]:
        """Throttling within the window; the peak is since the container's start."""
        before = [] if self._throttled_before is None else [self._throttled_before]
        now = None if self._cpu_path is None else throttling(self._cpu_path)
        try:
            quota = cpu_quota_cores(self._pid) if self._cpu_path else None
        except ProcessNotFound:
            quota = None
        return {
            "version": self.version,
            **most_throttled(before, [] if now is None else [now]),
            "memory_peak_bytes": None if self._memory_path is None else memory_peak_bytes(self._memory_path),
            "cpu_quota_cores": quota,
        }


def processes_of_containers(container_ids: Iterable[str], proc_root: str = "/proc") -> dict[str, int]:
    """A process of each container on this host, the first by number; a container that has none here is left out.

    Whatever the runtime and its driver, the path of a container's control group holds the container's id.
    """
    wanted = set(container_ids)
    found: dict[str, int] = {}
    for pid in sorted(int(name) for name in os.listdir(proc_root) if name.isdigit()):
        if not wanted:
            break
        membership = _read_text(proc_root, str(pid), "cgroup") or ""
        for container_id in [one for one in wanted if one in membership]:
            found[container_id] = pid
            wanted.remove(container_id)
    return found
