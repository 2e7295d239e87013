# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Chart: what a million requests cost over the rate of requests, and where the ways of paying meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from analysis import wording
from analysis.charts import theme
from analysis.charts.chart import Chart
from analysis.charts.theme import Layout, Room
from analysis.table import Table

HEIGHT, KEY_LINE = 200, 22
# The key in a point of the curve, the name, the colour and the line of every way of paying.
WAYS = (
    ("server_usd_per_million", "server, by the hour", "var(--server)", [1, 0]),
    ("pay_per_use_usd_per_million", "pay per use", "var(--serverless)", [6, 3]),
    ("kubernetes_usd_per_million", "Kubernetes, a share of a node", "var(--ink)", [2, 4]),
)


def break_even(run: Mapping[str, Any]) -> Chart | None:
    """Draw the cost of each way of paying that has a price."""
    found = run.get("cost")
    if found is None or not found["curve"]:
        return None
    curve = found["curve"]
    shown = [way for way in WAYS if any(point[way[0]] is not None for point in curve)]
    return Chart(
        id="break-even",
        title="From which rate on is a server cheaper?",
        finding=_finding(found),
        reading=(
            "Both axes are logarithmic: a server costs the same an hour whatever it answers, so that its price a "
            "request falls with the rate. The vertical line is where server and pay per use meet, the band its "
            f"interval. Pay per use is the {found['pay_per_use']['label']}; functions on one's own machine have no "
            "price a request."
        ),
        draw=lambda layout: _draw(curve, shown, found["break_even"] or {}, layout),
        table=Table(
            "US dollars a million requests",
            ("Requests/s", *(name for _, name, _, _ in shown)),
            tuple(
                (
                    f"{point['rate_rps']:.3g}",
                    *(wording.NOT_MEASURED if point[key] is None else f"{point[key]:.4g}" for key, *_ in shown),
                )
                for point in curve
            ),
            frozenset(range(len(shown) + 1)),
        ),
    )


def _finding(found: Mapping[str, Any]) -> str:
    even = found["break_even"]
    if even is None or even["rate_rps"] is None:
        return f"Break-even: {wording.NOT_MEASURED}; {even['reason'] if even else 'no two ways have a price'}."
    at = wording.quantity(even["rate_rps"], "requests/s")
    interval = even["interval"]
    spread = f" (95 % interval {interval['low']:.3g} to {interval['high']:.3g}, {even['n']} blocks)" if interval else ""
    if even["beyond_capacity"]:
        return f"Pay per use costs less at every rate that one server can answer: they would meet at {at}{spread}."
    return f"Below {at}{spread} pay per use costs less, above it the server, up to what one server answers."


def _draw(
    curve: Sequence[Mapping[str, Any]],
    shown: Sequence[tuple[str, str, str, list[int]]],
    even: Mapping[str, Any],
    layout: Layout,
) -> theme.Drawing:
    room = Room(left=62, top=34 + KEY_LINE * len(shown))
    rates = [point["rate_rps"] for point in curve]
    across = alt.Scale(type="log", domain=[min(rates), max(rates)], nice=False)
    costs = [point[key] for point in curve for key, *_ in shown if point[key] is not None]
    up = alt.Scale(type="log", domain=[min(costs) / 1.3, max(costs) * 1.3], nice=False)
    x = alt.X("rate:Q", scale=across, axis=theme.horizontal("requests/s", _powers(min(rates), max(rates)), format="~g"))
    y = alt.Y("usd:Q", scale=up, axis=theme.vertical(_powers(min(costs) / 1.3, max(costs) * 1.3)))
    layers: list[theme.Layer] = []
    interval, at = even.get("interval"), even.get("rate_rps")
    inside = at is not None and min(rates) <= at <= max(rates)
    if inside and interval:
        bounds = {"low": max(interval["low"], min(rates)), "high": min(interval["high"], max(rates))}
        layers.append(
            theme.chart([bounds])
            .mark_rect(color=theme.BAND)
            .encode(x=alt.X("low:Q", scale=across), x2="high:Q")
            .properties(name="band")
        )
    for place, (key, _, colour, dash) in enumerate(shown):
        points = [{"rate": point["rate_rps"], "usd": point[key]} for point in curve if point[key] is not None]
        layers.append(
            theme.chart(points)
            .mark_line(strokeWidth=2, color=colour, strokeDash=dash)
            .encode(x=x, y=y)
            .properties(name=f"way_{place}")
        )
    if inside:
        layers.append(
            theme.chart([{"rate": at}])
            .mark_rule(color=theme.INK, strokeWidth=1.5)
            .encode(x=alt.X("rate:Q", scale=across))
            .properties(name="even")
        )
    left = -room.left + 2
    for place, (_, name, colour, dash) in enumerate(shown):
        line = -room.top + 14 + KEY_LINE * place
        layers += [
            theme.chart([{}])
            .mark_rule(strokeWidth=2, color=colour, strokeDash=dash)
            .encode(x=alt.value(left), x2=alt.value(left + 28), y=alt.value(line)),
            theme.words(left + 36, line, name),
        ]
    layers.append(theme.heading("USD a million requests", room))
    return theme.drawing(layers, layout, HEIGHT, room)


def _powers(low: float, high: float) -> list[float]:
    """Give the powers of ten between two figures; where there are fewer than two, halves of their steps too."""
    powers = [10.0**power for power in range(-9, 10) if low <= 10.0**power <= high]
    if len(powers) >= 2:
        return powers
    return [step * 10.0**power for power in range(-9, 10) for step in (1, 2, 5) if low <= step * 10.0**power <= high]
