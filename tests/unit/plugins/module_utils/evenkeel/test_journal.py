# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.journal: a run's journal and what is told from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evenkeel import journal


def trial(identity: str, order: int, **others: Any) -> dict[str, Any]:
    return {
        "id": identity,
        "order": order,
        "arm": "server",
        "block": 1,
        "kind": "load",
        "mode": None,
        "counted": True,
    } | others


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.jsonl")
    journal.append(path, "run_begun", "run")
    journal.append(path, "step_failed", "b01-server-load", message="no answer")
    assert [(line["event"], line["step"], line.get("message")) for line in journal.read(path)] == [
        ("run_begun", "run", None),
        ("step_failed", "b01-server-load", "no answer"),
    ]


def test_an_absent_journal_is_empty(tmp_path: Path) -> None:
    assert journal.read(str(tmp_path / "none")) == []


def test_a_line_cut_short_by_a_crash_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal.append(str(path), "run_begun", "run")
    path.write_text(path.read_text() + '{"event": "step_be')
    assert [line["event"] for line in journal.read(str(path))] == ["run_begun"]


@pytest.mark.parametrize("broken", ['{"event": "step_be', '{"event": "step_beg\udcff', "\0\0\0", "[]"])
def test_a_record_never_continues_a_broken_line(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "journal.jsonl"
    journal.append(str(path), "run_begun", "run")
    path.write_bytes(path.read_bytes() + broken.encode("utf-8", "surrogateescape"))
    journal.append(str(path), "run_resumed", "run")
    journal.append(str(path), "run_finished", "run")
    assert [line["event"] for line in journal.read(str(path))] == ["run_begun", "run_resumed", "run_finished"]
    assert path.read_bytes().count(b"\n") == 4


def test_a_whole_record_without_its_line_feed_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal.append(str(path), "run_begun", "run")
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert [line["event"] for line in journal.read(str(path))] == ["run_begun"]
    journal.append(str(path), "run_resumed", "run")
    assert [line["event"] for line in journal.read(str(path))] == ["run_begun", "run_resumed"]


def test_an_unknown_event_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got begun, expected one of run_begun"):
        journal.append(str(tmp_path / "journal.jsonl"), "begun", "run")
    assert not (tmp_path / "journal.jsonl").exists()


def test_durations_are_of_the_last_time() -> None:
    records = [
        {"event": event, "step": step, "monotonic_seconds": at}
        for event, step, at in [
            ("step_begun", "a", 1.0),
            ("step_begun", "a", 10.0),
            ("step_done", "a", 14.5),
            ("step_begun", "b", 20.0),
            ("step_failed", "b", 21.0),
            ("step_done", "never begun", 30.0),
        ]
    ]
    assert journal.durations(records) == {"a": 4.5}
    begun = journal.last_begun(records, "a")
    assert begun is not None and begun["monotonic_seconds"] == 10.0
    assert journal.last_begun(records, "c") is None


def test_what_remains_is_told_from_what_was_done() -> None:
    trials = [
        trial("l1", 1),
        trial("l2", 2),
        trial("l3", 3),
        trial("s1", 4, kind="start", mode="load"),
        trial("i", 5, kind="idle"),
    ]
    taken = {"l1": 8.0, "l2": 10.0}
    assert journal.remaining_seconds(trials, taken, {"start-load": 5.0}) == 9.0 + 5.0 + 0.0
    assert journal.remaining_seconds(trials, {each["id"]: 1.0 for each in trials}, {}) == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3600, "1:00:00"), (3725, "1:02:05")]
)
def test_clock(seconds: float, text: str) -> None:
    assert journal.clock(seconds) == text


def test_a_progress_line_says_block_arm_step_and_times() -> None:
    trials = [trial(f"t{number}", number, block=number) for number in range(1, 13)]
    line = journal.progress_line(trials[2], trials, 63.0, 130.0)
    assert line == "[ 3/12] block  3 of 12  server      load                1:03 gone, about 2:10 to go"


def test_a_progress_line_tells_the_starts_apart() -> None:
    trials = [
        trial("w", 1, block=None, kind="start", mode="imports", counted=False),
        trial("s", 2, block=None, kind="start", mode="train"),
        trial("b", 3, kind="start", mode="load"),
        trial("c", 4, kind="start", mode="load", counted=False),
    ]
    lines = [journal.progress_line(each, trials, 0, 0) for each in trials]
    assert "discarded" in lines[0] and "training" in lines[1] and "loading  " in lines[2] and "not counted" in lines[3]


def test_a_progress_line_names_the_rate_of_an_open_loop() -> None:
    trials = [
        trial("c", 1, kind="capacity"),
        trial("r", 2, kind="open_loop", mode="rate30"),
        trial("s", 3, kind="open_loop", mode="sweep"),
    ]
    lines = [journal.progress_line(each, trials, 0, 0) for each in trials]
    assert "capacity  " in lines[0] and "open loop rate30  " in lines[1] and "open loop sweep  " in lines[2]
    assert [journal.sort_of(each) for each in trials] == ["capacity", "open_loop", "open_loop-sweep"]


def test_records_are_one_json_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal.append(str(path), "step_begun", "x\ny")
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["step"] == "x\ny"
