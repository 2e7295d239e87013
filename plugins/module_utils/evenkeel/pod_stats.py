# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Watch groups of pods whose containers run on this host: their CPU, throttling and memory, from their control groups.

Which pods make up a group is the cluster's word; what they use is the kernel's. A pod's sandbox container holds its
namespaces and uses nothing worth counting; it is left out, as the cluster leaves it out of a pod's list of containers.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple

from . import cgroup, counters
from .clock import host_boot_id, monotonic
from .watch import COUNTER_INTERVAL_SECONDS, Watch

# How often the cluster is asked whether the pods are still the same. Not oftener: its own work is part of the node's.
LOOK_SECONDS = 2.0

MEMORY_KIND = "working_set"

ListPods = Callable[[str, str], Sequence[Mapping[str, Any]]]
"""The pods of a namespace that a label selector chooses, as the cluster's JSON has them; raises PodStatsError."""


class PodStatsError(Exception):
    """Pods that cannot be watched; the message says which, why and what to do."""


class Group(NamedTuple):
    """Pods whose figures are added up; all of the namespace where the selector is empty."""

    name: str
    namespace: str
    label_selector: str

    def __str__(self) -> str:
        return f"group {self.name} (namespace {self.namespace}, labels {self.label_selector or 'any'})"


class Running(NamedTuple):
    """A container of a pod that runs; ``id`` is the container runtime's."""

    pod: str
    uid: str
    name: str
    id: str
    node: str


def groups_from(options: Sequence[Mapping[str, Any]]) -> list[Group]:
    """The groups of the option. Raises PodStatsError where there is none, one is unnamed, or two have one name."""
    groups = [Group(*(str(one.get(key) or "").strip() for key in Group._fields)) for one in options]
    if not groups or not all(group.name and group.namespace for group in groups):
        raise PodStatsError("groups must hold at least one group, each with a name and a namespace")
    names = [group.name for group in groups]
    if len(set(names)) != len(names):
        raise PodStatsError(f"groups has two of one name: {', '.join(names)}")
    return groups


def running_containers(pods: Sequence[Mapping[str, Any]]) -> list[Running]:
    """Every running container of the pods, those that were started before the pod's own included."""
    found = []
    for pod in pods:
        metadata, status = pod.get("metadata") or {}, pod.get("status") or {}
        statuses = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
        for one in statuses:
            # "containerd://ID": the runtime's name, then its id.
            identity = str(one.get("containerID") or "").rpartition("://")[2]
            if "running" in (one.get("state") or {}) and identity:
                node = str((pod.get("spec") or {}).get("nodeName"))
                found.append(Running(str(metadata.get("name")), str(metadata.get("uid")), one["name"], identity, node))
    return found


def changes(before: Sequence[Running], after: Sequence[Running]) -> list[str]:
    """What is different between two lists of a group's containers, in words; empty where nothing is."""
    was, now = {one.id: one for one in before}, {one.id: one for one in after}
    pods_before, pods_after = {one.uid for one in before}, {one.uid for one in after}
    found = []
    for one in (now[identity] for identity in now if identity not in was):
        if one.uid not in pods_before:
            found.append(f"pod {one.pod} appeared")
        elif any((other.uid, other.name) == (one.uid, one.name) for other in before):
            found.append(f"container {one.name} of pod {one.pod} was restarted")
        else:
            found.append(f"container {one.name} of pod {one.pod} appeared")
    for one in (was[identity] for identity in was if identity not in now):
        if one.uid not in pods_after:
            found.append(f"pod {one.pod} ended")
        elif not any((other.uid, other.name) == (one.uid, one.name) for other in after):
            found.append(f"container {one.name} of pod {one.pod} ended")
    return list(dict.fromkeys(found))


class _Container:
    """One container and its control group on this host."""

    def __init__(self, container: Running, group: cgroup.Group) -> None:
        self._container = container
        self._group = group
        self._first: list[float] | None = None
        self._last: list[float] | None = None
        self._memory: list[int] = []

    @property
    def resolution_seconds(self) -> float:
        return self._group.resolution_seconds() or 0.0

    def begin(self) -> None:
        self._group.begin()

    def usage_seconds(self, moment: float) -> float | None:
        """CPU seconds used until now; None where its control group is gone."""
        seconds = self._group.usage_seconds()
        if seconds is not None:
            self._last = [moment, seconds]
            self._first = self._first or self._last
        return seconds

    def memory_bytes(self) -> int | None:
        """Memory in use now; None where its control group is gone."""
        used = self._group.working_set_bytes()
        if used is not None:
            self._memory.append(used)
        return used

    def facts(self, resolution_seconds: float) -> dict[str, Any]:
        """Its own part of the group's figures."""
        samples = [one for one in (self._first, self._last) if one is not None]
        return {
            **self._container._asdict(),
            **counters.since(samples, samples[0][0] if samples else 0.0, resolution_seconds),
            "memory_bytes": _mean(self._memory),
            "memory_limit_bytes": self._group.memory_limit_bytes(),
            "cgroup": self._group.facts(),
        }


class _WatchedGroup:
    """The containers of one group, watched as a whole: where one is gone, the sum ends, and is never too small."""

    def __init__(self, group: Group, running: Sequence[Running], processes: Mapping[str, int]) -> None:
        if not running:
            raise PodStatsError(
                f"no container of {group} runs, so there is nothing to watch: kubectl get pods "
                f"--namespace {group.namespace} --selector '{group.label_selector}'"
            )
        self._group = group
        self._running = list(running)
        self._containers = [self._container(one, processes) for one in running]
        self._resolutions = [one.resolution_seconds for one in self._containers]
        self._counter: list[list[float]] = []
        self._memory: list[list[float]] = []
        self._changes: list[str] = []
        self._broken = False

    def _container(self, one: Running, processes: Mapping[str, int]) -> _Container:
        group = cgroup.Group(one.id, processes[one.id]) if one.id in processes else None
        if group is None or group.usage_seconds() is None:
            raise PodStatsError(
                f"container {one.name} of pod {one.pod} in {self._group} does not run on this host but on node "
                f"{one.node}: no control group here is of {one.id[:12]}, so what it uses cannot be counted; "
                "watch from the host that the node's containers run on, or leave the pods of a remote cluster unwatched"
            )
        return _Container(one, group)

    def begin(self) -> None:
        """The window begins."""
        for container in self._containers:
            container.begin()
        self.read_counter()
        self.read_memory()

    def read_counter(self) -> None:
        """Read the CPU counters of all containers once."""
        moment = monotonic()
        seconds = [container.usage_seconds(moment) for container in self._containers]
        known = [one for one in seconds if one is not None]
        self._broken = self._broken or len(known) < len(seconds)
        if not self._broken:
            self._counter.append([moment, sum(known)])

    def read_memory(self) -> None:
        """Read the memory of all containers once."""
        moment = monotonic()
        used = [container.memory_bytes() for container in self._containers]
        known = [one for one in used if one is not None]
        if not self._broken and len(known) == len(used):
            self._memory.append([moment, sum(known)])

    def compare(self, running: Sequence[Running]) -> None:
        """Note what is different from the beginning."""
        for change in changes(self._running, running):
            if change not in self._changes:
                self._changes.append(change)

    def facts(self, window_start: float) -> dict[str, Any]:
        """The group's figures, the containers' added up. What cannot be added up is the single container's, or null."""
        containers = [one.facts(unit) for one, unit in zip(self._containers, self._resolutions)]
        own = [one["cgroup"] for one in containers]
        single = len(containers) == 1
        resolution = sum(self._resolutions)
        return {
            **self._group._asdict(),
            "containers": containers,
            **counters.since([] if self._broken else self._counter, window_start, resolution),
            "memory_bytes": _mean([used for _, used in self._memory]),
            "memory_kind": MEMORY_KIND,
            "memory_limit_bytes": containers[0]["memory_limit_bytes"] if single else None,
            "cgroup": {
                "version": own[0]["version"],
                "throttled_seconds": _sum([one["throttled_seconds"] for one in own]),
                "throttled_periods": _sum([one["throttled_periods"] for one in own]),
                "elapsed_periods": _sum([one["elapsed_periods"] for one in own]),
                "memory_peak_bytes": own[0]["memory_peak_bytes"] if single else None,
                "cpu_quota_cores": own[0]["cpu_quota_cores"] if single else None,
            },
            "counters": {"source": "cgroup", "resolution_seconds": resolution, "samples": self._counter},
            "memory": {"kind": MEMORY_KIND, "samples": self._memory},
            "restarted": self._broken or bool(self._changes),
            "changes": self._changes,
        }


def _mean(values: Sequence[float]) -> int | None:
    return round(sum(values) / len(values)) if values else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


class _Look:
    """Asks the cluster again and again beside the watch, which must not wait for it: a counter is read ten times a
    second. A cluster that is too busy to answer in between is asked again; the watch's last question must be answered.
    """

    def __init__(self, look: Callable[[], list[list[Running]]]) -> None:
        self._look = look
        self._answers: queue.SimpleQueue[list[list[Running]] | None] = queue.SimpleQueue()
        self._over = threading.Event()
        self.counts = {"answered": 0, "failed": 0}
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            try:
                self._answers.put(self._look())
            except PodStatsError:
                self._answers.put(None)

    def answers(self) -> list[list[list[Running]]]:
        """What has come since the last call: each group's containers, once for every answer."""
        came = []
        while not self._answers.empty():
            answer = self._answers.get()
            self.counts["failed" if answer is None else "answered"] += 1
            if answer is not None:
                came.append(answer)
        return came

    def last(self) -> list[list[list[Running]]]:
        """Stop asking by itself, and ask for the last time. Raises PodStatsError where that is not answered."""
        self._over.set()
        answer = self._look()
        self.counts["answered"] += 1
        return [*self.answers(), answer]


def watch_groups(list_pods: ListPods, groups: Sequence[Group], watch: Watch, interval_seconds: float) -> dict[str, Any]:
    """Watch until it is over and return the value of ``ansible_facts.pod_stats``.

    Memory is read every ``interval_seconds``, CPU ten times a second. Raises PodStatsError where a group has no running
    container, one of them is not on this host, or the cluster does not answer at the beginning or the end.
    """
    own_cpu_before = time.process_time()

    def look() -> list[list[Running]]:
        return [running_containers(list_pods(group.namespace, group.label_selector)) for group in groups]

    begun = look()
    processes = cgroup.processes_of_containers(one.id for running in begun for one in running)
    watched = [_WatchedGroup(group, running, processes) for group, running in zip(groups, begun)]
    for one in watched:
        one.begin()
    watch.ready()
    looking = _Look(look)
    next_memory = monotonic() + interval_seconds
    while not watch.over():
        time.sleep(COUNTER_INTERVAL_SECONDS)
        for one in watched:
            one.read_counter()
        if monotonic() >= next_memory:
            next_memory += interval_seconds
            for one in watched:
                one.read_memory()
        for answer in looking.answers():
            _compare(watched, answer)
    window = watch.window()
    for answer in looking.last():
        _compare(watched, answer)
    return {
        "host_boot_id": host_boot_id(),
        "window": window,
        "window_seconds": window["end_monotonic_seconds"] - window["start_monotonic_seconds"],
        "groups": [one.facts(window["start_monotonic_seconds"]) for one in watched],
        "looks": looking.counts,
        "client": {"cpu_seconds": time.process_time() - own_cpu_before},
    }


def _compare(watched: Sequence[_WatchedGroup], answer: Sequence[Sequence[Running]]) -> None:
    for group, running in zip(watched, answer):
        group.compare(running)
