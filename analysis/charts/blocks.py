# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Chart: the primary metric block by block, in the order of the run, to show drift and outliers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis import wording
from analysis.charts import scale, svg
from analysis.charts.chart import Chart
from analysis.table import Table

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 520.0, 312.0, 62.0, 56.0, 256.0
ARMS = ("server", "serverless")


def blocks(run: Mapping[str, Any]) -> Chart | None:
    """Draw both arms' figures of the primary metric over the blocks."""
    metric = wording.primary(run)
    pairs = metric["pairs"]
    values = [pair[arm]["value"] for pair in pairs for arm in ARMS if pair[arm]["value"] is not None]
    if not values:
        return None
    across = scale.Scale(0.5, len(pairs) + 0.5, LEFT, WIDTH - 12)
    up = scale.linear(values, BOTTOM, TOP, from_zero=False)
    numbers = [float(number) for number in scale.ticks(0.6, len(pairs) + 0.4, 12) if number == int(number)]
    parts = [
        svg.legend(LEFT, 16),
        *scale.left_axis(up, scale.ticks(up.low, up.high), LEFT, right=WIDTH - 12),
        *scale.bottom_axis(across, numbers, BOTTOM, "block, in the order of the run", top=BOTTOM),
        svg.text(8, 42, metric["unit"]),
    ]
    for arm in ARMS:
        points = [
            (across(index), up(pair[arm]["value"]))
            for index, pair in enumerate(pairs, start=1)
            if pair[arm]["value"] is not None
        ]
        parts += [svg.polyline(points, f"series {arm}"), *(svg.marker(arm, *point) for point in points)]
    return Chart(
        id="blocks",
        title=f"{metric['title']}, block by block",
        reading=(
            "One mark is one trial; the two of a block were measured next to each other in time. A slope is drift of "
            "the machine, which "
            "pairing takes out; one far mark is an outlier, which stays in. The axis does not begin at 0."
        ),
        svg=svg.drawing(WIDTH, HEIGHT, f"{metric['title']} of both arms over {len(pairs)} blocks", parts),
        table=Table(
            f"{metric['title']} by block",
            ("Block", *ARMS),
            tuple((pair["pair"], *(wording.figure(pair[arm], metric["unit"]) for arm in ARMS)) for pair in pairs),
            frozenset({1, 2}),
        ),
    )
