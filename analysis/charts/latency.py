# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Chart: the distribution of response times over all requests of an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt

from analysis import statistics, wording
from analysis.charts import theme
from analysis.charts.chart import Chart
from analysis.charts.theme import ARMS, Layout, Room
from analysis.figures import lookup, percent
from analysis.table import Table

HEIGHT = 200
FRACTIONS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
# A longer curve is drawn through this many of its order statistics: more than there are dots across.
MOST_STEPS = 400


class Answered(NamedTuple):
    """A response time, and how many requests it stands for."""

    seconds: float
    requests: float


def latency(run: Mapping[str, Any]) -> Chart | None:
    """Draw the cumulative distribution of each arm's response times over its counted loads."""
    pooled = {arm: found for arm in ARMS if (found := _pooled(run, arm))}
    if not pooled:
        return None
    return Chart(
        id="latency",
        title="What do slow requests see?",
        finding=" ".join(_said(arm, found) for arm, found in pooled.items()),
        reading=(
            "The curve rises to the share of requests answered within a time; further left is sooner. The mark is the "
            "median. All loads of an arm are pooled here; the verdict compares loads, not requests."
        ),
        draw=lambda layout: _draw(pooled, layout),
        table=Table(
            "Response times by share of requests",
            ("Share of requests within", *(f"{arm}, n = {_count(found)}" for arm, found in pooled.items())),
            tuple(
                (percent(fraction), *(_quantile(found, fraction) for found in pooled.values()))
                for fraction in FRACTIONS
            ),
            frozenset(range(1, len(pooled) + 1)),
        ),
    )


def _said(arm: str, found: Sequence[Answered]) -> str:
    """Say the median and the furthest quantile that so many requests allow."""
    count = _count(found)
    furthest = max((one for one in FRACTIONS if count >= statistics.smallest_sample_for_quantile(one)), default=None)
    middle = f"{arm.capitalize()}: half of {count} requests were answered within {_at(found, 0.5)}"
    if furthest is None or furthest <= 0.5:
        return f"{middle}."
    return f"{middle}, {percent(furthest)} within {_at(found, furthest)}."


def _count(found: Sequence[Answered]) -> int:
    return round(sum(one.requests for one in found))


def _seconds(found: Sequence[Answered], fraction: float) -> float:
    """Give the time within which this share of the requests was answered."""
    return statistics.order_statistic([one.seconds for one in found], fraction, [one.requests for one in found])


def _at(found: Sequence[Answered], fraction: float) -> str:
    return wording.quantity(_seconds(found, fraction), "s")


def _draw(pooled: Mapping[str, Sequence[Answered]], layout: Layout) -> theme.Drawing:
    low, high = theme.around([one.seconds for found in pooled.values() for one in found], from_zero=True)
    steps = [
        {"arm": arm, "seconds": seconds, "share": share}
        for arm, found in pooled.items()
        for seconds, share in _steps(found)
    ]
    medians = [
        {
            "arm": arm,
            "seconds": _seconds(found, 0.5),
            "share": 50,
            "tip": f"{arm}: median {_at(found, 0.5)} of {_count(found)} requests",
        }
        for arm, found in pooled.items()
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


def _pooled(run: Mapping[str, Any], arm: str) -> list[Answered]:
    """Give the response times of an arm, ascending, each with how many requests it stands for."""
    loads = [
        trial["data"] for trial in run["trials"] if trial["arm"] == arm and trial["kind"] == "load" and trial["counted"]
    ]
    return sorted(one for data in loads for one in _of_load(data))


def _of_load(data: Mapping[str, Any]) -> list[Answered]:
    """Give the times of one load; of more than 100 requests ab has the percentiles from 0 to 100.

    Each of these stands for the requests nearest to it: a hundredth of the load, the two at the ends for half of that.
    """
    samples, rows = data.get("samples_seconds"), data.get("quantiles_seconds")
    if samples:
        return [Answered(seconds, 1.0) for seconds in samples if seconds is not None]
    count = lookup(data, "latency_seconds", "n")
    if not rows or not isinstance(count, int) or None in rows:
        return []
    share = count / (len(rows) - 1)
    return [
        Answered(seconds, share / 2 if place in (0, len(rows) - 1) else share) for place, seconds in enumerate(rows)
    ]


def _steps(found: Sequence[Answered]) -> list[tuple[float, float]]:
    """Give the corners of the curve: at each time the share answered by then."""
    whole, until = sum(one.requests for one in found), 0.0
    stride, last = max(1, len(found) // MOST_STEPS), len(found) - 1
    corners = [(found[0].seconds, 0.0)]
    for place, one in enumerate(found):
        until += one.requests
        if place % stride == 0 or place == last:
            corners.append((one.seconds, 100 * until / whole))
    return corners


def _quantile(found: Sequence[Answered], fraction: float) -> str:
    needed = statistics.smallest_sample_for_quantile(fraction)
    if _count(found) < needed:
        return f"n too small (needs {needed})"
    return _at(found, fraction)
