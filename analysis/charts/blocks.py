# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Chart: the primary metric trial by trial, in the order of the run, to show drift and outliers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from analysis import wording
from analysis.charts import theme
from analysis.charts.chart import Chart
from analysis.charts.theme import ARMS, Layout, Room
from analysis.table import Table

HEIGHT = 200


def blocks(run: Mapping[str, Any]) -> Chart | None:
    """Draw both arms' figures of the primary metric in the order in which they were measured."""
    metric = wording.primary(run)
    trials = [
        trial
        for trial in sorted(run["trials"], key=lambda one: one["order"])
        if trial["counted"] and trial["figures"].get(metric["name"], {}).get("value") is not None
    ]
    if not trials:
        return None
    rows = [
        {
            "place": place,
            "arm": trial["arm"],
            "block": trial["block"],
            "value": trial["figures"][metric["name"]]["value"],
            "tip": f"{trial['id']}: {wording.figure(trial['figures'][metric['name']], metric['unit'])}",
        }
        for place, trial in enumerate(trials, start=1)
    ]
    return Chart(
        id="blocks",
        title=f"{metric['title']}, block by block",
        finding=_finding(run, metric, rows),
        reading=(
            "One mark is one trial, in the order of the run; a grey line joins the two of a block, which were measured "
            "next to each other. A slope is drift of the machine, which pairing takes out; one far mark is an outlier, "
            "which stays in. The vertical axis does not begin at 0."
        ),
        draw=lambda layout: _draw(rows, metric["unit"], layout),
        table=Table(
            f"{metric['title']} by block",
            ("Block", *ARMS),
            tuple(
                (pair["pair"], *(wording.figure(pair[arm], metric["unit"]) for arm in ARMS)) for pair in metric["pairs"]
            ),
            frozenset({1, 2}),
        ),
    )


def _finding(run: Mapping[str, Any], metric: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    said = []
    both = [pair for pair in metric["pairs"] if None not in (pair["server"]["value"], pair["serverless"]["value"])]
    # Nothing is compared in a run that is not valid, nor with blocks of another run.
    if both and run["valid"] and not run["base_run"]:
        higher = sum(pair["serverless"]["value"] > pair["server"]["value"] for pair in both)
        said.append(f"Serverless has the higher figure in {higher} of {len(both)} blocks.")
    for arm in ARMS:
        values = [row["value"] for row in rows if row["arm"] == arm]
        if values:
            low, high = (wording.quantity(bound, metric["unit"]) for bound in (min(values), max(values)))
            said.append(f"{arm.capitalize()}: {low} to {high}.")
    return " ".join(said)


def _draw(rows: Sequence[Mapping[str, Any]], unit: str, layout: Layout) -> theme.Drawing:
    room = Room()
    across = alt.X(
        "place:Q",
        scale=theme.linear(0.5, len(rows) + 0.5),
        axis=theme.horizontal(None, values=[]),
    )
    low, high = theme.around([row["value"] for row in rows], from_zero=False)
    up = alt.Y("value:Q", scale=theme.linear(low, high), axis=theme.vertical())
    base = theme.chart(rows).encode(x=across, y=up)
    places = _blocks(rows)
    pairs = theme.chart([row for row in places if row["first"] != row["last"]])
    stride = -(-len(places) // (14 if layout is theme.WIDE else 8))
    layers: list[theme.Layer] = [
        pairs.mark_rule(color=theme.RULE, strokeWidth=2).encode(
            x="first:Q", y="first_value:Q", x2="last:Q", y2="last_value:Q"
        ),
        theme.lines(base),
        theme.points(base).encode(description="tip:N").properties(name="marks"),
        theme.chart(places[::stride])
        .mark_text(baseline="middle")
        .encode(x="middle:Q", y=alt.value(HEIGHT + 14), text="block:N"),
        *theme.key([arm for arm in ARMS if any(row["arm"] == arm for row in rows)]),
        theme.heading(unit),
        theme.words(
            (layout.width - room.left - room.right) / 2,
            HEIGHT + 34,
            "block, in the order of the run",
            align="center",
            color=theme.QUIET,
        ),
    ]
    return theme.drawing(layers, layout, HEIGHT, room)


def _blocks(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give the first and last trial of every block, and the place between them."""
    found: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["block"] if row["block"] is not None else row["place"], []).append(row)
    return [
        {
            "block": str(block),
            "first": inside[0]["place"],
            "last": inside[-1]["place"],
            "first_value": inside[0]["value"],
            "last_value": inside[-1]["value"],
            "middle": (inside[0]["place"] + inside[-1]["place"]) / 2,
        }
        for block, inside in found.items()
    ]
