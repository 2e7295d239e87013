# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Chart: the tail of the latency in an open loop beside that of the closed loop, one panel an arm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from analysis import wording
from analysis.charts import theme
from analysis.charts.chart import Chart
from analysis.charts.theme import ARMS, Layout, Room
from analysis.figures import percent
from analysis.table import Table

PANEL, GAP = 110, 58
SAID = ("p50", "p90", "p95", "p99")
# The horizontal axis gives every further nine the same room.
NINES = {0.0: "0", 50.0: "50", 90.0: "90", 99.0: "99", 99.9: "99.9"}
OPEN, CLOSED = "open loop", "closed loop (ab)"
DASHES: Mapping[str, list[int]] = {OPEN: [1, 0], CLOSED: [2, 4]}


@dataclass(frozen=True)
class Pair:
    """One arm's open loop at one rate, and its closed loop of the same request, as run.json has them."""

    arm: str
    open: Mapping[str, Any]
    closed: Mapping[str, Any] | None


def tail(run: Mapping[str, Any]) -> Chart | None:
    """Draw the latency by percentile at the highest rate at which every measured arm was valid."""
    found = run.get("open_loop")
    if found is None:
        return None
    closed = {one["arm"]: one for one in found["closed_loop"] if one["spectrum"]}
    usable = [one for one in found["rates"] if one["valid"] and one["spectrum"]]
    arms = {one["arm"] for one in found["rates"]}
    fractions = [
        fraction
        for fraction in {one["fraction"] for one in usable}
        if {one["arm"] for one in usable if one["fraction"] == fraction} == arms
    ]
    if not fractions:
        return None
    fraction = max(fractions)
    chosen = {one["arm"]: one for one in usable if one["fraction"] == fraction}
    pairs = [Pair(arm, chosen[arm], closed.get(arm)) for arm in ARMS if arm in chosen]
    return Chart(
        id="tail",
        title="Does the load generator hide a tail?",
        finding=" ".join(_said(pair, fraction) for pair in pairs),
        reading=(
            "A line rises to the slowest requests, and ends where its requests are too few for a further percentile; "
            "each further nine has the same room. In the open loop requests come at their own times, at "
            f"{percent(fraction)} of the weaker arm's capacity, and their latency counts from when they were due. In "
            "the closed loop a client waits for its answer before it asks again, so that it asks least when the "
            "service is slowest."
        ),
        draw=lambda layout: _draw(pairs, layout),
        table=Table(
            f"Latency in both loops, open loop at {percent(fraction)} of the weaker arm's capacity",
            ("Arm and loop", *SAID, "n"),
            tuple(row for pair in pairs for row in _rows(pair)),
            frozenset(range(1, len(SAID) + 2)),
        ),
    )


def _said(pair: Pair, fraction: float) -> str:
    name = next((name for name in reversed(SAID) if pair.open["latency_seconds"][name] is not None), None)
    if name is None:
        return f"{pair.arm.capitalize()}: too few requests in the open loop for a percentile."
    # Censored requests are among the latencies, as what they had at least.
    planned = pair.open["requests"]["planned"]
    failed = planned - pair.open["latency_seconds"]["n"]
    unanswered = f" {percent(failed / planned, 2)} of its arrivals failed and have no latency." if failed else ""
    said = f"{pair.arm.capitalize()}: {name} is {_quantile(pair.open, name)} in the open loop at {percent(fraction)}"
    if pair.closed is None or pair.closed["latency_seconds"][name] is None:
        return f"{said}; the closed loop has too few requests for it.{unanswered}"
    return f"{said}, {_quantile(pair.closed, name)} in the closed loop.{unanswered}"


def _quantile(found: Mapping[str, Any], name: str) -> str:
    value = found["latency_seconds"][name]
    if value is None:
        return "n too small"
    return f"{'at least ' if name in found.get('at_least', ()) else ''}{wording.quantity(value, 's')}"


def _rows(pair: Pair) -> list[tuple[str, ...]]:
    loops = [(OPEN, pair.open), *([(CLOSED, pair.closed)] if pair.closed is not None else [])]
    return [
        (
            f"{pair.arm}, {name}",
            *(_quantile(found, quantile) for quantile in SAID),
            str(found["latency_seconds"]["n"]),
        )
        for name, found in loops
    ]


def _draw(pairs: Sequence[Pair], layout: Layout) -> theme.Drawing:
    room = Room(top=56)
    spectra = {
        (pair.arm, loop): [(place, value) for at, value in found["spectrum"] if (place := _place(at)) is not None]
        for pair in pairs
        for loop, found in ((OPEN, pair.open), (CLOSED, pair.closed))
        if found is not None
    }
    values = [value for points in spectra.values() for _, value in points]
    furthest = max([1.0, *(place for points in spectra.values() for place, _ in points)])
    labels = {place: said for at, said in NINES.items() if (place := _place(at)) is not None and place <= furthest}
    said = " : ".join(f"datum.value <= {place + 0.01} ? '{text}'" for place, text in labels.items())
    up = alt.Y("seconds:Q", scale=theme.linear(0, max(values) * 1.08), axis=theme.vertical(count=4))
    panels: list[list[theme.Layer]] = []
    for index, pair in enumerate(pairs, start=1):
        title = "percent of requests answered within" if index == len(pairs) else None
        axis = theme.horizontal(title, list(labels), labelExpr=f"{said} : ''")
        across = alt.X("place:Q", scale=theme.linear(0, furthest), axis=axis)
        layers: list[theme.Layer] = []
        for loop, dash in DASHES.items():
            points = spectra.get((pair.arm, loop), [])
            rows = [{"place": place, "seconds": value} for place, value in points]
            if rows:
                layers.append(
                    theme.chart(rows)
                    .mark_line(strokeWidth=2.5, strokeDash=dash, color=theme.COLOURS[pair.arm])
                    .encode(x=across, y=up)
                )
        if index == 1:
            layers += _key(room)
        layers.append(theme.words(-room.left + 2, -14, f"{pair.arm}, s"))
        panels.append(layers)
    return theme.stacked(panels, layout, PANEL, GAP, room)


def _key(room: Room) -> list[theme.Layer]:
    found: list[theme.Layer] = []
    left, y = -room.left + 2, -38
    for loop, dash in DASHES.items():
        found += [
            theme.chart([{}])
            .mark_rule(strokeWidth=2.5, strokeDash=dash, color=theme.INK)
            .encode(x=alt.value(left), x2=alt.value(left + 28), y=alt.value(y)),
            theme.words(left + 36, y, loop),
        ]
        left += 130
    return found


def _place(at: float) -> float | None:
    """Give where a percentile stands, 1 a nine; None for the last request, which has no place of its own."""
    return None if at >= 100 else -math.log10(1 - at / 100)
