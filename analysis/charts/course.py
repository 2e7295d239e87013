# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Charts: CPU and memory over time, under load above and idle below, on one scale."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from analysis import wording
from analysis.charts import scale, svg
from analysis.charts.chart import Chart
from analysis.table import Table

WIDTH, LEFT, RIGHT, TOP, PANEL, GAP = 520.0, 62.0, 508.0, 62.0, 110.0, 78.0
ARMS = ("server", "serverless")
PANELS = (("load", "under load"), ("idle", "idle"))
MEBIBYTE = 2**20

Course = Sequence[Sequence[float]]


def processor(run: Mapping[str, Any]) -> Chart | None:
    """Draw the cores in use over the first load and the first idle window of each arm."""
    return _chart(run, "cores", 1, "cores", "How busy is the CPU?")


def memory(run: Mapping[str, Any]) -> Chart | None:
    """Draw the memory over the first load and the first idle window of each arm."""
    return _chart(run, "memory_bytes", MEBIBYTE, "MiB", "How much memory is in use?")


def _chart(run: Mapping[str, Any], key: str, divisor: float, unit: str, title: str) -> Chart | None:
    found = {(kind, arm): _first(run, kind, arm, key) for kind, _ in PANELS for arm in ARMS}
    drawn = {
        place: [(moment, value / divisor) for moment, value in course] for place, (_, course) in found.items() if course
    }
    if not drawn:
        return None
    values = [value for course in drawn.values() for _, value in course]
    highest = max([*values, 0.01]) * 1.08
    parts = [svg.legend(LEFT, 16)]
    for index, (kind, name) in enumerate(PANELS):
        top = TOP + index * (PANEL + GAP)
        courses = {arm: drawn[kind, arm] for arm in ARMS if (kind, arm) in drawn}
        parts += _panel(courses, top, highest, f"{name}, {unit}")
    names = [f"{kind}, {arm}: {trial}" for (kind, arm), (trial, course) in found.items() if course]
    return Chart(
        id=f"course-{key.replace('_', '-')}",
        title=title,
        reading=(
            "Time runs from the start of the window in which the figure is counted; both panels have one scale. Each "
            "line is one trial: "
            f"{'; '.join(names)}."
        ),
        svg=svg.drawing(
            WIDTH, TOP + 2 * PANEL + GAP + 46, f"{title} Over time, under load and idle, for each arm", parts
        ),
        table=Table(
            f"{title} In {unit}",
            ("Trial", "Lowest", "Median", "Highest", "Readings"),
            tuple(
                (
                    found[place][0],
                    *(f"{pick([value for _, value in course]):.4g}" for pick in (min, statistics.median, max)),
                    str(len(course)),
                )
                for place, course in drawn.items()
            ),
            frozenset({1, 2, 3, 4}),
        ),
    )


def _panel(courses: Mapping[str, Sequence[tuple[float, float]]], top: float, highest: float, name: str) -> list[str]:
    bottom = top + PANEL
    up = scale.Scale(0, highest, bottom, top)
    parts = [svg.text(8, top - 16, name), *scale.left_axis(up, scale.ticks(0, highest, 5), LEFT, right=RIGHT)]
    if not courses:
        return [*parts, svg.text((LEFT + RIGHT) / 2, top + PANEL / 2, wording.NOT_MEASURED, anchor="middle")]
    longest = max(course[-1][0] for course in courses.values())
    across = scale.linear([longest or 1.0], LEFT, RIGHT, from_zero=True)
    parts += scale.bottom_axis(across, scale.ticks(0, across.high), bottom, "seconds", top=top)
    for arm, course in courses.items():
        points = [(across(moment), up(value)) for moment, value in course]
        parts += [svg.polyline(points, f"series {arm}"), svg.marker(arm, *points[-1])]
    return parts


def _first(run: Mapping[str, Any], kind: str, arm: str, key: str) -> tuple[str, Course]:
    """Give the id and course of an arm's first counted trial of a kind that has one."""
    for trial in run["trials"]:
        if trial["kind"] == kind and trial["arm"] == arm and trial["counted"] and trial["data"].get(key):
            return trial["id"], trial["data"][key]
    return "", ()
