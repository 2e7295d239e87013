# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Chart: by how much the arms differ, one row a metric, with the margin as a band."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis import wording
from analysis.charts import scale, svg
from analysis.charts.chart import Chart
from analysis.figures import percent
from analysis.metrics import Role
from analysis.table import Table

WIDTH, ROW, TOP = 520.0, 46.0, 30.0


def ratios(run: Mapping[str, Any]) -> Chart | None:
    """Draw the ratio and interval of every tested metric that has one."""
    rows = [metric for metric in run["metrics"] if metric["role"] != Role.SHOWN and metric["ratio"] is not None]
    if not rows:
        return None
    margin = run["profile"]["run"]["margin"]
    reach = [1 / (1 + margin), 1 + margin]
    for metric in rows:
        reach += [
            metric["ratio"],
            *((metric["interval"]["low"], metric["interval"]["high"]) if metric["interval"] else ()),
        ]
    axis = scale.Scale(min(reach) / 1.03, max(reach) * 1.03, 24, WIDTH - 24, logarithmic=True)
    bottom = TOP + ROW * len(rows)
    band = svg.rectangle(axis(1 / (1 + margin)), TOP, axis(1 + margin) - axis(1 / (1 + margin)), bottom - TOP, "band")
    parts = [
        svg.text(24, 16, "< serverless needs less"),
        svg.text(WIDTH - 24, 16, "serverless needs more >", anchor="end"),
        band,
        *scale.bottom_axis(axis, scale.ratio_ticks(axis.low, axis.high), bottom, "serverless / server", top=TOP),
        svg.line((axis(1), TOP), (axis(1), bottom), "one"),
    ]
    for index, metric in enumerate(rows):
        y = TOP + ROW * index
        parts.append(svg.text(24, y + 16, f"{metric['title']}: {wording.verdict(metric)}", "label halo"))
        if metric["interval"]:
            parts.append(
                svg.line(
                    (axis(metric["interval"]["low"]), y + 31), (axis(metric["interval"]["high"]), y + 31), "interval"
                )
            )
            for bound in ("low", "high"):
                place = axis(metric["interval"][bound])
                parts.append(svg.line((place, y + 25), (place, y + 37), "interval"))
        parts.append(svg.element("circle", cx=axis(metric["ratio"]), cy=y + 31, r=5, class_="mark ratio"))
    return Chart(
        id="ratios",
        title="By how much do the arms differ?",
        reading=(
            "Dot: the ratio serverless / server; bar: its interval, none with too few pairs; band: the margin of "
            f"{percent(margin)} within "
            "which a difference does not matter. A bar that crosses the line at 1 shows no difference."
        ),
        svg=svg.drawing(WIDTH, bottom + 46, "Ratio of serverless to server for each metric, with intervals", parts),
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
                for metric in rows
            ),
            frozenset({1, 2, 3, 4}),
        ),
    )
