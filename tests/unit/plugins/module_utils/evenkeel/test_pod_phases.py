# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.pod_phases: from what watches delivered to the phases of a start, and what does not prove it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from evenkeel import pod_phases
from evenkeel.pod_phases import BROKEN, ENDPOINTS, EVENTS, LISTED, PODS, RESUMED, Init, Record, Run, Stamp

from tests.standins.kubernetes_api import (
    FUNCTION,
    NEW_CONTAINER,
    NODE,
    OLD_CONTAINER,
    endpoint_slice,
    endpoints,
    event,
    pod,
)

START = 5000.0
# The wall clock at the start; Kubernetes' whole seconds lie 0.4 s before and 0.6 s after it.
WALL = 1_767_225_600.4
OLD, NEW = pod(1)["metadata"]["uid"], pod(2)["metadata"]["uid"]
PULLED = 'Successfully pulled image "x" in 400ms (400ms including waiting). Image size: 12 bytes.'

Change = Callable[[list[Record]], list[Record]]


def wall(seconds: float, *, micro: bool = False) -> str:
    """The wall clock so many seconds after the start, as Kubernetes writes it."""
    moment = datetime.fromtimestamp(WALL + seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


def at(seconds: float, watch: str, kind: str, item: Any) -> Record:
    return Record(START + seconds, watch, kind, item)


def old(**metadata: Any) -> dict[str, Any]:
    found = pod(1, node=NODE, container=OLD_CONTAINER, ready=True)
    found["metadata"].update(metadata)
    return found


def ended() -> dict[str, Any]:
    found = old(deletionTimestamp=wall(1))
    found["status"]["containerStatuses"][0].update(ready=False, state={"terminated": {"exitCode": 137}})
    return found


def scheduled_event(seconds: float) -> dict[str, Any]:
    return {**event(2, "Scheduled", "assigned"), "eventTime": wall(seconds, micro=True)}


def new(**options: Any) -> dict[str, Any]:
    """Pod 2 with stamps of the test's own wall clock."""
    found = pod(2, **options)
    for one in found["status"]["conditions"]:
        one["lastTransitionTime"] = wall({"PodScheduled": 0.03, "Ready": 4.09}[one["type"]])
    for status in found["status"]["containerStatuses"]:
        if "running" in status["state"]:
            status["state"]["running"]["startedAt"] = wall(0.98)
    return found


def cold_start() -> list[Record]:
    """A start as KinD makes it: the old container ends after its second of grace, the new one starts just before."""
    return [
        at(-1.0, PODS, LISTED, {"items": [old()]}),
        at(-0.9, EVENTS, LISTED, {"items": [event(1, "Started", "long ago")]}),
        at(-0.8, ENDPOINTS, LISTED, {"items": [endpoint_slice([1])]}),
        at(0.010, PODS, "MODIFIED", old(deletionTimestamp=wall(1))),
        at(0.020, PODS, "ADDED", new()),
        at(0.025, ENDPOINTS, "MODIFIED", endpoint_slice([], terminating=[1])),
        at(0.030, PODS, "MODIFIED", new(node=NODE)),
        at(0.031, EVENTS, "ADDED", scheduled_event(0.0285)),
        at(0.500, EVENTS, "ADDED", event(2, "Pulling", "Pulling image")),
        at(0.900, EVENTS, "ADDED", event(2, "Pulled", PULLED)),
        at(0.950, EVENTS, "ADDED", event(2, "Created", "Created container")),
        at(1.000, EVENTS, "ADDED", event(2, "Started", "Started container")),
        at(1.050, PODS, "MODIFIED", ended()),
        at(1.400, PODS, "DELETED", ended()),
        at(2.000, PODS, "MODIFIED", new(node=NODE, container=NEW_CONTAINER)),
        at(4.100, PODS, "MODIFIED", new(node=NODE, container=NEW_CONTAINER, ready=True)),
        at(4.110, ENDPOINTS, "MODIFIED", endpoint_slice([2])),
    ]


def run(**given: Any) -> Run:
    return Run(**{"start": START, "host_boot_id": "boot", "deletion": START + 0.002, "service": FUNCTION, **given})


def facts(records: list[Record] | None = None, **given: Any) -> dict[str, Any]:
    return pod_phases.facts(cold_start() if records is None else records, run(**given))


def phase(found: dict[str, Any], name: str) -> tuple[Any, ...]:
    (one,) = [one for one in found["phases"] if one["name"] == name]
    return one["begin_seconds"], one["end_seconds"], one["source"], one["resolution_seconds"]


def near(*values: Any) -> tuple[Any, ...]:
    return tuple(pytest.approx(value, abs=1e-6) if isinstance(value, float) else value for value in values)


def without(*dropped: int) -> list[Record]:
    return [record for number, record in enumerate(cold_start()) if number not in dropped]


def test_a_cold_start_by_its_receipts() -> None:
    found = facts()
    assert (found["valid"], found["invalid_reasons"]) == (True, [])
    assert [one["name"] for one in found["phases"]] == [
        "deleted",
        "scheduled",
        "image",
        "container_started",
        "container_ready",
    ]
    assert phase(found, "deleted") == near(0.002, 1.4, "watch", 0.35)
    assert phase(found, "scheduled") == near(0.02, 0.03, "watch", 0.01)
    assert phase(found, "image") == near(0.5, 0.9, "watch", 0.4)
    assert phase(found, "container_started") == near(0.9, 1.0, "watch", 0.05)
    assert phase(found, "container_ready") == near(1.0, 4.1, "watch", 2.1)
    # The old container was seen to have ended at 1.05, and the new one cannot have started before 0.95.
    assert found["overlap_seconds"] == pytest.approx(0.1)
    assert found["image_pulled"] is True
    assert found["image_pull"] == {"seconds": 0.4, "seconds_with_waiting": 0.4, "bytes": 12}
    assert found["endpoints_empty_seconds"] == pytest.approx(0.025)
    assert found["watch_gaps"] == []


def test_the_pods_are_told_apart_by_their_uids() -> None:
    found = facts()
    (one,) = found["old"]
    assert (one["uid"], one["container_id"], one["container_ended_source"]) == (OLD, OLD_CONTAINER, "watch")
    assert one["gone_seconds"] == pytest.approx(1.4)
    assert one["container_ended_seconds"] == pytest.approx(1.05)
    assert found["pod"] == {
        "uid": NEW,
        "name": f"{FUNCTION}-2",
        "node": NODE,
        "image": pod(2)["spec"]["containers"][0]["image"],
        "image_id": "registry.example:5000/cifar-cnn@sha256:5feceb66",
        "container_id": NEW_CONTAINER,
        "started_at": wall(0.98),
        "restarts": 0,
    }


def test_processes_of_this_host_are_finer_than_receipts() -> None:
    inits = {
        OLD_CONTAINER: Init(1, START - 60, START + 1.01, 0.02),
        NEW_CONTAINER: Init(2, START + 0.97),
    }
    found = facts(inits=inits)
    tick = pod_phases.TICK_SECONDS
    assert phase(found, "container_started") == near(0.9, 0.97 + tick, "process", tick)
    (one,) = found["old"]
    assert one["container_ended_source"] == "process"
    assert one["container_ended_seconds"] == pytest.approx(1.01)
    assert one["container_ended_resolution_seconds"] == pytest.approx(0.02)
    assert found["overlap_seconds"] == pytest.approx(0.04)


def test_a_process_whose_end_was_not_seen_leaves_the_receipt() -> None:
    (one,) = facts(inits={OLD_CONTAINER: Init(1, START - 60)})["old"]
    assert (one["container_ended_source"], one["container_ended_seconds"]) == ("watch", pytest.approx(1.05))


def test_a_receipt_later_than_what_must_follow_is_cut() -> None:
    """The Event that the image is there comes in late; the process that runs it is older."""
    found = facts(inits={NEW_CONTAINER: Init(2, START + 0.85)})
    made = 0.85 + pod_phases.TICK_SECONDS
    assert phase(found, "image") == near(0.5, made, "watch", made - 0.5)
    assert phase(found, "container_started") == near(made, made, "process", pod_phases.TICK_SECONDS)


def test_the_schedulers_microseconds_are_used_where_the_clock_is_this_hosts() -> None:
    found = facts(wall_offset=WALL - START)
    assert phase(found, "scheduled") == near(0.02, 0.0285, "event_time", 1e-6)
    # Another clock: the Event would be later than its own receipt.
    other = facts(wall_offset=WALL - START - 3)
    assert phase(other, "scheduled")[2] == "watch"


def test_a_kubelet_that_gives_microseconds_is_believed() -> None:
    records = [
        record._replace(object={**record.object, "eventTime": wall(record.at - START - 0.004, micro=True)})
        if record.watch == EVENTS and record.at > START + 0.4
        else record
        for record in cold_start()
    ]
    found = facts(records, wall_offset=WALL - START)
    assert phase(found, "image") == near(0.5, 0.896, "event_time", 1e-6)
    assert phase(found, "container_started") == near(0.896, 0.996, "event_time", 1e-6)
    assert facts(records) == {**facts(), "timeline": facts(records)["timeline"]}


def test_whole_seconds_are_used_where_nothing_finer_bounds_the_stamp() -> None:
    found = facts(wall_offset=WALL - START)
    # 4.09 s after the start is 4.49 s after a whole second: cut to 3.6, and not later than its receipt at 4.1.
    assert phase(found, "container_ready") == near(1.0, 4.1, "kubernetes", 0.5)
    assert phase(found, "image")[2] == "watch"
    assert phase(facts(wall_offset=WALL - START + 100), "container_ready")[2] == "watch"


def test_without_events_the_status_tells_the_start_and_bounds_it_by_the_scheduling() -> None:
    records = [record for record in cold_start() if record.watch != EVENTS]
    found = facts(records)
    assert "image" not in [one["name"] for one in found["phases"]]
    assert phase(found, "container_started") == near(0.03, 2.0, "watch", 1.97)
    assert (found["image_pulled"], found["image_pull"]) == (None, None)
    # It may have started as early as it was scheduled: that it did not run beside the old one is not proven.
    assert found["overlap_seconds"] == pytest.approx(1.02)
    assert found["invalid_reasons"] == [
        "overlap: an old container may have run 1.020 s beside the new one, more than 0.5 s"
    ]


@pytest.mark.parametrize(
    ("message", "pulled", "figures"),
    [
        ('Container image "x:1" already present on machine', False, None),
        ('Container image "x:1" already present on machine and can be accessed by the pod', False, None),
        (
            'Successfully pulled image "x:1" in 1m2.5s',
            True,
            {"seconds": 62.5, "seconds_with_waiting": None, "bytes": None},
        ),
        (
            'Successfully pulled image "x:1" in 15.981s (16.2s including waiting)',
            True,
            {"seconds": 15.981, "seconds_with_waiting": 16.2, "bytes": None},
        ),
        (
            'Successfully pulled image "x:1" in 53ms (53ms including waiting). Image size: 129338587 bytes.',
            True,
            {"seconds": 0.053, "seconds_with_waiting": 0.053, "bytes": 129338587},
        ),
        ("something else", None, None),
    ],
)
def test_an_image_is_pulled_or_cached_by_the_kubelets_words(
    message: str, pulled: bool | None, figures: dict[str, Any] | None
) -> None:
    records = [
        record._replace(object={**record.object, "message": message})
        if record.watch == EVENTS and record.object.get("reason") == "Pulled"
        else record
        for record in cold_start()
    ]
    found = facts(records)
    assert found["image_pulled"] is pulled
    assert found["image_pull"] == (figures and {name: pytest.approx(value) for name, value in figures.items()})


def test_a_cached_image_takes_no_time() -> None:
    found = facts(without(8))
    assert phase(found, "image") == near(0.9, 0.9, "watch", 0.869)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("53ms", 0.053),
        ("1h2m3.5s", 3723.5),
        ("785.123µs", 785.123e-6),
        ("12ns", 12e-9),
        ("0s", 0.0),
        ("fast", None),
        ("1m x", None),
    ],
)
def test_durations_as_go_writes_them(text: str, seconds: float | None) -> None:
    assert pod_phases.seconds_of_duration(text) == (None if seconds is None else pytest.approx(seconds))


def test_stamps_of_the_wall_clock() -> None:
    assert pod_phases.wall_seconds("2026-01-01T00:00:00Z") == 1_767_225_600.0
    assert pod_phases.wall_seconds("2026-01-01T00:00:00.250000Z") == 1_767_225_600.25
    assert pod_phases.wall_seconds("yesterday") is None


def lingers(records: list[Record]) -> list[Record]:
    return [
        record._replace(object=old(finalizers=["example.org/hold"]))
        if record.type == "MODIFIED" and record.watch == PODS and record.object["metadata"]["uid"] == OLD
        else record
        for record in records
        if record.type != "DELETED"
    ]


def overlaps(records: list[Record]) -> list[Record]:
    late = [record._replace(at=START + 1.6) if record.at == START + 1.05 else record for record in records]
    return [record._replace(at=START + 1.7) if record.type == "DELETED" else record for record in late]


def none_comes(records: list[Record]) -> list[Record]:
    return [record for record in records if record.watch != PODS or record.type == LISTED]


def two_come(records: list[Record]) -> list[Record]:
    return [*records, at(3.0, PODS, "ADDED", pod(3))]


def restarts(records: list[Record]) -> list[Record]:
    failed = new(node=NODE, container=NEW_CONTAINER, ready=True)
    failed["status"]["containerStatuses"][0].update(
        restartCount=2, lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    )
    return [*records, at(6.0, PODS, "MODIFIED", failed)]


def another_serves(records: list[Record]) -> list[Record]:
    return [record._replace(object=endpoint_slice([9])) if record.at == START + 0.025 else record for record in records]


def breaks(records: list[Record]) -> list[Record]:
    return [*records[:7], at(0.2, PODS, BROKEN, {"reason": "connection reset"})]


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (lingers, ["not_deleted: pod cifar-cnn-1 ", "not_cold: when the old container ended"]),
        (overlaps, ["overlap: an old container may have run 0.650 s"]),
        (none_comes, ["not_deleted: ", "not_cold: no new pod came"]),
        (two_come, ["several_pods: 2 new pods came (cifar-cnn-2, cifar-cnn-3)"]),
        (restarts, ["pod_failed: the container was started anew 2 times (it ended with 137, OOMKilled)"]),
        (another_serves, [f"not_cold: service {FUNCTION} also led to {pod(9)['metadata']['uid']}"]),
        (breaks, ["not_deleted: ", "pod_failed: ", "watch_broken: the watch of pods broke 0.200 s after the start"]),
    ],
)
def test_what_is_not_proven_is_said(change: Change, reasons: list[str]) -> None:
    given = {"service": None} if change is lingers else {}
    found = facts(change(cold_start()), **given)
    assert found["valid"] is False
    assert len(found["invalid_reasons"]) == len(reasons)
    for said, wanted in zip(found["invalid_reasons"], reasons, strict=True):
        assert said.startswith(wanted), said


def test_what_holds_a_pod_is_named() -> None:
    assert "its finalizers example.org/hold hold it" in facts(lingers(cold_start()))["invalid_reasons"][0]


def test_the_limit_of_the_overlap_is_a_limit() -> None:
    assert facts(most_overlap_seconds=0.1001)["valid"] is True
    assert facts(most_overlap_seconds=0.0999)["valid"] is False


def test_an_old_address_that_lingers_is_no_matter_once_its_container_has_ended() -> None:
    records = [record for record in cold_start() if record.watch != ENDPOINTS or record.type == LISTED]
    found = facts(records)
    assert (found["endpoints_empty_seconds"], found["valid"]) == (None, True)


def test_a_service_that_led_nowhere_was_empty_from_the_beginning() -> None:
    records = [
        record._replace(object={"items": []}) if record.watch == ENDPOINTS and record.type == LISTED else record
        for record in cold_start()
    ]
    assert facts(records)["endpoints_empty_seconds"] == 0.0


def test_without_old_pods_nothing_can_overlap() -> None:
    empty = [at(-1.0, watch, LISTED, {"items": []}) for watch in (PODS, ENDPOINTS)]
    records = [*empty, *without(0, 2, 3, 12, 13)]
    found = facts(records, deletion=None)
    assert (found["old"], found["overlap_seconds"]) == ([], 0.0)
    assert "deleted" not in [one["name"] for one in found["phases"]]
    assert found["valid"] is True


def test_a_pod_that_was_gone_before_the_start_is_not_an_old_one() -> None:
    earlier = [
        at(-1.7, PODS, "ADDED", pod(7)),
        at(-1.6, PODS, "DELETED", pod(7)),
        at(-1.5, ENDPOINTS, LISTED, {"items": [endpoint_slice([7])]}),
    ]
    found = facts([*earlier, *without(2)])
    assert [one["uid"] for one in found["old"]] == [OLD]
    # Its address had not yet been taken out of the service's endpoints.
    assert found["valid"] is True


def test_an_old_pod_without_a_container_has_none_that_could_overlap() -> None:
    records = cold_start()
    waiting = at(-1.0, PODS, LISTED, {"items": [old(), pod(8)]})
    found = facts([waiting, *records[1:], at(0.5, PODS, "DELETED", pod(8))])
    assert found["valid"] is True
    assert found["overlap_seconds"] == pytest.approx(0.1)


def test_what_comes_in_after_a_gap_is_bounded_by_the_gap() -> None:
    """The watch of pods breaks before the new pod came; what was missed is delivered at once when it goes on."""
    records = [
        record if record.watch != PODS or record.at < START + 0.02 else record._replace(at=max(record.at, START + 1.3))
        for record in cold_start()
    ]
    records += [at(0.015, PODS, BROKEN, {"reason": "cut"}), at(1.29, PODS, RESUMED, {"relisted": False})]
    found = facts(sorted(records, key=lambda record: record.at))
    assert found["watch_gaps"] == [
        {
            "watch": "pods",
            "begin_seconds": pytest.approx(0.015),
            "end_seconds": pytest.approx(1.29),
            "reason": "cut",
        }
    ]
    # Not later than the pull at 0.5, of which the watch of Events told in time.
    assert phase(found, "scheduled") == near(0.5, 0.5, "watch", 0.485)
    assert found["valid"] is True


def test_a_list_makes_good_what_a_watch_no_longer_knows() -> None:
    ready = new(node=NODE, container=NEW_CONTAINER, ready=True)
    records = [
        *without(*range(3, 17)),
        at(0.010, PODS, "MODIFIED", old(deletionTimestamp=wall(1))),
        at(0.015, PODS, BROKEN, {"reason": "410 Expired"}),
        at(5.0, PODS, LISTED, {"items": [ready]}),
        at(5.1, PODS, RESUMED, {"relisted": True}),
    ]
    found = facts(records, service=None)
    (one,) = found["old"]
    assert one["gone_seconds"] == pytest.approx(5.0)
    assert phase(found, "container_ready")[1:] == near(5.0, "watch", 4.998)
    assert found["invalid_reasons"] == [
        "overlap: an old container may have run 4.998 s beside the new one, more than 0.5 s"
    ]


def test_broken_events_alone_do_not_spoil_a_proof() -> None:
    found = facts([*cold_start(), at(2.0, EVENTS, BROKEN, {"reason": "cut"})])
    assert found["valid"] is True
    assert found["watch_gaps"][0]["end_seconds"] is None


def test_complete_is_when_the_old_is_gone_and_the_new_ready() -> None:
    records = cold_start()
    assert [pod_phases.is_complete(records[:count], START) for count in (13, 15, 16)] == [False, False, True]
    assert pod_phases.is_complete(lingers(records), START) is False


def test_new_containers_are_named_in_order() -> None:
    again = new(node=NODE, container="c3" * 32)
    records = [*cold_start(), at(6.0, PODS, "MODIFIED", again)]
    assert pod_phases.new_container_ids(records, START) == [NEW_CONTAINER, "c3" * 32]


@pytest.mark.parametrize(
    ("item", "targets"),
    [
        (endpoint_slice([1, 2], terminating=[3]), {OLD, NEW}),
        (endpoint_slice([]), set()),
        ({"addressType": "IPv4", "endpoints": None}, set()),
        ({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.9"]}]}, {"10.0.0.9"}),
        (endpoints([2]), {NEW}),
        (endpoints([]), set()),
        ({"subsets": [{"notReadyAddresses": [{"ip": "10.0.0.9"}]}]}, set()),
        ({"subsets": [{"addresses": [{"ip": "10.0.0.9"}]}]}, {"10.0.0.9"}),
    ],
)
def test_what_endpoints_lead_to(item: dict[str, Any], targets: set[str]) -> None:
    assert pod_phases.ready_targets(item) == targets


def test_stamps_are_put_in_order_from_the_last() -> None:
    stamps = [Stamp(3.0, "watch", 0.5), None, Stamp(2.0, "watch", 0.5), Stamp(2.5, "process", 0.01)]
    assert pod_phases.in_order(stamps) == [Stamp(2.0, "watch", 0.0), None, *stamps[2:]]


def test_a_failure_says_what_the_cluster_says() -> None:
    waiting = pod(2)
    waiting["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    ]
    records = [
        *cold_start()[:4],
        at(0.1, PODS, "ADDED", waiting),
        at(0.2, EVENTS, "ADDED", event(2, "FailedScheduling", "0/1 nodes")),
        at(5.2, EVENTS, "MODIFIED", event(2, "FailedScheduling", "0/1 nodes")),
    ]
    found = pod_phases.diagnosis(records, START)
    assert found["pod"] == "cifar-cnn-2"
    assert found["state"] == "Pending, on no node, PodScheduled is False (Unschedulable: 0/1 nodes)"
    assert found["events"] == ["FailedScheduling: 0/1 nodes"]
    assert found["conditions"] == waiting["status"]["conditions"]


def test_a_failure_without_a_new_pod_says_what_is_left() -> None:
    found = pod_phases.diagnosis(cold_start()[:4], START)
    assert (found["pod"], found["conditions"]) == (None, [])
    assert found["state"] == "no new pod came; old pods still there: 1"
    assert found["events"] == ["Started: long ago"]


def test_the_timeline_is_a_line_a_delivery() -> None:
    noise = at(4.9, EVENTS, "ADDED", event(9, "Started", "of another pod"))
    lines = pod_phases.timeline([*cold_start(), noise, at(5.0, PODS, BROKEN, {"reason": "cut"})], START)
    assert len(lines) == len(cold_start()) - 3 + 1
    said = [(line["watch"], line["type"], line["what"]) for line in lines]
    assert ("pods", "ADDED", "Pending, on no node") in said
    assert ("events", "ADDED", f"{FUNCTION}-2: Pulling: Pulling image") in said
    assert ("endpoints", "MODIFIED", "leads to 0") in said
    assert said[-1] == ("pods", "BROKEN", "cut")


def test_nothing_that_was_delivered_is_changed() -> None:
    records = cold_start()
    kept = copy.deepcopy(records)
    facts(records, wall_offset=WALL - START)
    assert records == kept


def process(proc: Path, pid: int, *, start_ticks: int, inner: str, cgroup: str) -> None:
    """One process of a made-up /proc."""
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    zeros = " ".join("0" for _ in range(17))
    (folder / "stat").write_text(f"{pid} (sh) S 1 {zeros} {start_ticks} 0\n")
    (folder / "status").write_text(f"Name:\tsh\nNSpid:\t{inner}\n")
    (folder / "cgroup").write_text(f"0::{cgroup}\n")


def test_the_first_process_of_a_container_is_found_by_its_control_group(tmp_path: Path) -> None:
    scope = f"/kubelet.slice/cri-containerd-{NEW_CONTAINER}.scope"
    ticks = pod_phases.procfs.TICKS_PER_SECOND
    process(tmp_path, 10, start_ticks=100, inner="10", cgroup=f"/crio-conmon-{NEW_CONTAINER}.scope")
    process(tmp_path, 20, start_ticks=90 * ticks, inner="20 1", cgroup=scope)
    process(tmp_path, 21, start_ticks=80 * ticks, inner="21 7", cgroup=scope)
    process(tmp_path, 30, start_ticks=70 * ticks, inner="30 1", cgroup="/another")
    process(tmp_path, 40, start_ticks=95 * ticks, inner="40 9 1", cgroup=scope)
    found = pod_phases.find_init(NEW_CONTAINER, str(tmp_path))
    assert found is not None and (found.pid, found.ended) == (20, None)
    asleep = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    assert found.made == pytest.approx(90 - asleep, abs=0.01)
    assert pod_phases.find_init(OLD_CONTAINER, str(tmp_path)) is None
