# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Chart: the distribution of response times over all requests of an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from analysis import statistics, wording
from analysis.charts import theme
from analysis.charts.chart import Chart
from analysis.charts.theme import ARMS, Layout, Room
from analysis.figures import percent
from analysis.table import Table

HEIGHT = 200
FRACTIONS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
# A longer curve is drawn through this many of its order statistics: more than there are dots across.
MOST_STEPS = 400


def latency(run: Mapping[str, Any]) -> Chart | None:
    """Draw the cumulative distribution of each arm's response times over its counted loads."""
    pooled = {arm: found for arm in ARMS if (found := _pooled(run, arm))}
    if not pooled:
        return None
    return Chart(
        id="latency",
        title="What do slow requests see?",
        finding=" ".join(_said(arm, values) for arm, values in pooled.items()),
        reading=(
            "The curve rises to the share of requests answered within a time; further left is sooner. The mark is the "
            "median. All loads of an arm are pooled here; the verdict compares loads, not requests."
        ),
        draw=lambda layout: _draw(pooled, layout),
        table=Table(
            "Response times by share of requests",
            ("Share of requests within", *(f"{arm}, n = {len(values)}" for arm, values in pooled.items())),
            tuple(
                (percent(fraction), *(_quantile(values, fraction) for values in pooled.values()))
                for fraction in FRACTIONS
            ),
            frozenset(range(1, len(pooled) + 1)),
        ),
    )


def _said(arm: str, values: Sequence[float]) -> str:
    """Say the median and the furthest quantile that so many requests allow."""
    furthest = max(
        (one for one in FRACTIONS if len(values) >= statistics.smallest_sample_for_quantile(one)), default=None
    )
    middle = f"{arm.capitalize()}: half of {len(values)} requests were answered within {_at(values, 0.5)}"
    if furthest is None or furthest <= 0.5:
        return f"{middle}."
    return f"{middle}, {percent(furthest)} within {_at(values, furthest)}."


def _at(values: Sequence[float], fraction: float) -> str:
    return wording.quantity(statistics.order_statistic(values, fraction), "s")


def _draw(pooled: Mapping[str, Sequence[float]], layout: Layout) -> theme.Drawing:
    low, high = theme.around([value for values in pooled.values() for value in values], from_zero=True)
    steps = [
        {"arm": arm, "seconds": seconds, "share": share}
        for arm, values in pooled.items()
        for seconds, share in _steps(values)
    ]
    medians = [
        {
            "arm": arm,
            "seconds": statistics.order_statistic(values, 0.5),
            "share": 50,
            "tip": f"{arm}: median {_at(values, 0.5)} of {len(values)} requests",
        }
        for arm, values in pooled.items()
    ]
    across = alt.X("seconds:Q", scale=theme.linear(low, high), axis=theme.horizontal("response time, s"))
    up = alt.Y("share:Q", scale=theme.linear(0, 100), axis=theme.vertical([0, 25, 50, 75, 100]))
    layers = [
        theme.lines(theme.chart(steps).encode(x=across, y=up), interpolate="step-after").properties(name="curve"),
        theme.points(theme.chart(medians).encode(x=across, y=up, description="tip:N")),
        *theme.key(list(pooled)),
        theme.heading("% of requests"),
    ]
    return theme.drawing(layers, layout, HEIGHT, Room())


def _pooled(run: Mapping[str, Any], arm: str) -> list[float]:
    """Give all response times of an arm, ascending.

    Of a load of more than 100 requests its 101 percentiles stand for them.
    """
    loads = [
        trial["data"] for trial in run["trials"] if trial["arm"] == arm and trial["kind"] == "load" and trial["counted"]
    ]
    found = [data.get("samples_seconds") or data.get("quantiles_seconds") or [] for data in loads]
    return sorted(value for values in found for value in values if value is not None)


def _steps(ascending: Sequence[float]) -> list[tuple[float, float]]:
    """Give the corners of the curve: at each time the share answered by then."""
    count = len(ascending)
    stride = max(1, count // MOST_STEPS)
    drawn = [*range(0, count - 1, stride), count - 1]
    return [(ascending[0], 0.0), *((ascending[index], 100 * (index + 1) / count) for index in drawn)]


def _quantile(ascending: Sequence[float], fraction: float) -> str:
    needed = statistics.smallest_sample_for_quantile(fraction)
    if len(ascending) < needed:
        return f"n too small (needs {needed})"
    return _at(ascending, fraction)
