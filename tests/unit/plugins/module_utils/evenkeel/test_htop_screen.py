# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.htop_screen, on screens of several versions of htop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from evenkeel import htop_screen
from hypothesis import given
from hypothesis import strategies as st

from tests.standins.htop import split_frames

FIXTURES = Path(__file__).parents[3] / "fixtures" / "htop"
KIB, MIB, GIB = 2**10, 2**20, 2**30


def frames(version: str) -> list[dict[str, Any]]:
    return [htop_screen.parse_screen(rows) for rows in split_frames((FIXTURES / f"htop-{version}.txt").read_text())]


def test_every_figure_of_htop_3_2_2() -> None:
    frame = frames("3.2.2")[1]
    assert frame == {
        "cpu_percent_of_host": 71.5,
        "cpu_percent_of_host_by_kind": {
            "user": 57.5,
            "system": 14.0,
            "nice": 0.0,
            "hardware_interrupt": 0.0,
            "software_interrupt": 0.0,
            "steal": 0.0,
            "guest": 0.0,
            "io_wait": 0.0,
        },
        "memory_total_bytes": round(23.5 * GIB),
        "memory_used_bytes": 640 * MIB,
        "memory_available_bytes": round(22.6 * GIB),
        "memory_percent": pytest.approx(100 * 640 / (23.5 * 1024)),
        "load1": 1.08,
        "processes": [
            {
                "pid": 22761,
                "command": "python3 tools/burn.py 50 0.30 60",
                "cpu_percent_of_core": 28.0,
                "resident_bytes": 64776 * KIB,
            },
            {
                "pid": 22762,
                "command": "python3 tools/burn.py 200 0.1 60",
                "cpu_percent_of_core": 10.0,
                "resident_bytes": 213 * MIB,
            },
        ],
    }


@pytest.mark.parametrize("version", ["3.0.5", "3.2.2", "3.4.1", "3.5.3"])
def test_every_version_is_read(version: str) -> None:
    found = frames(version)
    assert len(found) == 3
    for frame in found:
        assert frame["memory_total_bytes"] == round(23.5 * GIB)
        assert [process["pid"] for process in frame["processes"]] == [22761, 22762]
        assert 0 <= frame["cpu_percent_of_host"] <= 100.1
    assert [one["processes"][0]["cpu_percent_of_core"] for one in found[1:]] in ([28.0, 28.7], [25.1, 27.3])
    assert (found[0]["memory_available_bytes"] is None) == (version == "3.0.5")


def test_waiting_and_stolen_time_is_not_busy() -> None:
    rows = split_frames((FIXTURES / "htop-3.2.2.txt").read_text())[1]
    rows[0] = "Avg: 10.0% sy:  5.0% ni:  1.0% hi:  0.5% si:  0.5% st: 20.0% gu:  2.0% wa: 30.0%"
    frame = htop_screen.parse_screen(rows)
    assert frame["cpu_percent_of_host"] == 19.0
    assert frame["cpu_percent_of_host_by_kind"]["steal"] == 20.0


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("67784", 67784 * KIB),
        ("0", 0),
        ("216M", 216 * MIB),
        ("1.21G", round(1.21 * GIB)),
        ("0K", 0),
        ("2.00T", 2 * 2**40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert htop_screen.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "12X", "-5", "1,5G", "N/A", "1.2.3G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(htop_screen.ScreenError, match="is not a size"):
        htop_screen.parse_size(text)


@pytest.mark.parametrize("mark", ["-", "+", " "])
@pytest.mark.parametrize("column", ["PID", "CPU%", "MEM%", "RES"])
def test_the_sort_mark_is_taken_off_any_column(mark: str, column: str) -> None:
    rows = split_frames((FIXTURES / "htop-3.2.2.txt").read_text())[1]
    header = next(index for index, row in enumerate(rows) if row.startswith("  PID"))
    plain = rows[header].replace("CPU%-", "CPU% ")
    rows[header] = plain.replace(f"{column} ", f"{column}{mark}", 1)
    assert len(htop_screen.parse_screen(rows)["processes"]) == 2


@pytest.mark.parametrize(
    ("begins", "message"),
    [
        ("Avg:", "no 'Avg:' meter"),
        ("Mem:", "no 'Mem:' meter"),
        ("Load", "'Load average:'"),
        ("  PID", "process header"),
    ],
)
def test_a_screen_without_a_meter_is_refused(begins: str, message: str) -> None:
    rows = [row for row in split_frames((FIXTURES / "htop-3.2.2.txt").read_text())[1] if not row.startswith(begins)]
    with pytest.raises(htop_screen.ScreenError, match=message):
        htop_screen.parse_screen(rows)


@pytest.mark.parametrize(
    ("begins", "instead"),
    [
        ("Avg:", "Avg: garbage"),
        ("Avg:", "Avg:[||||| 54.0%]"),
        ("Mem:", "Mem:[||||  640M/23.5G]"),
        ("Mem:", "Mem:23.5G"),
    ],
)
def test_a_meter_drawn_in_another_way_is_refused(begins: str, instead: str) -> None:
    rows = split_frames((FIXTURES / "htop-3.2.2.txt").read_text())[1]
    rows = [instead if row.startswith(begins) else row for row in rows]
    with pytest.raises(htop_screen.ScreenError, match="cannot be read"):
        htop_screen.parse_screen(rows)


@pytest.mark.parametrize("value", ["28,0", "N/A", "1.2.3", "nan"])
def test_a_process_row_that_cannot_be_read_is_refused(value: str) -> None:
    rows = [row.replace("28.0", value) for row in split_frames((FIXTURES / "htop-3.2.2.txt").read_text())[1]]
    with pytest.raises(htop_screen.ScreenError, match="row of a process"):
        htop_screen.parse_screen(rows)


def test_an_empty_screen_is_refused() -> None:
    with pytest.raises(htop_screen.ScreenError):
        htop_screen.parse_screen([])


@given(st.lists(st.text(max_size=60), max_size=20))
def test_any_screen_is_read_or_refused(rows: list[str]) -> None:
    try:
        frame = htop_screen.parse_screen(rows)
    except htop_screen.ScreenError:
        return
    assert frame["memory_total_bytes"] >= 0


@given(st.integers(0, 12), st.text("0123456789.%KMG -:abcPID", max_size=80))
def test_one_garbled_row_is_read_or_refused(index: int, garbage: str) -> None:
    rows = split_frames((FIXTURES / "htop-3.4.1.txt").read_text())[1]
    rows[min(index, len(rows) - 1)] = garbage
    try:
        frame = htop_screen.parse_screen(rows)
    except htop_screen.ScreenError:
        return
    assert frame["load1"] >= 0
