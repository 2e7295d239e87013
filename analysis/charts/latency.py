# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Chart: the distribution of response times over all requests of an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis import statistics, wording
from analysis.charts import scale, svg
from analysis.charts.chart import Chart
from analysis.figures import percent
from analysis.table import Table

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 520.0, 312.0, 52.0, 56.0, 256.0
ARMS = ("server", "serverless")
FRACTIONS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
# A longer curve is drawn through this many of its order statistics: more than there are dots across.
MOST_STEPS = 400


def latency(run: Mapping[str, Any]) -> Chart | None:
    """Draw the cumulative distribution of each arm's response times over its counted loads."""
    pooled = {arm: _pooled(run, arm) for arm in ARMS}
    everything = [value for values in pooled.values() for value in values]
    if not everything:
        return None
    across = scale.linear(everything, LEFT, WIDTH - 16, from_zero=True)
    up = scale.Scale(0, 100, BOTTOM, TOP)
    parts = [
        svg.legend(LEFT, 16),
        *scale.left_axis(up, [0, 25, 50, 75, 100], LEFT, right=WIDTH - 16),
        *scale.bottom_axis(across, scale.ticks(across.low, across.high), BOTTOM, "response time, s", top=TOP),
        svg.text(8, 42, "% of requests"),
    ]
    for arm, values in pooled.items():
        if values:
            parts += [
                svg.polyline([(across(at), up(share)) for at, share in _steps(values)], f"series {arm}"),
                svg.marker(arm, across(statistics.order_statistic(values, 0.5)), up(50)),
            ]
    return Chart(
        id="latency",
        title="What do slow requests see?",
        reading=(
            "The curve rises to the share of requests answered within a time; further left is sooner. The mark is the "
            "median. All "
            "loads of an arm are pooled here; the verdict compares loads, not requests."
        ),
        svg=svg.drawing(WIDTH, HEIGHT, "Cumulative distribution of response times of both arms", parts),
        table=Table(
            "Response times by share of requests",
            ("Share of requests within", *(f"{arm}, n = {len(values)}" for arm, values in pooled.items())),
            tuple(
                (percent(fraction), *(_quantile(values, fraction) for values in pooled.values()))
                for fraction in FRACTIONS
            ),
            frozenset({1, 2}),
        ),
    )


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
    count = len(ascending)
    stride = max(1, count // MOST_STEPS)
    points = [(ascending[0], 0.0)]
    for index in [*range(0, count - 1, stride), count - 1]:
        points += [(ascending[index], points[-1][1]), (ascending[index], 100 * (index + 1) / count)]
    return points


def _quantile(ascending: Sequence[float], fraction: float) -> str:
    needed = statistics.smallest_sample_for_quantile(fraction)
    if len(ascending) < needed:
        return f"n too small (needs {needed})"
    return wording.quantity(statistics.order_statistic(ascending, fraction), "s")
