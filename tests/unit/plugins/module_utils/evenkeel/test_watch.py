# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.watch: options, beginning and end, and long lists."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from evenkeel import watch


def options(**given: Any) -> dict[str, Any]:
    return {**{name: spec.get("default") for name, spec in watch.ARGUMENTS.items()}, **given}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "either duration_seconds or stop_file"),
        ({"duration_seconds": 5.0, "stop_file": "/tmp/x"}, "either duration_seconds or stop_file"),
        ({"duration_seconds": 0.0}, "duration_seconds must be a positive number of seconds, not 0.0"),
        ({"duration_seconds": -1.0}, "duration_seconds must be a positive"),
        ({"duration_seconds": float("nan")}, "duration_seconds must be a positive"),
        ({"duration_seconds": float("inf")}, "duration_seconds must be a positive"),
        ({"duration_seconds": 5.0, "deadline_seconds": 0.0}, "deadline_seconds must be a positive"),
        ({"duration_seconds": 5.0, "interval_seconds": 0.1}, "interval_seconds must be between 0.5 and 10, not 0.1"),
        ({"duration_seconds": 5.0, "interval_seconds": 11.0}, "not 11"),
        ({"duration_seconds": 5.0, "interval_seconds": float("nan")}, "not nan"),
        ({"duration_seconds": 0.5, "interval_seconds": 1.0}, "is shorter than interval_seconds"),
        ({"duration_seconds": 5.0, "artifact_dir": "/nonexistent/here"}, "artifact_dir /nonexistent/here is not a"),
        ({"stop_file": "/nonexistent/stop"}, "the directory of stop_file /nonexistent/stop does not exist"),
        ({"duration_seconds": 5.0, "ready_file": "/nonexistent/r"}, "the directory of ready_file"),
    ],
)
def test_impossible_options_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(watch.WatchError) as refused:
        watch.check_options(options(**given), 0.5, 10)
    assert message in str(refused.value)


@pytest.mark.parametrize("name", ["stop_file", "ready_file"])
def test_what_an_earlier_watch_left_is_refused(name: str, tmp_path: Path) -> None:
    left = tmp_path / "left"
    left.touch()
    given = {"stop_file": str(tmp_path / "stop"), name: str(left)}
    with pytest.raises(watch.WatchError, match=f"{name} .*left exists already"):
        watch.check_options(options(**given), 0.5, 10)


def test_possible_options_pass(tmp_path: Path) -> None:
    given = options(stop_file=str(tmp_path / "stop"), ready_file=str(tmp_path / "ready"), artifact_dir=str(tmp_path))
    watch.check_options(given, 0.5, 10)
    assert watch.own_deadline_seconds(given) == watch.STOP_FILE_DEADLINE_SECONDS
    assert watch.own_deadline_seconds(options(duration_seconds=5.0)) == 5 + watch.DURATION_GRACE_SECONDS
    assert watch.own_deadline_seconds(options(duration_seconds=5.0, deadline_seconds=7.0)) == 7


def test_the_duration_runs_from_the_first_good_frame() -> None:
    one = watch.Watch(options(duration_seconds=0.05))
    time.sleep(0.1)
    assert not one.over()
    one.ready()
    first = one.ready_monotonic_seconds
    assert not one.over()
    time.sleep(0.06)
    one.ready()
    assert one.ready_monotonic_seconds == first
    assert one.over()
    assert one.ended_by == "duration"
    window = one.window()
    assert window["end_monotonic_seconds"] - window["start_monotonic_seconds"] >= 0.05


def test_the_stop_file_ends_the_watch_and_the_ready_file_is_made(tmp_path: Path) -> None:
    stop, ready = tmp_path / "stop", tmp_path / "ready"
    one = watch.Watch(options(stop_file=str(stop), ready_file=str(ready)))
    assert not ready.exists()
    one.ready()
    assert ready.exists()
    assert not one.over()
    stop.touch()
    assert one.over()
    stop.unlink()
    assert one.over(), "what is over stays over"
    assert one.ended_by == "stop_file"


def test_a_folder_that_was_cleared_away_ends_the_watch(tmp_path: Path) -> None:
    folder = tmp_path / "signals"
    folder.mkdir()
    one = watch.Watch(options(stop_file=str(folder / "stop")))
    assert not one.over()
    folder.rmdir()
    assert one.over()
    assert one.ended_by == "folder_gone"


def test_the_deadline_ends_the_watch_whatever_happens(tmp_path: Path) -> None:
    one = watch.Watch(options(stop_file=str(tmp_path / "never"), deadline_seconds=0.05))
    time.sleep(0.06)
    assert one.over()
    assert one.window()["ended_by"] == "deadline"


def test_the_window_has_the_hosts_steal_from_ready_until_now(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([(5.0, 100.0), (5.5, 110.0), (6.0, 120.0)])
    monkeypatch.setattr(watch.procfs, "host_steal_seconds", lambda: next(readings))
    one = watch.Watch(options(duration_seconds=5.0))
    one.ready()
    one.ready()
    found = one.window()
    assert (found["host_steal_seconds"], found["host_cpu_seconds"]) == (0.5, 10.0)
    assert one.window()["host_steal_seconds"] == 1.0


@pytest.mark.parametrize("ready", [False, True])
def test_steal_that_is_not_counted_is_null(monkeypatch: pytest.MonkeyPatch, ready: bool) -> None:
    monkeypatch.setattr(watch.procfs, "host_steal_seconds", lambda: (None, 100.0) if ready else (1.0, 100.0))
    one = watch.Watch(options(duration_seconds=5.0))
    if ready:
        one.ready()
    found = one.window()
    assert found["host_steal_seconds"] is None
    assert found["host_cpu_seconds"] == (0.0 if ready else None)


def facts(frames: int) -> dict[str, Any]:
    return {
        "htop": {
            "version": "3.2.2",
            "frames": [{"cpu": float(number), "processes": [{"pid": 1, "cpu": 2.0}]} for number in range(frames)],
            "counters": {"source": "schedstat", "samples": [[number / 10, number / 20] for number in range(frames)]},
            "containers": [{"name": "a", "samples": [[1, 2]] * frames}, {"name": "b", "samples": None}],
        }
    }


def test_few_values_stay_in_the_facts() -> None:
    assert watch.separate_long_lists(facts(10)) == (facts(10), None)


def test_many_values_go_to_a_file_and_come_back() -> None:
    whole = facts(300)
    short, content = watch.separate_long_lists(whole)
    assert content is not None
    assert watch.count_values(short) < 20
    assert short["htop"]["frames"] is None
    assert short["htop"]["counters"] == {"source": "schedstat", "samples": None}
    assert short["htop"]["containers"][0] == {"name": "a", "samples": None}
    assert watch.merge_long_lists(short, json.loads(content)) == whole
    assert watch.describe_artifact("/a/b", content) == {
        "path": "/a/b",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }


def test_the_window_has_what_was_swapped_and_by_how_much_the_clock_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    swapped, offsets = iter([1000, 5096]), iter([100.0, 97.5])
    monkeypatch.setattr(watch.procfs, "host_swapped_bytes", lambda: next(swapped))
    monkeypatch.setattr(watch, "wall_clock_offset", lambda: next(offsets))
    one = watch.Watch(options(duration_seconds=5.0))
    one.ready()
    found = one.window()
    assert (found["host_swapped_bytes"], found["wall_clock_step_seconds"]) == (4096, -2.5)


def test_a_watch_that_was_never_ready_knows_neither() -> None:
    found = watch.Watch(options(duration_seconds=5.0)).window()
    assert (found["host_swapped_bytes"], found["wall_clock_step_seconds"]) == (None, None)
