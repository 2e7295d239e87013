# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.htop_facts: a recording of known figures -> facts and their check against /proc."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from evenkeel import htop_facts

from tests.standins.htop import split_frames

FIXTURES = Path(__file__).parents[3] / "fixtures" / "htop"
PID, OTHER = 22761, 22762
KIB = 2**10


def screens() -> list[list[str]]:
    return split_frames((FIXTURES / "htop-3.2.2.txt").read_text())


def recording() -> dict[str, Any]:
    """What /proc would have said beside the screens of htop-3.2.2.txt, to the point."""
    frames = []
    for number in range(3):
        frames.append(
            {
                "monotonic_seconds": 100.0 + number,
                "host_busy_seconds": 10 + 2 * 0.714 * number,
                "host_total_seconds": 50 + 2.0 * number,
                "host_available_bytes": round(22.6 * 2**30),
                "processes": [
                    {
                        "pid": PID,
                        "command": "burn",
                        "resident_bytes": 64776 * KIB,
                        "pss_bytes": 50_000_000 + number,
                        "cpu_seconds": 0.284 * number,
                    },
                    {
                        "pid": OTHER,
                        "command": "burn",
                        "resident_bytes": 218356 * KIB,
                        "pss_bytes": None,
                        "cpu_seconds": 0.1 * number,
                    },
                ],
            }
        )
    return {
        "version": "3.2.2",
        "delay_seconds": 1.0,
        "host_boot_id": "boot",
        "window": {"start_monotonic_seconds": 101.0, "end_monotonic_seconds": 102.5, "ended_by": "duration"},
        "frames": frames,
        "counters": {"source": "schedstat", "resolution_seconds": 1e-9, "samples": [[100.0, 0.0], [102.0, 0.768]]},
        "memory": {"kind": "pss", "samples": []},
        "restarted": False,
        "ended_pids": [],
        "client": {"cpu_seconds": 0.1},
    }


def test_the_first_frame_is_dropped_and_begins_the_second() -> None:
    facts = htop_facts.facts(recording(), screens())
    assert [(one["begin_monotonic_seconds"], one["monotonic_seconds"]) for one in facts["frames"]] == [
        (100.0, 101.0),
        (101.0, 102.0),
    ]
    assert {one["host_boot_id"] for one in facts["frames"]} == {"boot"}


def test_the_summary_is_the_mean_over_the_frames() -> None:
    facts = htop_facts.facts(recording(), screens())
    assert facts["summary"] == {
        "cpu_percent_of_host": pytest.approx(71.4),
        "memory_used_bytes": 640.5 * 2**20,
        "memory_available_bytes": round(22.6 * 2**30),
        "memory_percent": pytest.approx(100 * 640.5 / (23.5 * 1024)),
        "load1": 1.15,
    }
    assert facts["processes"] == [
        {
            "pid": PID,
            "command": "python3 tools/burn.py 50 0.30 60",
            "cpu_percent_of_core": pytest.approx(28.35),
            "resident_bytes": 64776 * KIB,
            "pss_bytes": 50_000_002,
        },
        {
            "pid": OTHER,
            "command": "python3 tools/burn.py 200 0.1 60",
            "cpu_percent_of_core": pytest.approx(10.15),
            "resident_bytes": 213 * 2**20,
            "pss_bytes": None,
        },
    ]


def test_agreement_with_proc_passes() -> None:
    check = htop_facts.facts(recording(), screens())["proc_check"]
    assert check["passed"] is True
    assert [(one["what"], one["pid"]) for one in check["comparisons"]] == [
        ("cpu_percent_of_host", None),
        ("memory_available_bytes", None),
        ("cpu_percent_of_core", PID),
        ("resident_bytes", PID),
        ("cpu_percent_of_core", OTHER),
        ("resident_bytes", OTHER),
    ]


@pytest.mark.parametrize(
    ("what", "factor", "key"),
    [
        ("cpu_percent_of_core", 1.08, "cpu_seconds"),
        ("cpu_percent_of_core", 0.5, "cpu_seconds"),
        ("resident_bytes", 1.011, "resident_bytes"),
        ("resident_bytes", 0.98, "resident_bytes"),
    ],
)
def test_a_process_that_differs_from_proc_is_flagged(what: str, factor: float, key: str) -> None:
    given = recording()
    for frame in given["frames"]:
        frame["processes"][0][key] *= factor
    check = htop_facts.facts(given, screens())["proc_check"]
    assert check["passed"] is False
    assert [(one["what"], one["pid"]) for one in check["comparisons"] if one["agrees"] is False] == [(what, PID)]


def test_a_host_that_differs_from_proc_is_flagged() -> None:
    given = recording()
    for frame in given["frames"]:
        frame["host_available_bytes"] *= 1.02
    given["frames"][-1]["host_busy_seconds"] += 0.2
    check = htop_facts.facts(given, screens())["proc_check"]
    assert [one["what"] for one in check["comparisons"] if one["agrees"] is False] == [
        "cpu_percent_of_host",
        "memory_available_bytes",
    ]


def test_what_proc_did_not_say_is_not_compared() -> None:
    given = recording()
    for frame in given["frames"]:
        frame["processes"].pop()
    check = htop_facts.facts(given, screens())["proc_check"]
    assert check["passed"] is True
    assert [one["agrees"] for one in check["comparisons"]] == [True, True, True, True, None, None]


def test_htop_without_available_memory_is_not_compared() -> None:
    facts = htop_facts.facts(recording(), split_frames((FIXTURES / "htop-3.0.5.txt").read_text()))
    assert facts["summary"]["memory_available_bytes"] is None
    assert facts["proc_check"]["comparisons"][1]["agrees"] is None


def test_a_process_that_ended_keeps_the_frames_it_was_in() -> None:
    drawn = screens()
    drawn[2] = [row for row in drawn[2] if not row.startswith(str(PID))]
    given = copy.deepcopy(recording())
    given["frames"][2]["processes"].pop(0)
    process = htop_facts.facts(given, drawn)["processes"][0]
    assert (process["pid"], process["cpu_percent_of_core"]) == (PID, 28.0)


def test_a_recording_without_a_good_frame_is_refused() -> None:
    given = recording()
    given["frames"] = given["frames"][:1]
    with pytest.raises(ValueError, match="watch longer"):
        htop_facts.facts(given, screens()[:1])


def test_screens_and_frames_must_fit_together() -> None:
    with pytest.raises(ValueError, match="3 frames but 2 screens"):
        htop_facts.facts(recording(), screens()[:2])
