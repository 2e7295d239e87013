# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from analysis import watched
from analysis.clocks import Window

WINDOW = Window(10.0, 20.0, "boot")


def facts(**changes: Any) -> dict[str, Any]:
    htop = {
        "host_boot_id": "boot",
        "counters": {
            "source": "schedstat",
            "resolution_seconds": 1e-9,
            "samples": [[9.0 + index / 2, 100.0 + index * 0.75] for index in range(30)],
        },
        "memory": {"kind": "pss", "samples": [[9.0 + index, 1000.0 + index] for index in range(15)]},
        "frames": [
            {"begin_monotonic_seconds": 9.5 + index, "monotonic_seconds": 10.5 + index, "memory_percent": float(index)}
            for index in range(12)
        ],
        "restarted": False,
    }
    return {"htop": {**htop, **changes}}


def test_cores_are_counted_between_the_window_edges() -> None:
    assert watched.mean_cores(facts(), WINDOW).value == pytest.approx(1.5)


def test_memory_is_the_mean_inside_the_window() -> None:
    assert watched.mean_memory(facts(), WINDOW).value == pytest.approx(1006.0)


def test_a_frame_counts_only_where_it_lies_wholly_inside() -> None:
    # Frame 0 begins before the window and frame 10 ends after it.
    assert watched.htop_mean(facts(), "memory_percent", WINDOW).value == pytest.approx(5.0)


def test_a_unit_is_counted_as_a_container_is() -> None:
    group = {
        "counters": {"source": "cgroup", "resolution_seconds": 1e-6, "samples": [[9.0, 5.0], [21.0, 29.0]]},
        "memory": {"kind": "working_set", "samples": [[15.0, 2000.0]]},
    }
    recorded = facts(group=group)
    assert watched.mean_cores(recorded, WINDOW).value == pytest.approx(2.0)
    assert watched.mean_memory(recorded, WINDOW).value == 2000.0
    container = {"docker_stats": {"host_boot_id": "boot", "containers": [{**group, "restarted": False}]}}
    for kind in (watched.source, watched.memory_kind):
        assert kind(recorded) == kind(container) != kind(facts(group=None)) == kind(facts())


def test_two_whole_frames_are_no_measurement() -> None:
    assert watched.htop_mean(facts(), "memory_percent", Window(10.5, 12.6, "boot")).value is None


@pytest.mark.parametrize(
    "samples",
    [
        [[9.0, 1.0], [21.0]],
        [[9.0, 1.0], ["x", 2.0]],
        [[9.0, 1.0], [21.0, None]],
        [[21.0, 1.0], [9.0, 2.0]],
        [[9.0, 1.0], [21.0, True]],
        None,
        [],
    ],
)
def test_a_garbled_counter_is_not_measured(samples: Any) -> None:
    figure = watched.mean_cores(facts(counters={"samples": samples}), WINDOW)
    assert figure.value is None and figure.reason


@pytest.mark.parametrize(
    ("given", "window", "said"),
    [
        ({}, WINDOW, "no watcher"),
        (facts(), None, "no window"),
        (facts(), Window(10.0, 20.0, "another"), "clocks do not agree"),
        (facts(), Window(1.0, 20.0, "boot"), "covers"),
    ],
)
def test_what_cannot_be_counted_has_a_reason(given: dict[str, Any], window: Window | None, said: str) -> None:
    figure = watched.mean_cores(given, window)
    assert figure.value is None
    assert said in (figure.reason or "")


def test_the_course_goes_as_far_as_the_watcher_saw() -> None:
    cores = watched.course(facts(), WINDOW)["cores"]
    assert 5 <= len(cores) <= watched.COURSE_STEPS
    assert all(value == pytest.approx(1.5, rel=1e-6) for _, value in cores)
    assert cores[0][0] < 0 < WINDOW.seconds < cores[-1][0]


def test_the_course_of_another_clock_is_the_windows_alone() -> None:
    cores = watched.course(facts(), Window(WINDOW.start, WINDOW.end, "another"))["cores"]
    assert cores and all(0 <= moment <= WINDOW.seconds for moment, _ in cores)


def test_two_containers_are_no_single_service() -> None:
    container = {"counters": facts()["htop"]["counters"]}
    assert watched.watched({"docker_stats": {"containers": [container]}}) is not None
    assert watched.watched({"docker_stats": {"containers": [container, container]}}) is None


def on_cluster(**changes: Any) -> dict[str, Any]:
    """Facts of a function on a cluster: its pod uses 1.5 cores, OpenFaaS's pods a tenth of that, the node it all."""
    whole = facts()["htop"]
    record = {key: whole[key] for key in ("counters", "memory", "restarted")}
    tenth = [[moment, used / 10] for moment, used in record["counters"]["samples"]]
    openfaas = {**record, "name": "openfaas", "counters": {**record["counters"], "samples": tenth}}
    return {
        "pod_stats": {"host_boot_id": "boot", "groups": [{**record, "name": "function", **changes}, openfaas]},
        "docker_stats": {"host_boot_id": "boot", "containers": [{**record, "samples": whole["frames"]}]},
    }


def test_the_service_on_a_cluster_is_the_functions_pod_and_never_the_node() -> None:
    assert watched.mean_cores(on_cluster(), WINDOW).value == pytest.approx(1.5)
    failed = {"pod_stats_failure": "no container runs", "docker_stats": on_cluster()["docker_stats"]}
    assert watched.watched(failed) is None
    assert watched.watched({**on_cluster(), "pod_stats": {"groups": []}}) is None


def test_docker_stats_of_a_node_is_no_figure_of_the_service() -> None:
    found = watched.docker_stats_mean(on_cluster(), "memory_percent", WINDOW)
    assert found.value is None and "the cluster's node" in (found.reason or "")


def test_groups_and_nodes_are_told_apart() -> None:
    openfaas = watched.group(on_cluster(), "openfaas")
    assert watched.cores_of(openfaas, WINDOW).value == pytest.approx(0.15)
    assert watched.group(on_cluster(), "other") is None
    assert len(watched.nodes(on_cluster())) == 1
    assert watched.nodes({"docker_stats": on_cluster()["docker_stats"]}) == [], "without pods it is the service itself"


def test_a_reason_why_nothing_watched_is_the_figures_reason() -> None:
    said = {"unwatched": "the function's pod runs on another host"}
    assert watched.mean_cores(said, WINDOW).reason == said["unwatched"]
    assert watched.mean_memory(said, None).reason == said["unwatched"]


def test_changes_of_a_group_are_read_in_words() -> None:
    assert watched.group_changes(on_cluster(changes=["pod b appeared"]), "function") == ["pod b appeared"]
    assert watched.group_changes(on_cluster(), "function") == []
