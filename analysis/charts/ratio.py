# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Chart: by how much the arms differ, one row a metric, with the margin as a band."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from analysis import wording
from analysis.charts import theme
from analysis.charts.chart import Chart
from analysis.charts.theme import Layout, Room
from analysis.figures import percent
from analysis.metrics import Role
from analysis.table import Table

ROW = 44
MOST_TICKS = 6
SPARE = 1.03
# Within a decade even steps stand apart on a logarithmic axis.
DECADE = 10
ROOM = Room(left=14, top=30, right=14)


def ratios(run: Mapping[str, Any]) -> Chart | None:
    """Draw the ratio and interval of every tested metric that has one."""
    found = [metric for metric in run["metrics"] if metric["role"] != Role.SHOWN and metric["ratio"] is not None]
    if not found:
        return None
    margin = run["profile"]["run"]["margin"]
    rows = [_row(index, metric) for index, metric in enumerate(found)]
    return Chart(
        id="ratios",
        title="By how much do the arms differ?",
        finding=_finding(run, found, margin),
        reading=(
            "Dot: the ratio serverless / server; bar: its interval, none with too few pairs; band: the margin of "
            f"{percent(margin)} within which a difference does not matter. A bar that crosses the line at 1 shows no "
            "difference."
        ),
        draw=lambda layout: _draw(rows, margin, layout),
        table=Table(
            "Ratios and intervals",
            ("Metric", "Ratio", "Interval", "Level", "n"),
            tuple(
                (
                    metric["title"],
                    wording.ratio(metric["ratio"]),
                    wording.interval(metric["interval"]),
                    percent(metric["interval"]["level"], 1) if metric["interval"] else "-",
                    str(metric["n"]),
                )
                for metric in found
            ),
            frozenset({1, 2, 3, 4}),
        ),
    )


def _row(index: int, metric: Mapping[str, Any]) -> dict[str, Any]:
    interval = metric["interval"]
    said = f"{metric['title']}: {wording.verdict(metric)}"
    return {
        "top": ROW * index,
        "said": said,
        "ratio": metric["ratio"],
        "low": interval["low"] if interval else None,
        "high": interval["high"] if interval else None,
        "tip": f"{said}; ratio {wording.ratio(metric['ratio'])}, interval {wording.interval(interval)}",
    }


def _finding(run: Mapping[str, Any], found: Sequence[Mapping[str, Any]], margin: float) -> str:
    first = wording.headline(wording.primary(run), margin)
    others = Counter(wording.verdict(metric) for metric in found if not metric["primary"])
    if not others:
        return first
    return f"{first} The others: {', '.join(f'{count} {word}' for word, count in others.items())}."


def _draw(rows: Sequence[Mapping[str, Any]], margin: float, layout: Layout) -> theme.Drawing:
    bounds = [1 / (1 + margin), 1 + margin]
    reach = [value for row in rows for value in (row["ratio"], row["low"], row["high"]) if value is not None]
    least, most = min([*reach, *bounds]), max([*reach, *bounds])
    # Room for the letters of a value at either end: the wider the range, the longer its values.
    spare = max(SPARE, (most / least) ** 0.06)
    height = ROW * len(rows)
    axis = theme.horizontal("serverless / server", _ticks(least / SPARE, most * SPARE))
    across = alt.Scale(type="log", domain=[least / spare, most * spare], nice=False)
    down = alt.Y("at:Q", axis=None, scale=alt.Scale(domain=[height, 0], nice=False, zero=False))
    base = theme.chart([{**row, "at": row["top"] + 30} for row in rows]).encode(y=down)
    with_bar = base.transform_filter("isValid(datum.low)")
    ends: dict[str, Any] = {"thickness": 2, "color": theme.INK, "size": 13, "orient": "vertical"}
    layers = [
        theme.chart([{"low": bounds[0], "high": bounds[1]}])
        .mark_rect(color=theme.BAND)
        .encode(x=alt.X("low:Q", scale=across, axis=axis), x2="high:Q")
        .properties(name="band"),
        theme.chart([{"one": 1}]).mark_rule(color=theme.INK, strokeWidth=1.5).encode(x="one:Q").properties(name="one"),
        with_bar.mark_rule(color=theme.INK, strokeWidth=2).encode(x="low:Q", x2="high:Q").properties(name="interval"),
        with_bar.mark_tick(**ends).encode(x="low:Q"),
        with_bar.mark_tick(**ends).encode(x="high:Q"),
        base.mark_point(filled=True, opacity=1, size=90, color=theme.INK, aria=True)
        .encode(x="ratio:Q", description="tip:N")
        .properties(name="ratio"),
        theme.chart([{**row, "at": row["top"] + 13} for row in rows])
        .mark_text(align="left", baseline="middle")
        .encode(x=alt.value(0), y=down, text="said:N")
        .properties(name=theme.HALO),
        theme.words(0, -14, "< serverless needs less", color=theme.QUIET),
        theme.words(layout.width - ROOM.left - ROOM.right, -14, "more >", align="right", color=theme.QUIET),
    ]
    return theme.drawing(layers, layout, height, ROOM)


def _ticks(low: float, high: float) -> list[float]:
    """Give a few round ratios between low and high, 1 among them: finer ones the narrower the range."""
    for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if high <= DECADE * low else ():
        steps = range(math.ceil(low / step), math.floor(high / step) + 1)
        if len(steps) <= MOST_TICKS:
            return [round(step * index, 2) for index in steps]
    halving = [ratio for ratio in (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0) if low <= ratio <= high]
    if halving[0] <= low * 2 and high <= halving[-1] * 2:
        return halving
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, math.ceil((last - first) / 5))
    powers = (10.0**power for power in range(first, last + 1) if power % stride == 0)
    return [ratio for ratio in powers if low <= ratio <= high]
