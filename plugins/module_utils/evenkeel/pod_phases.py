# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What a cluster's watches say of a cold start: which pod went, which came, and when each step of that was.

The input is a list of records, each one delivery of a watch with the CLOCK_MONOTONIC stamp of its receipt. Nothing here
asks a cluster. A stamp is the latest moment at which something can have happened, and its resolution by how much it may
be late: for a receipt, the time since the same watch last said otherwise. Kubernetes' own stamps are wall clock, most
of them in whole seconds; they are used only where that clock is this host's, and where no finer source exists.

Fields of pods, events and endpoints: kubernetes/kubernetes, staging/src/k8s.io/api/{core,discovery}/v1/types.go, as in
the models of the Python package kubernetes 37.0.1 (OpenAPI document release-1.37). Stamps: apimachinery's
pkg/apis/meta/v1/micro_time.go at 143ac994 (RFC3339Micro). Reasons of events: pkg/kubelet/events/event.go at 00bdb3fa;
their order (Pulling, Pulled, Created, Started): pkg/kubelet/kuberuntime/kuberuntime_container.go at 007dfb7f.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple

from . import procfs
from .clock import monotonic

PODS, EVENTS, ENDPOINTS = "pods", "events", "endpoints"

# What a record may be beside the ADDED, MODIFIED and DELETED of a watch: a whole list in place of what was known, and
# the end and the new beginning of a watch.
LISTED, BROKEN, RESUMED = "LISTED", "BROKEN", "RESUMED"

# Longer than this the old container may not have run beside the new one (design 4.2).
MOST_OVERLAP_SECONDS = 0.5

# Sources of a stamp, as the facts name them.
WATCH, PROCESS, EVENT_TIME, KUBERNETES = "watch", "process", "event_time", "kubernetes"

TICK_SECONDS = 1 / procfs.TICKS_PER_SECOND
MICROSECOND = 1e-6

# For so long after a broken watch has begun anew, what it delivers may be what was missed.
CATCH_UP_SECONDS = 1.0

# By how much a stamp of another source may contradict the watch's before it is taken for another clock's.
CLOCK_SLACK_SECONDS = 0.002

LAST_EVENTS = 8
MOST_LINES = 150
MESSAGE_CHARACTERS = 300

# kubelet says "Container image %q already present on machine" up to 1.32 or so, and "... already present on machine and
# can be accessed by the pod" where it checks pull credentials (pkg/kubelet/images/image_manager.go at 00a3928b and
# cfce511e; the longer form in later versions of the same file).
CACHED = "already present on machine"
# "Successfully pulled image %q in %v" (at 00a3928b), later followed by " (%v including waiting)" and by
# ". Image size: %v bytes." (at cfce511e). The times are Go durations.
PULLED = re.compile(
    r'Successfully pulled image ".*" in (?P<pull>\S+?)(?: \((?P<waited>\S+) including waiting\))?'
    r"(?:\. Image size: (?P<bytes>\d+) bytes\.)?$"
)
DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|µs|us|ns)")
UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}


class Record(NamedTuple):
    """One delivery: its receipt on CLOCK_MONOTONIC, the watch it came from, its type and its object.

    A LISTED object holds ``items``, a BROKEN one the ``reason``, a RESUMED one ``relisted``: whether a list made good
    what was missed.
    """

    at: float
    watch: str
    type: str
    object: Mapping[str, Any]


class Init(NamedTuple):
    """A container's first process: its id, when it was made, and when it ended (None: not seen to), in monotonic time.

    ``end_resolution_seconds`` is by how much its end may have been seen late.
    """

    pid: int
    made: float
    ended: float | None = None
    end_resolution_seconds: float | None = None


@dataclass(frozen=True)
class Run:
    """What is known of one start beside the records.

    ``deletion`` is the moment just before the first pod was asked to go, None where none was. ``service`` is the
    Service whose endpoints were watched, None where they were not. ``inits`` are the first processes of containers, by
    container id, where they are on this host. ``wall_offset`` is wall clock minus monotonic clock, where the cluster's
    wall clock is this host's.
    """

    start: float
    host_boot_id: str
    deletion: float | None = None
    service: str | None = None
    inits: Mapping[str, Init] = field(default_factory=dict)
    wall_offset: float | None = None
    most_overlap_seconds: float = MOST_OVERLAP_SECONDS


class Stamp(NamedTuple):
    """The latest moment at which something can have happened, in seconds since the start, and how late it may be."""

    seconds: float
    source: str
    resolution_seconds: float

    @property
    def earliest_seconds(self) -> float:
        """The earliest moment at which it can have happened."""
        return self.seconds - self.resolution_seconds


# --- single objects ---------------------------------------------------------------------------------------------------


def uid(pod: Mapping[str, Any]) -> str:
    """The pod's id, which no other pod ever has."""
    return str(pod["metadata"]["uid"])


def container_status(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status of the pod's first container, the function's own; empty before the kubelet has given one."""
    name = pod["spec"]["containers"][0]["name"]
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        if status["name"] == name:
            return dict(status)
    return {}


def container_id(pod: Mapping[str, Any]) -> str | None:
    """The container's id without the runtime's name: Kubernetes writes ``<type>://<container_id>``."""
    return str(container_status(pod).get("containerID") or "").rpartition("://")[2] or None


def is_scheduled(pod: Mapping[str, Any]) -> bool:
    """Whether the pod is bound to a node."""
    return bool(pod["spec"].get("nodeName"))


def is_started(pod: Mapping[str, Any]) -> bool:
    """Whether the container runs or has run."""
    status = container_status(pod)
    states = {**(status.get("lastState") or {}), **(status.get("state") or {})}
    return "running" in states or "terminated" in states


def is_ended(pod: Mapping[str, Any]) -> bool:
    """Whether the container has ended and no other has taken its place."""
    return "terminated" in (container_status(pod).get("state") or {})


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the container passes its readiness probe, in a pod that is not about to go."""
    return bool(container_status(pod).get("ready")) and not pod["metadata"].get("deletionTimestamp")


def condition(pod: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The pod's condition of that type; empty where it has none."""
    for one in (pod.get("status") or {}).get("conditions") or []:
        if one["type"] == kind:
            return dict(one)
    return {}


def seconds_of_duration(text: str) -> float | None:
    """Seconds of a Go duration as in ``1m2.5s``; None where it is none."""
    parts = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * UNIT_SECONDS[unit] for number, unit in parts)


def wall_seconds(text: str) -> float | None:
    """A Kubernetes stamp, ``2026-01-01T00:00:00Z`` with or without microseconds, in seconds of the wall clock."""
    pattern = "%Y-%m-%dT%H:%M:%S.%fZ" if "." in text else "%Y-%m-%dT%H:%M:%SZ"
    try:
        return datetime.strptime(text, pattern).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def ready_targets(endpoints: Mapping[str, Any]) -> set[str]:
    """What an EndpointSlice or an Endpoints object leads to: the uids of pods, else addresses.

    Of an EndpointSlice an endpoint counts unless its condition ``ready`` is false: a missing one means ready, and it is
    never true for a terminating pod.
    """
    found = set()
    if "endpoints" in endpoints or "addressType" in endpoints:
        for one in endpoints.get("endpoints") or []:
            if (one.get("conditions") or {}).get("ready") is not False:
                found.add(_target(one.get("targetRef"), ",".join(one.get("addresses") or [])))
    else:
        for subset in endpoints.get("subsets") or []:
            found.update(_target(one.get("targetRef"), str(one.get("ip"))) for one in subset.get("addresses") or [])
    return found


def _target(reference: Mapping[str, Any] | None, address: str) -> str:
    return str((reference or {}).get("uid") or address)


# --- a container's processes on this host -----------------------------------------------------------------------------


def find_init(container: str, proc_root: str = "/proc") -> Init | None:
    """The container's first process, where it runs on this host: in its control group, and number 1 in its namespace.

    A runtime makes this process a few milliseconds before the container's command is executed in it.
    """
    inits = []
    for pid in procfs.in_namespaces(1, proc_root):
        found = procfs.status(pid, proc_root)
        if found is not None and container in _control_groups(pid, proc_root):
            inits.append(found)
    if not inits:
        return None
    first = min(inits, key=lambda one: (one.start_ticks, one.pid))
    # The kernel counts a start from the boot, suspended time included, and cuts it to ticks.
    made = first.start_ticks / procfs.TICKS_PER_SECOND - (time.clock_gettime(time.CLOCK_BOOTTIME) - monotonic())
    return Init(first.pid, made)


def _control_groups(pid: int, proc_root: str) -> str:
    try:
        with open(os.path.join(proc_root, str(pid), "cgroup"), encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


# --- what was seen ----------------------------------------------------------------------------------------------------

Seen = Sequence["tuple[float, Mapping[str, Any] | None]"]


def seen_pods(records: Iterable[Record]) -> dict[str, list[tuple[float, Mapping[str, Any] | None]]]:
    """Every pod's states by uid, each with the receipt that told it; None is a pod that is gone."""
    seen: dict[str, list[tuple[float, Mapping[str, Any] | None]]] = {}
    for record in records:
        if record.watch != PODS:
            continue
        if record.type == LISTED:
            listed = {uid(pod): pod for pod in record.object["items"]}
            for known, states in seen.items():
                if known not in listed and states[-1][1] is not None:
                    states.append((record.at, None))
            for found, pod in listed.items():
                seen.setdefault(found, []).append((record.at, pod))
        elif record.type in ("ADDED", "MODIFIED"):
            seen.setdefault(uid(record.object), []).append((record.at, record.object))
        elif record.type == "DELETED":
            seen.setdefault(uid(record.object), []).append((record.at, None))
    return seen


def old_pods(records: Iterable[Record], at: float) -> dict[str, Mapping[str, Any]]:
    """The pods that existed at that moment, as they were then, by uid."""
    found = {}
    for one, states in seen_pods(records).items():
        before = [pod for when, pod in states if when <= at]
        if before and before[-1] is not None:
            found[one] = before[-1]
    return found


def new_pods(records: Iterable[Record], start: float) -> dict[str, Seen]:
    """The states of the pods that were first seen after the start, by uid, in the order in which they came."""
    return {one: states for one, states in seen_pods(records).items() if states[0][0] > start}


def measured_pod(new: Mapping[str, Seen]) -> str | None:
    """The uid of the pod that the start is about: the first that became ready, else the one that came last."""
    ready = [(at, one) for one, states in new.items() for at, pod in states if pod is not None and is_ready(pod)]
    return min(ready)[1] if ready else next(reversed(list(new)), None)


def is_complete(records: Sequence[Record], start: float) -> bool:
    """Whether every old pod is gone and a new one is ready, so that nothing more need be waited for."""
    seen = seen_pods(records)
    if any(seen[one][-1][1] is not None for one in old_pods(records, start)):
        return False
    return any(pod is not None and is_ready(pod) for states in new_pods(records, start).values() for _, pod in states)


def new_container_ids(records: Iterable[Record], start: float) -> list[str]:
    """The ids of the new pods' containers so far, in order of appearance."""
    found = []
    for states in new_pods(records, start).values():
        for _, pod in states:
            identifier = None if pod is None else container_id(pod)
            if identifier is not None and identifier not in found:
                found.append(identifier)
    return found


def events_of(records: Iterable[Record], pod_uid: str) -> list[tuple[float, Mapping[str, Any]]]:
    """The Events about a pod with their receipts; one that only counts up is delivered again, and is in it again."""
    found = []
    for record in records:
        if record.watch != EVENTS or record.type in (BROKEN, RESUMED, "DELETED"):
            continue
        for event in record.object["items"] if record.type == LISTED else [record.object]:
            if (event.get("involvedObject") or {}).get("uid") == pod_uid:
                found.append((record.at, event))
    return found


@dataclass(frozen=True)
class Gap:
    """A time in which a watch delivered nothing because it was broken; without an end it was never made good."""

    watch: str
    begin: float
    end: float | None
    reason: str
    relisted: bool = False


def gaps(records: Iterable[Record]) -> list[Gap]:
    """The gaps of every watch, in order of their beginning."""
    found: list[Gap] = []
    for record in records:
        if record.type == BROKEN:
            found.append(Gap(record.watch, record.at, None, str(record.object["reason"])))
        elif record.type == RESUMED:
            last = max(number for number, gap in enumerate(found) if gap.watch == record.watch)
            gap = found[last]
            found[last] = Gap(gap.watch, gap.begin, record.at, gap.reason, bool(record.object["relisted"]))
    return found


# --- stamps -----------------------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """What one delivery said of something: its receipt, the time up to which it can be relied on, and whether reached.

    The two times differ for what a watch delivers late, after it was broken.
    """

    at: float
    relied: float
    reached: bool


def first_reached(told: Iterable[Told], floor: float) -> Stamp | None:
    """The receipt that first told that something was reached; what told otherwise before bounds its lateness."""
    before = floor
    for one in told:
        if one.reached:
            return Stamp(one.at, WATCH, max(0.0, one.at - before))
        before = max(before, one.relied)
    return None


def finest(candidates: Iterable[Stamp | None]) -> Stamp | None:
    """The candidate of the smallest resolution, the first of equal ones."""
    return min((one for one in candidates if one is not None), key=lambda one: one.resolution_seconds, default=None)


def in_order(stamps: Sequence[Stamp | None]) -> list[Stamp | None]:
    """Stamps of things that follow one another: none may be later than the next, which bounds it from above."""
    cut: list[Stamp | None] = []
    latest = float("inf")
    for stamp in reversed(stamps):
        if stamp is None:
            cut.append(None)
            continue
        excess = max(0.0, stamp.seconds - latest)
        latest = stamp.seconds - excess
        cut.append(Stamp(latest, stamp.source, max(0.0, stamp.resolution_seconds - excess)))
    return cut[::-1]


class _Clock:
    """Turns receipts into seconds since the start, and says how far what they told can be relied on."""

    def __init__(self, records: Sequence[Record], run: Run) -> None:
        self._start = run.start
        self._late = [gap for gap in gaps(records) if gap.end is not None and not gap.relisted]
        self.floor = 0.0 if run.deletion is None else self.since(run.deletion)

    def since(self, at: float) -> float:
        """Seconds since the start."""
        return at - self._start

    def told(self, watch: str, at: float, reached: bool) -> Told:
        """What a delivery of this watch told at that receipt."""
        relied = at
        for gap in self._late:
            if gap.watch == watch and gap.end is not None and gap.end <= at < gap.end + CATCH_UP_SECONDS:
                relied = gap.begin
        return Told(self.since(at), self.since(relied), reached)


class _Start:
    """One new pod's way, from the records and what else is known of this start; all stamps in seconds since it."""

    def __init__(self, records: Sequence[Record], run: Run, pod_uid: str) -> None:
        self._run = run
        self._clock = _Clock(records, run)
        self._deliveries = [
            record.at for record in records if record.watch == PODS and record.type not in (BROKEN, RESUMED)
        ]
        self._states = [(at, pod) for at, pod in seen_pods(records)[pod_uid] if pod is not None]
        self._events = events_of(records, pod_uid)
        self.pod = self._states[-1][1]
        self._containers = [found for _, pod in self._states for found in [container_id(pod)] if found is not None]

    def created(self) -> Stamp | None:
        """When the pod came to be."""
        first = self._states[0][0]
        return self._first(self._clock.told(PODS, at, at >= first) for at in self._deliveries)

    def scheduled(self) -> Stamp | None:
        """When it was bound to a node."""
        receipt = self._first(self._clock.told(PODS, at, is_scheduled(pod)) for at, pod in self._states)
        stamped = condition(self.pod, "PodScheduled").get("lastTransitionTime")
        return finest([receipt, self._event_time("Scheduled", receipt), self._whole_second(stamped, receipt)])

    def pulling(self) -> Stamp | None:
        """When the kubelet began to pull the image; None where it did not."""
        return self._first(self._said({"Pulling"}))

    def pulled(self) -> Stamp | None:
        """When the image was there."""
        receipt = self._first(self._said({"Pulled", "Created", "Started"}))
        stamped = self._whole_second(self.image_event().get("firstTimestamp"), receipt)
        return finest([receipt, self._event_time("Pulled", receipt), stamped])

    def image_event(self) -> Mapping[str, Any]:
        """The first Event that says that the image was there; empty where none did."""
        return next((event for _, event in self._events if event["reason"] == "Pulled"), {})

    def started(self) -> Stamp | None:
        """When the container was started, for the first time where it was several times.

        The kubelet's status follows the container by up to a second, so that a status without a running container does
        not tell that there is none; its Events are made as things happen.
        """
        told = [*self._said({"Started"})]
        told += [self._clock.told(PODS, at, True) for at, pod in self._states if is_started(pod)]
        waits = (at for at, pod in self._states if is_scheduled(pod) and not is_started(pod))
        told += [self._clock.told(PODS, at, False) for at in waits][:1]
        receipt = self._first(sorted(told))
        stamped = self._whole_second(self.started_at(), receipt)
        return self._made() or finest([receipt, self._event_time("Started", receipt), stamped])

    def _made(self) -> Stamp | None:
        init = self._run.inits.get(self._containers[0]) if self._containers else None
        return None if init is None else Stamp(self._clock.since(init.made) + TICK_SECONDS, PROCESS, TICK_SECONDS)

    def _said(self, reasons: set[str]) -> Iterator[Told]:
        return (self._clock.told(EVENTS, at, event["reason"] in reasons) for at, event in self._events)

    def _first(self, told: Iterable[Told]) -> Stamp | None:
        return first_reached(told, self._clock.floor)

    def started_at(self) -> str | None:
        """Kubernetes' own stamp of the container's start, the first one's where the pod still shows it."""
        for _, pod in self._states:
            state = container_status(pod).get("state") or {}
            found = (state.get("running") or state.get("terminated") or {}).get("startedAt")
            if found is not None:
                return str(found)
        return None

    def ready(self) -> Stamp | None:
        """When the container passed its readiness probe, as the pod's status has it."""
        receipt = self._first(self._clock.told(PODS, at, is_ready(pod)) for at, pod in self._states)
        ready = next((pod for _, pod in self._states if is_ready(pod)), {})
        return finest([receipt, self._whole_second(condition(ready, "Ready").get("lastTransitionTime"), receipt)])

    def _event_time(self, reason: str, receipt: Stamp | None) -> Stamp | None:
        """The microseconds that some sources give their Events (the scheduler does, the kubelet so far does not)."""
        for _, event in self._events:
            seconds = self._wall(event.get("eventTime")) if event["reason"] == reason else None
            if seconds is None or receipt is None:
                continue
            if self._clock.floor - CLOCK_SLACK_SECONDS <= seconds <= receipt.seconds + CLOCK_SLACK_SECONDS:
                return Stamp(min(seconds, receipt.seconds), EVENT_TIME, MICROSECOND)
        return None

    def _whole_second(self, text: str | None, receipt: Stamp | None) -> Stamp | None:
        """A stamp that Kubernetes cut to seconds, within what the watch allows; None where the two contradict."""
        earliest = self._wall(text)
        if earliest is None or receipt is None:
            return None
        latest = min(earliest + 1, receipt.seconds)
        earliest = max(earliest, self._clock.floor)
        return Stamp(latest, KUBERNETES, latest - earliest) if earliest <= latest else None

    def _wall(self, text: str | None) -> float | None:
        """Seconds since the start of a wall clock's stamp, where that clock is this host's."""
        seconds = wall_seconds(text) if text and self._run.wall_offset is not None else None
        return None if seconds is None else self._clock.since(seconds - (self._run.wall_offset or 0.0))

    def restarts(self) -> int:
        """How often the container was started anew."""
        return int(container_status(self.pod).get("restartCount") or 0)


# --- the facts --------------------------------------------------------------------------------------------------------


def facts(records: Sequence[Record], run: Run) -> dict[str, Any]:
    """The fact ``pod_phases`` without what only the observer knows of itself.

    ``pod`` is null, and the start invalid, where no new pod was seen.
    """
    new = new_pods(records, run.start)
    measured = measured_pod(new)
    start = None if measured is None else _Start(records, run, measured)
    stamps: list[Stamp | None] = [None] * 6
    if start is not None:
        stamps = in_order(
            [start.created(), start.scheduled(), start.pulling(), start.pulled(), start.started(), start.ready()]
        )
    old = [_old_pod(records, run, one, pod) for one, pod in old_pods(records, run.start).items()]
    overlap = overlap_seconds(stamps[4], [one.ended for one in old])
    endpoints = _Endpoints(records, run, measured)
    empty = endpoints.empty()
    problems = [
        *(f"not_deleted: {one.describe()}" for one in old if one.gone is None),
        *_pod_problems(start, new, stamps),
        *_overlap_problems(overlap, run),
        *endpoints.problems(stamps[5], overlap),
        *_watch_problems(records, run),
    ]
    return {
        "valid": not problems,
        "invalid_reasons": problems,
        "start_monotonic_seconds": run.start,
        "host_boot_id": run.host_boot_id,
        "old": [one.fact() for one in old],
        "pod": None if start is None else _pod_fact(start),
        "phases": _phases(run, old, stamps),
        "overlap_seconds": overlap,
        "image_pulled": None if start is None else image_pulled(start.image_event()),
        "image_pull": None if start is None else image_pull(start.image_event()),
        "endpoints_empty_seconds": None if empty is None else empty.seconds,
        "watch_gaps": [
            {
                "watch": gap.watch,
                "begin_seconds": gap.begin - run.start,
                "end_seconds": None if gap.end is None else gap.end - run.start,
                "reason": gap.reason,
            }
            for gap in gaps(records)
        ],
        "timeline": timeline(records, run.start),
    }


@dataclass(frozen=True)
class OldPod:
    """A pod that was there before the start: when its container ended and when it was gone, None where not seen."""

    pod: Mapping[str, Any]
    ended: Stamp | None
    gone: Stamp | None

    def fact(self) -> dict[str, Any]:
        """Its record among the facts."""
        return {
            "uid": uid(self.pod),
            "name": self.pod["metadata"]["name"],
            "container_id": container_id(self.pod),
            "gone_seconds": None if self.gone is None else self.gone.seconds,
            "container_ended_seconds": None if self.ended is None else self.ended.seconds,
            "container_ended_source": None if self.ended is None else self.ended.source,
            "container_ended_resolution_seconds": None if self.ended is None else self.ended.resolution_seconds,
        }

    def describe(self) -> str:
        """What a message says of one that is still there."""
        finalizers = self.pod["metadata"].get("finalizers")
        held = f"; its finalizers {', '.join(finalizers)} hold it" if finalizers else ""
        return f"pod {self.pod['metadata']['name']} ({uid(self.pod)}) was still there at the end{held}"


def _old_pod(records: Sequence[Record], run: Run, pod_uid: str, pod: Mapping[str, Any]) -> OldPod:
    states = seen_pods(records)[pod_uid]
    clock = _Clock(records, run)
    gone = first_reached((clock.told(PODS, at, state is None) for at, state in states), clock.floor)
    if container_id(pod) is None:
        # A container that had not been made before the start has nothing that could end late.
        return OldPod(states[-1][1] or pod, Stamp(0.0, WATCH, 0.0), gone)
    init = run.inits.get(container_id(pod) or "")
    if init is not None and init.ended is not None:
        seen = Stamp(clock.since(init.ended), PROCESS, init.end_resolution_seconds or 0.0)
        return OldPod(states[-1][1] or pod, seen, gone)
    ended = (clock.told(PODS, at, state is None or is_ended(state)) for at, state in states)
    return OldPod(states[-1][1] or pod, first_reached(ended, clock.floor), gone)


def overlap_seconds(started: Stamp | None, ended: Sequence[Stamp | None]) -> float | None:
    """For how long at most an old container ran beside the new one; None where a start or an end was not seen."""
    if not ended:
        return 0.0
    if started is None or any(one is None for one in ended):
        return None
    return max(max(0.0, one.seconds - started.earliest_seconds) for one in ended if one is not None)


def _phases(run: Run, old: Sequence[OldPod], stamps: Sequence[Stamp | None]) -> list[dict[str, Any]]:
    created, scheduled, pulling, pulled, started, ready = stamps
    found = []
    if old and all(one.gone is not None for one in old):
        last = max((one.gone for one in old if one.gone is not None), key=lambda stamp: stamp.seconds)
        begin = 0.0 if run.deletion is None else run.deletion - run.start
        found.append(_phase("deleted", begin, last))
    found.append(_phase("scheduled", created and created.seconds, scheduled))
    # An image that was there took no time; what came before it (sandbox, volumes) is no part of the image.
    image_begin = pulling or pulled
    found.append(_phase("image", image_begin and image_begin.seconds, pulled))
    before_start = next((one.seconds for one in (pulled, scheduled, created) if one is not None), None)
    found.append(_phase("container_started", before_start, started))
    found.append(_phase("container_ready", started and started.seconds, ready))
    return [one for one in found if one["begin_seconds"] is not None and one["end_seconds"] is not None]


def _phase(name: str, begin: float | None, end: Stamp | None) -> dict[str, Any]:
    return {
        "name": name,
        "begin_seconds": begin,
        "end_seconds": end and end.seconds,
        "source": end and end.source,
        "resolution_seconds": end and end.resolution_seconds,
    }


def _pod_fact(start: _Start) -> dict[str, Any]:
    status = container_status(start.pod)
    return {
        "uid": uid(start.pod),
        "name": start.pod["metadata"]["name"],
        "node": start.pod["spec"].get("nodeName"),
        "image": start.pod["spec"]["containers"][0].get("image"),
        "image_id": status.get("imageID") or None,
        "container_id": container_id(start.pod),
        "started_at": start.started_at(),
        "restarts": start.restarts(),
    }


def image_pulled(event: Mapping[str, Any]) -> bool | None:
    """Whether the kubelet pulled the image or found it there; None where no Event says so."""
    message = str(event.get("message") or "")
    if CACHED in message:
        return False
    return True if PULLED.match(message) else None


def image_pull(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """The kubelet's own figures of a pull: its time alone, with the wait for other pulls, and the image's size."""
    found = PULLED.match(str(event.get("message") or ""))
    if found is None:
        return None
    waited, size = found["waited"], found["bytes"]
    return {
        "seconds": seconds_of_duration(found["pull"]),
        "seconds_with_waiting": None if waited is None else seconds_of_duration(waited),
        "bytes": None if size is None else int(size),
    }


# --- what is not proven -----------------------------------------------------------------------------------------------


def _pod_problems(start: _Start | None, new: Mapping[str, Seen], stamps: Sequence[Stamp | None]) -> Iterator[str]:
    if start is None:
        yield "not_cold: no new pod came"
        return
    if len(new) > 1:
        names = ", ".join(sorted(_name(states) for states in new.values()))
        yield f"several_pods: {len(new)} new pods came ({names}), so that the start is not one pod's"
    status = container_status(start.pod)
    if start.restarts():
        yield f"pod_failed: the container was started anew {start.restarts()} times{_last_end(status)}"
    elif stamps[5] is None:
        yield f"pod_failed: pod {start.pod['metadata']['name']} was not ready: {state_of(start.pod)}"


def _name(states: Seen) -> str:
    return next(str(pod["metadata"]["name"]) for _, pod in states if pod is not None)


def _last_end(status: Mapping[str, Any]) -> str:
    states = {**(status.get("state") or {}), **(status.get("lastState") or {})}
    end = states.get("terminated")
    return f" (it ended with {end.get('exitCode')}, {end.get('reason') or 'no reason given'})" if end else ""


def _overlap_problems(overlap: float | None, run: Run) -> Iterator[str]:
    if overlap is not None and overlap > run.most_overlap_seconds:
        yield (
            f"overlap: an old container may have run {overlap:.3f} s beside the new one, "
            f"more than {run.most_overlap_seconds:g} s"
        )


class _Endpoints:
    """What the Service led to over time."""

    def __init__(self, records: Sequence[Record], run: Run, measured: str | None) -> None:
        self._run = run
        self._measured = measured
        # Those gone before the start too: endpoints follow pods late.
        self._old = set(seen_pods(records)) - set(new_pods(records, run.start))
        self._clock = _Clock(records, run)
        # What it led to at the start, and then after each delivery.
        self._at_start: set[str] = set()
        self._later: list[tuple[float, set[str]]] = []
        for at, targets in self._states(records):
            if at <= run.start:
                self._at_start = targets
            else:
                self._later.append((at, targets))

    @staticmethod
    def _states(records: Iterable[Record]) -> Iterator[tuple[float, set[str]]]:
        known: dict[str, set[str]] = {}
        for record in records:
            if record.watch != ENDPOINTS or record.type in (BROKEN, RESUMED):
                continue
            if record.type == LISTED:
                known = {item["metadata"]["name"]: ready_targets(item) for item in record.object["items"]}
            elif record.type == "DELETED":
                known.pop(record.object["metadata"]["name"], None)
            else:
                known[record.object["metadata"]["name"]] = ready_targets(record.object)
            yield record.at, set().union(*known.values())

    def empty(self) -> Stamp | None:
        """When it led to nothing but the new pod; None where it was never seen so."""
        if self._run.service is None:
            return None
        if not self._at_start:
            return Stamp(0.0, WATCH, 0.0)
        told = (self._clock.told(ENDPOINTS, at, targets <= {self._measured}) for at, targets in self._later)
        return first_reached(told, self._clock.floor)

    def problems(self, ready: Stamp | None, overlap: float | None) -> Iterator[str]:
        """Whether anything but the new pod can have answered before that was ready."""
        if ready is None:
            return
        until = [targets for at, targets in self._later if self._clock.since(at) <= ready.seconds]
        others = set().union(self._at_start, *until) - self._old - {self._measured}
        empty = self.empty()
        if others:
            named = ", ".join(sorted(others))
            yield f"not_cold: service {self._run.service} also led to {named} before the new pod was ready"
        elif overlap is None and (empty is None or empty.seconds > ready.seconds):
            led = "its endpoints were not watched"
            if self._run.service is not None:
                led = f"service {self._run.service} still led to it"
            yield f"not_cold: when the old container ended was not seen, and {led}"


def _watch_problems(records: Iterable[Record], run: Run) -> Iterator[str]:
    for gap in gaps(records):
        if gap.end is None and gap.watch != EVENTS:
            yield (
                f"watch_broken: the watch of {gap.watch} broke {gap.begin - run.start:.3f} s after the start "
                f"and could not be made good ({gap.reason})"
            )


# --- for people -------------------------------------------------------------------------------------------------------


def state_of(pod: Mapping[str, Any]) -> str:
    """The pod's state in a few words: its phase, the container's state, and each condition that is not met."""
    status = pod.get("status") or {}
    words = [str(status.get("phase") or "of no phase"), f"on {pod['spec'].get('nodeName') or 'no node'}"]
    if pod["metadata"].get("deletionTimestamp"):
        words.append("about to go")
    for name, state in (container_status(pod).get("state") or {}).items():
        words.append(f"container {_with_reason(name, state)}")
    if is_ready(pod):
        words.append("ready")
    for one in status.get("conditions") or []:
        if one.get("status") != "True":
            words.append(f"{_with_reason(str(one['type']) + ' is ' + str(one.get('status')), one)}")
    return ", ".join(words)


def _with_reason(name: str, state: Mapping[str, Any]) -> str:
    said = ": ".join(str(state[key])[:MESSAGE_CHARACTERS] for key in ("reason", "message") if state.get(key))
    return f"{name} ({said})" if said else name


def last_events(records: Sequence[Record], pod_uid: str) -> list[str]:
    """The newest Events about a pod, oldest first, as ``reason: message``."""
    events = (event for _, event in events_of(records, pod_uid))
    said = (f"{event['reason']}: {event.get('message') or ''}"[:MESSAGE_CHARACTERS] for event in events)
    return list(dict.fromkeys(said))[-LAST_EVENTS:]


def diagnosis(records: Sequence[Record], start: float) -> dict[str, Any]:
    """What there is to say of the pod whose start failed, else of the old ones."""
    new = new_pods(records, start)
    measured = measured_pod(new)
    if measured is None:
        seen = seen_pods(records)
        left = [pod for one in old_pods(records, start) for _, pod in seen[one][-1:] if pod is not None]
        return {
            "pod": None,
            "state": f"no new pod came; old pods still there: {len(left)}",
            "conditions": [],
            "events": [event for pod in left for event in last_events(records, uid(pod))],
        }
    pod = [state for _, state in new[measured] if state is not None][-1]
    return {
        "pod": pod["metadata"]["name"],
        "state": state_of(pod),
        "conditions": list((pod.get("status") or {}).get("conditions") or []),
        "events": last_events(records, measured),
    }


def timeline(records: Sequence[Record], start: float) -> list[dict[str, Any]]:
    """What was delivered since the start, each in one line, Events about other pods left out; the first MOST_LINES."""
    ours = set(seen_pods(records))
    return [
        {
            "seconds": record.at - start,
            "watch": record.watch,
            "type": record.type,
            "name": (record.object.get("metadata") or {}).get("name"),
            "what": _in_a_line(record),
        }
        for record in records
        if record.at > start and (record.watch != EVENTS or _is_about(record, ours))
    ][:MOST_LINES]


def _is_about(record: Record, pods: set[str]) -> bool:
    about = record.object.get("involvedObject")
    return about is None or about.get("uid") in pods


def _in_a_line(record: Record) -> str:
    if record.type in (BROKEN, RESUMED):
        return str(record.object.get("reason") or "")
    if record.type == LISTED:
        return f"{len(record.object['items'])} listed"
    if record.watch == PODS:
        return state_of(record.object)
    if record.watch == EVENTS:
        about = (record.object.get("involvedObject") or {}).get("name")
        return f"{about}: {record.object['reason']}: {record.object.get('message') or ''}"[:MESSAGE_CHARACTERS]
    return f"leads to {len(ready_targets(record.object))}"
