# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Watch containers: the engine's statistics, with the figures the ``docker stats`` command shows, and their cgroups.

Formulas are those of the Docker command line (``cli/command/container/stats_helpers.go``). A frame of a container that
does not run carries no system CPU time; it is never taken as 0 %.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from . import cgroup, counters
from .clock import host_boot_id, monotonic
from .docker_engine import Engine, EngineError
from .watch import COUNTER_INTERVAL_SECONDS, Watch, WatchError

NANOSECONDS_PER_SECOND = 1_000_000_000

# The counter as the engine hands it on; with version 2 it is microseconds times 1,000.
ENGINE_RESOLUTION_SECONDS = 1e-6

# The engine's second wavers by some milliseconds: a frame this much early is still the next one.
EARLY_SECONDS = 0.25


def is_running(frame: Mapping[str, Any]) -> bool:
    """Whether a frame is of a container that runs: of others the engine sends zeros, or nothing but a name."""
    return bool((frame.get("cpu_stats") or {}).get("system_cpu_usage"))


def cpu_percent_of_core(frame: Mapping[str, Any], previous: Mapping[str, Any]) -> float | None:
    """CPU as ``docker stats`` shows it: 100 is one busy core. None where the two frames are of the same moment."""
    now, before = frame["cpu_stats"], previous["cpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    system = now["system_cpu_usage"] - before["system_cpu_usage"]
    cpus = now.get("online_cpus") or len(now["cpu_usage"].get("percpu_usage") or [])
    if system <= 0 or used < 0 or not cpus:
        return None
    return float(100 * used / system * cpus)


def memory_bytes(memory: Mapping[str, Any]) -> int:
    """Memory as ``docker stats`` shows it: usage without the inactive file cache (the working set)."""
    usage: int = memory["usage"]
    inside = memory.get("stats") or {}
    # Version 1 has both keys, and there the one over the whole subtree counts.
    inactive: int = inside.get("total_inactive_file", inside.get("inactive_file", 0))
    return usage - inactive if inactive < usage else usage


def _network(frame: Mapping[str, Any]) -> tuple[int, int]:
    interfaces = (frame.get("networks") or {}).values()
    return sum(one["rx_bytes"] for one in interfaces), sum(one["tx_bytes"] for one in interfaces)


def _blocks(frame: Mapping[str, Any]) -> tuple[int, int]:
    entries = (frame.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    read, written = (
        sum(entry["value"] for entry in entries if entry["op"].lower() == operation) for operation in ("read", "write")
    )
    return read, written


def sample(
    frame: Mapping[str, Any], previous: Mapping[str, Any], begin: float, end: float, boot_id: str
) -> dict[str, Any]:
    """One record from two frames that were received at ``begin`` and ``end``; byte counts are since the start."""
    memory = frame["memory_stats"]
    used, limit = memory_bytes(memory), memory.get("limit")
    received, sent = _network(frame)
    read, written = _blocks(frame)
    return {
        "begin_monotonic_seconds": begin,
        "monotonic_seconds": end,
        "host_boot_id": boot_id,
        "cpu_percent_of_core": cpu_percent_of_core(frame, previous),
        "memory_bytes": used,
        "memory_usage_bytes": memory["usage"],
        "memory_limit_bytes": limit,
        "memory_percent": 100 * used / limit if limit else None,
        "network_received_bytes": received,
        "network_sent_bytes": sent,
        "block_read_bytes": read,
        "block_written_bytes": written,
        "pids": (frame.get("pids_stats") or {}).get("current"),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


class _Container:
    """One watched container: its frames come from a thread of its own, its counters are read by the watch's loop."""

    def __init__(self, engine: Engine, name: str, interval_seconds: float, boot_id: str) -> None:
        inspected = engine.running(name)
        self._engine = engine
        self._least_interval = interval_seconds - EARLY_SECONDS
        self._boot_id = boot_id
        self.id: str = inspected["Id"]
        self.name: str = inspected["Name"].lstrip("/")
        self._life = (inspected["State"]["Pid"], inspected["State"].get("StartedAt"))
        self._cgroup = cgroup.Group(self.id, inspected["State"]["Pid"])
        self._arrived: queue.SimpleQueue[tuple[float, dict[str, Any] | EngineError | None]] = queue.SimpleQueue()
        self._kept: tuple[float, dict[str, Any]] | None = None
        self._samples: list[dict[str, Any]] = []
        self._counter: list[list[float]] = []
        threading.Thread(target=self._receive, daemon=True).start()
        self.read_counter()

    def _receive(self) -> None:
        try:
            for frame in self._engine.statistics(self.id):
                self._arrived.put((monotonic(), frame))
            self._arrived.put((monotonic(), None))
        except EngineError as error:
            self._arrived.put((monotonic(), error))

    @property
    def has_good_frame(self) -> bool:
        return bool(self._samples)

    def begin(self) -> None:
        self._cgroup.begin()

    def read_counter(self) -> None:
        """Read the container's own CPU counter once, where it can be seen."""
        now, seconds = monotonic(), self._cgroup.usage_seconds()
        if seconds is not None:
            self._counter.append([now, seconds])

    def take_frames(self) -> None:
        """Take what has arrived. Raises EngineError where the container has stopped or the statistics ended."""
        while not self._arrived.empty():
            received, frame = self._arrived.get()
            if isinstance(frame, EngineError):
                raise frame
            if frame is None or not is_running(frame):
                state = self._engine.inspect(self.id).get("State") or {}
                raise EngineError(
                    f"container {self.name} stopped while it was watched (exit code {state.get('ExitCode')}); "
                    f"see docker logs {self.name}"
                )
            self._take(received, frame)

    def _take(self, received: float, frame: dict[str, Any]) -> None:
        if self._kept is None:
            self._kept = (received, frame)
            return
        before, previous = self._kept
        if frame.get("read") == previous.get("read") or received - before < self._least_interval:
            return
        try:
            self._samples.append(sample(frame, previous, before, received, self._boot_id))
        except (KeyError, TypeError, AttributeError) as error:
            raise EngineError(
                f"the engine's statistics of container {self.name} lack {error}; is the kernel's memory control group "
                "switched off (cgroup_disable=memory)?"
            ) from error
        self._kept = (received, frame)
        if self._cgroup.usage_seconds() is None:
            usage = frame["cpu_stats"]["cpu_usage"]["total_usage"] / NANOSECONDS_PER_SECOND
            self._counter.append([received, usage])

    def restarted(self) -> bool:
        """Whether the container is another process life than at the beginning."""
        state = self._engine.inspect(self.id).get("State") or {}
        return (state.get("Pid"), state.get("StartedAt")) != self._life

    def facts(self, window_start: float) -> dict[str, Any]:
        """The container's figures: counters from the window's start on, frames as received."""
        resolution = self._cgroup.resolution_seconds() or ENGINE_RESOLUTION_SECONDS
        first, last = self._samples[0], self._samples[-1]
        totals = ("network_received_bytes", "network_sent_bytes", "block_read_bytes", "block_written_bytes")
        memory = _mean([one["memory_bytes"] for one in self._samples])
        return {
            "name": self.name,
            "id": self.id,
            "cpu_percent_of_core": _mean([one["cpu_percent_of_core"] for one in self._samples]),
            **counters.since(self._counter, window_start, resolution),
            "memory_bytes": None if memory is None else round(memory),
            "memory_kind": "working_set",
            "memory_limit_bytes": last["memory_limit_bytes"],
            "memory_percent": _mean([one["memory_percent"] for one in self._samples]),
            **{name: last[name] - first[name] for name in totals},
            "pids": last["pids"],
            "samples": self._samples,
            "cgroup": self._cgroup.facts(),
            "counters": {"source": "cgroup", "resolution_seconds": resolution, "samples": self._counter},
            "memory": {
                "kind": "working_set",
                "samples": [[one["monotonic_seconds"], one["memory_bytes"]] for one in self._samples],
            },
            "restarted": self.restarted(),
        }


def watch_containers(engine: Engine, names: Sequence[str], watch: Watch, interval_seconds: float) -> dict[str, Any]:
    """Watch until it is over and return the value of ``ansible_facts.docker_stats``.

    The first good frame of every container, the second received, makes the watch ready. Raises EngineError where a
    container is unknown, does not run or stops, WatchError where the watch ended before the first good frame.
    """
    own_cpu_before = time.process_time()
    boot_id = host_boot_id()
    containers = [_Container(engine, name, interval_seconds, boot_id) for name in names]
    while not watch.over():
        time.sleep(COUNTER_INTERVAL_SECONDS)
        for container in containers:
            container.read_counter()
            container.take_frames()
        if watch.ready_monotonic_seconds is None and all(container.has_good_frame for container in containers):
            for container in containers:
                container.begin()
            watch.ready()
    for container in containers:
        container.read_counter()
    window = watch.window()
    if window["start_monotonic_seconds"] is None:
        waiting = ", ".join(container.name for container in containers if not container.has_good_frame)
        raise WatchError(
            f"the {watch.ended_by} ended the watch before the first good frame of {waiting}: give it more time"
        )
    return {
        "engine_version": engine.version,
        "api_version": engine.api_version,
        "host_boot_id": boot_id,
        "window": window,
        "window_seconds": window["end_monotonic_seconds"] - window["start_monotonic_seconds"],
        "containers": [container.facts(window["start_monotonic_seconds"]) for container in containers],
        "client": {"cpu_seconds": time.process_time() - own_cpu_before},
    }
