# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from analysis import watched
from analysis.watched import Window

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


def test_the_course_has_the_mean_of_the_window() -> None:
    cores = watched.course(facts(), WINDOW)["cores"]
    assert 5 <= len(cores) <= watched.COURSE_STEPS
    assert all(value == pytest.approx(1.5, rel=1e-6) for _, value in cores)
    assert all(0 <= moment <= WINDOW.seconds for moment, _ in cores)


def test_two_containers_are_no_single_service() -> None:
    container = {"counters": facts()["htop"]["counters"]}
    assert watched.watched({"docker_stats": {"containers": [container]}}) is not None
    assert watched.watched({"docker_stats": {"containers": [container, container]}}) is None
