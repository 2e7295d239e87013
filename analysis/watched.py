# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What the watchers of one trial saw of its service: CPU time and memory inside a window, and over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from evenkeel import counters
from evenkeel.counters import Figure

from analysis import clocks
from analysis.clocks import Window
from analysis.figures import ABSENT, lookup

# Enough for a chart of a window; a longer recording is averaged into this many steps.
COURSE_STEPS = 120

# The group of pods that is an arm's service.
FUNCTION = "function"

_NO_WINDOW = "the trial has no window to count in"


@dataclass(frozen=True)
class Watched:
    """The readings of one watcher.

    ``processor`` are (monotonic seconds, CPU seconds used so far), ``memory`` (monotonic seconds, bytes).
    ``source`` names the CPU counter, ``memory_kind`` is ``pss`` or ``working_set``.
    """

    source: str | None
    resolution_seconds: float
    processor: Sequence[Sequence[float]]
    memory: Sequence[Sequence[float]]
    memory_kind: str | None
    host_boot_id: str | None
    restarted: bool


def watched(facts: Mapping[str, Any]) -> Watched | None:
    """Read what a trial's watcher recorded of the service: its pods, else its one container, else its processes.

    Of processes it is their control group's where they have one of their own, as a systemd unit has.

    None where none ran.
    """
    if _on_cluster(facts):
        return group(facts, FUNCTION)
    container = _container(facts)
    name, found = ("htop", _processes(facts)) if container is None else ("docker_stats", container)
    return _watched(found, lookup(facts, name, "host_boot_id"))


def group(facts: Mapping[str, Any], name: str) -> Watched | None:
    """Read what was recorded of one group of pods; None where there is none of this name."""
    record = _group(facts, name)
    return None if record is None else _watched(record, lookup(facts, "pod_stats", "host_boot_id"))


def group_changes(facts: Mapping[str, Any], name: str) -> list[str]:
    """Say how the pods of a group were not the same over the whole watch; empty where they were."""
    found = lookup(_group(facts, name), "changes")
    return [str(change) for change in found] if isinstance(found, list) else []


def nodes(facts: Mapping[str, Any]) -> list[Watched]:
    """Read what was recorded of the containers that are a cluster's nodes; empty where none were watched."""
    containers = lookup(facts, "docker_stats", "containers") if _on_cluster(facts) else None
    boot = lookup(facts, "docker_stats", "host_boot_id")
    found = [_watched(record, boot) for record in containers] if isinstance(containers, list) else []
    return [one for one in found if one is not None]


def control_group(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give what was read of the CPU quota over the service; empty where nobody looked, or it has several containers.

    Keys, each null where the kernel does not give it: ``throttled_periods``, ``throttled_seconds``,
    ``elapsed_periods``, ``cpu_quota_cores``.
    """
    found: object = lookup(facts, "htop")
    if _on_cluster(facts):
        record = _group(facts, FUNCTION)
        containers = lookup(record, "containers")
        found = record if isinstance(containers, list) and len(containers) == 1 else None
    elif (container := _container(facts)) is not None:
        found = container
    group = lookup(found, "cgroup")
    return group if isinstance(group, Mapping) else {}


def load_window(facts: Mapping[str, Any]) -> Window | None:
    """Give the load generator's own window, ab's or the open loop's; None where it recorded none."""
    generator = "ab_benchmark" if "ab_benchmark" in facts else "open_loop_benchmark"
    start, end = (lookup(facts, generator, "window", f"{edge}_monotonic_seconds") for edge in ("start", "end"))
    if not isinstance(start, int | float) or not isinstance(end, int | float) or end <= start:
        return None
    boot = _text(lookup(facts, generator, "window", "host_boot_id"))
    return Window(float(start), float(end), boot, clocks.clock_of(facts[generator]))


def watch_window(facts: Mapping[str, Any]) -> Window | None:
    """Give the stretch over which the watcher's CPU counter ran: the window of an idle trial."""
    return own_window(watched(facts))


def own_window(seen: Watched | None) -> Window | None:
    """Give the stretch over which one watcher's CPU counter ran."""
    if seen is None or len(seen.processor) < 2:
        return None
    return Window(seen.processor[0][0], seen.processor[-1][0], seen.host_boot_id)


def mean_cores(facts: Mapping[str, Any], window: Window | None) -> Figure:
    """Give the CPU seconds per second of the service inside the window, the counter interpolated at its edges."""
    return _unwatched(facts) or cores_of(watched(facts), window)


def mean_memory(facts: Mapping[str, Any], window: Window | None) -> Figure:
    """Give the mean bytes of the service inside the window."""
    return _unwatched(facts) or memory_of(watched(facts), window)


def cores_of(seen: Watched | None, window: Window | None) -> Figure:
    """Give the CPU seconds per second that one watcher counted inside the window."""
    usable = _usable(seen, window)
    if isinstance(usable, Figure):
        return usable
    watcher, stretch = usable
    return counters.mean_cores(watcher.processor, stretch.start, stretch.end, watcher.resolution_seconds)


def memory_of(seen: Watched | None, window: Window | None) -> Figure:
    """Give the mean bytes that one watcher saw inside the window."""
    usable = _usable(seen, window)
    if isinstance(usable, Figure):
        return usable
    watcher, stretch = usable
    return counters.mean_level(watcher.memory, stretch.start, stretch.end)


def htop_mean(facts: Mapping[str, Any], key: str, window: Window | None) -> Figure:
    """Give the mean of one of htop's own figures over the frames that lie wholly inside the window."""
    return _frame_mean("htop", facts, lookup(facts, "htop", "frames"), key, window)


def docker_stats_mean(facts: Mapping[str, Any], key: str, window: Window | None) -> Figure:
    """Give the mean of one of docker stats' own figures over the frames that lie wholly inside the window."""
    if _on_cluster(facts) and lookup(facts, "docker_stats") is not ABSENT:
        return Figure(reason="docker stats watched the cluster's node, which is more than the service")
    return _frame_mean("docker stats", facts, lookup(_container(facts), "samples"), key, window)


def _frame_mean(tool: str, facts: Mapping[str, Any], frames: object, key: str, window: Window | None) -> Figure:
    if not isinstance(frames, list):
        return Figure(reason=f"{tool} did not run beside this trial")
    if not all(key in frame for frame in frames):
        return Figure(reason=f"not every frame of {tool} holds {key}")
    if window is None:
        return Figure(reason=_NO_WINDOW)
    placed = clocks.seen_on(window, _text(lookup(facts, tool.replace(" ", "_"), "host_boot_id")))
    if isinstance(placed, str):
        return Figure(reason=placed)
    # An edge may be off by the slack: what counts is in the window for sure.
    return counters.frame_mean(frames, key, placed.start + placed.slack_seconds, placed.end - placed.slack_seconds)


def source(facts: Mapping[str, Any]) -> str | None:
    """Name what the CPU figures of this trial were counted by."""
    seen = watched(facts)
    return None if seen is None else seen.source


def memory_kind(facts: Mapping[str, Any]) -> str | None:
    """Name what the memory figures of this trial are: ``pss`` or ``working_set``."""
    seen = watched(facts)
    return None if seen is None else seen.memory_kind


def course(facts: Mapping[str, Any], window: Window) -> dict[str, list[list[float]]]:
    """Give CPU and memory as long as they were watched, for a chart: [seconds since the window's start, cores] and
    [seconds since the window's start, bytes].

    Before the window the seconds are negative. Where the window cannot be found on the watcher's clock, the course is
    the window's alone. Empty lists where nothing was watched.
    """
    seen = watched(facts)
    if seen is None:
        return {"cores": [], "memory_bytes": []}
    placed, whole = clocks.seen_on(window, seen.host_boot_id), own_window(seen)
    if isinstance(placed, Window):
        window = placed
    if whole is None or whole.host_boot_id != window.host_boot_id:
        whole = window
    begin, end = min(whole.start, window.start), max(whole.end, window.end)
    cores: list[list[float]] = []
    step = max((end - begin) / COURSE_STEPS, _spacing(seen.processor) * 2)
    edge = begin
    while step > 0 and edge + step <= end + 1e-9:
        figure = counters.mean_cores(seen.processor, edge, min(edge + step, end))
        if figure.value is not None:
            cores.append([round(edge + step / 2 - window.start, 6), round(figure.value, 6)])
        edge += step
    inside = [sample for sample in seen.memory if begin <= sample[0] <= end]
    stride = max(1, -(-len(inside) // COURSE_STEPS))
    return {
        "cores": cores,
        "memory_bytes": [[round(moment - window.start, 6), size] for moment, size in inside[::stride]],
    }


def _unwatched(facts: Mapping[str, Any]) -> Figure | None:
    """Give the reason why nothing could watch the service of this trial, where its record holds one."""
    reason = _text(lookup(facts, "unwatched"))
    return None if reason is None else Figure(reason=reason)


def _usable(seen: Watched | None, window: Window | None) -> tuple[Watched, Window] | Figure:
    if seen is None:
        return Figure(reason="no watcher ran beside this trial")
    if window is None:
        return Figure(reason=_NO_WINDOW)
    placed = clocks.seen_on(window, seen.host_boot_id)
    return Figure(reason=placed) if isinstance(placed, str) else (seen, placed)


def _watched(found: object, boot: object) -> Watched | None:
    if not isinstance(found, Mapping):
        return None
    resolution = lookup(found, "counters", "resolution_seconds")
    return Watched(
        source=_text(lookup(found, "counters", "source")),
        resolution_seconds=float(resolution) if isinstance(resolution, int | float) else 0.0,
        processor=_samples(lookup(found, "counters", "samples")),
        memory=_samples(lookup(found, "memory", "samples")),
        memory_kind=_text(lookup(found, "memory", "kind")),
        host_boot_id=_text(boot),
        restarted=lookup(found, "restarted") is True,
    )


def _on_cluster(facts: Mapping[str, Any]) -> bool:
    """Whether the service's pods were to be watched: then a container beside them is the cluster's node."""
    return "pod_stats" in facts or "pod_stats_failure" in facts


def _group(facts: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    groups = lookup(facts, "pod_stats", "groups")
    found = groups if isinstance(groups, list) else []
    return next((one for one in found if isinstance(one, Mapping) and one.get("name") == name), None)


def _container(facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give the record of the service's container; more than one container is no single service."""
    containers = lookup(facts, "docker_stats", "containers")
    return containers[0] if isinstance(containers, list) and len(containers) == 1 else None


def _processes(facts: Mapping[str, Any]) -> object:
    """Give the record of the service's processes: by their control group where they have one of their own.

    It counts as a container's does, which sums over processes do not: the two are different kinds.
    """
    found: object = lookup(facts, "htop")
    own = lookup(found, "group")
    return {**found, **own} if isinstance(found, Mapping) and isinstance(own, Mapping) else found


def _spacing(samples: Sequence[Sequence[float]]) -> float:
    return (samples[-1][0] - samples[0][0]) / (len(samples) - 1) if len(samples) > 1 else 0.0


def _samples(found: object) -> Sequence[Sequence[float]]:
    """Give a watcher's pairs of time and value; none at all where any is garbled, negative or out of order."""
    samples = found if isinstance(found, list) else []
    whole = all(isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair)) for pair in samples)
    ascending = whole and all(earlier[0] <= later[0] for earlier, later in pairwise(samples))
    return samples if ascending and all(value >= 0 for _, value in samples) else []


def _is_number(found: object) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)


def _text(found: object) -> str | None:
    return found if isinstance(found, str) else None
