# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Charts: CPU and memory over time around the first load of each arm, its load window marked."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from analysis import wording
from analysis.charts import theme
from analysis.charts.chart import Chart
from analysis.charts.theme import ARMS, Layout, Room
from analysis.table import Table

PANEL, GAP = 96, 58
MEBIBYTE = 2**20
KINDS = ("load", "idle")

Points = Sequence[tuple[float, float]]


def processor(run: Mapping[str, Any]) -> Chart | None:
    """Draw the cores in use around the first load of each arm."""
    return _chart(run, "cores", 1, "cores", "How busy is the CPU under load?")


def memory(run: Mapping[str, Any]) -> Chart | None:
    """Draw the memory around the first load of each arm."""
    return _chart(run, "memory_bytes", MEBIBYTE, "MiB", "How much memory is in use under load?")


def _chart(run: Mapping[str, Any], key: str, divisor: float, unit: str, title: str) -> Chart | None:
    found = {(kind, arm): trial for kind in KINDS for arm in ARMS if (trial := _first(run, kind, arm, key)) is not None}
    drawn = {
        place: [(moment, value / divisor) for moment, value in trial["data"][key]] for place, trial in found.items()
    }
    loads = {arm: drawn["load", arm] for arm in ARMS if ("load", arm) in drawn}
    if not loads:
        return None
    windows = {arm: _seconds(found["load", arm]) for arm in loads}
    return Chart(
        id=f"course-{key.replace('_', '-')}",
        title=title,
        finding=" ".join(_said(arm, course, windows[arm], unit) for arm, course in loads.items()),
        reading=(
            "Time runs from the start of the load; the band is the load window, in which the figures are counted. What "
            "lies outside is the watcher before and after the load. Both panels have one scale; each line is one "
            f"trial: {', '.join(found['load', arm]['id'] for arm in loads)}."
        ),
        draw=lambda layout: _draw(loads, windows, unit, layout),
        table=Table(
            f"{title.removesuffix(' under load?')}, first load and first idle window of each arm, in {unit}",
            ("Trial", "Lowest", "Median", "Highest", "Readings"),
            tuple(
                (
                    found[place]["id"],
                    *(f"{pick([value for _, value in course]):.4g}" for pick in (min, statistics.median, max)),
                    str(len(course)),
                )
                for place, course in drawn.items()
            ),
            frozenset({1, 2, 3, 4}),
        ),
    )


def _said(arm: str, course: Points, seconds: float, unit: str) -> str:
    inside = [value for moment, value in course if 0 <= moment <= seconds]
    if not inside:
        return f"{arm.capitalize()}: no reading lies inside the load window."
    middle = f"{statistics.median(inside):.3g} {unit}"
    return (
        f"{arm.capitalize()}: {middle} in the middle of {len(inside)} readings over a load of "
        f"{wording.quantity(seconds, 's')}."
    )


def _draw(loads: Mapping[str, Points], windows: Mapping[str, float], unit: str, layout: Layout) -> theme.Drawing:
    room = Room(top=34)
    moments = [moment for course in loads.values() for moment, _ in course]
    begin, end = min([0.0, *moments]), max([*windows.values(), *moments])
    highest = max([*(value for course in loads.values() for _, value in course), 0.01]) * 1.12
    panels: list[list[theme.Layer]] = []
    for place, (arm, course) in enumerate(loads.items(), start=1):
        title = "seconds since the start of the load" if place == len(loads) else None
        across = alt.X("seconds:Q", scale=theme.linear(begin, end), axis=theme.horizontal(title))
        up = alt.Y("value:Q", scale=theme.linear(0, highest), axis=theme.vertical(count=4))
        base = theme.chart([{"arm": arm, "seconds": moment, "value": value} for moment, value in course])
        window = theme.chart([{"begin": 0, "end": windows[arm]}])
        last = theme.chart([{"arm": arm, "seconds": course[-1][0], "value": course[-1][1]}])
        layers: list[theme.Layer] = [
            window.mark_rect(color=theme.BAND)
            .encode(x=alt.X("begin:Q", scale=theme.linear(begin, end)), x2="end:Q")
            .properties(name="window"),
            theme.lines(base.encode(x=across, y=up)),
            theme.points(last.encode(x=across, y=up)),
            theme.words(-room.left + 2, -14, f"{arm}, {unit}"),
        ]
        panels.append(layers)
    return theme.stacked(panels, layout, PANEL, GAP, room)


def _seconds(trial: Mapping[str, Any]) -> float:
    window = trial["window"]
    return float(window["end_monotonic_seconds"] - window["start_monotonic_seconds"])


def _first(run: Mapping[str, Any], kind: str, arm: str, key: str) -> Mapping[str, Any] | None:
    """Give an arm's first counted trial of a kind that was watched."""
    for trial in run["trials"]:
        if trial["kind"] == kind and trial["arm"] == arm and trial["counted"] and trial["data"].get(key):
            found: Mapping[str, Any] = trial
            return found
    return None
