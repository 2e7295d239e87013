# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Charts: CPU and memory idle and busy, on a cluster with the shares of OpenFaaS and of the rest of the node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from analysis import wording
from analysis.charts import theme
from analysis.charts.chart import Chart
from analysis.charts.theme import ARMS, Layout, Room
from analysis.schema import Part
from analysis.table import Table

ROW, LINE = 46, 18
MEBIBYTE = 2**20
STATES = ("idle", "busy")


@dataclass(frozen=True)
class Quantity:
    """What is drawn: the metrics of both states, the key of a cluster's parts, and how it is printed."""

    id: str
    title: str
    metrics: Mapping[str, str]
    part: str
    unit: str
    drawn_unit: str
    divisor: float


CPU = Quantity(
    "shares-cpu",
    "How much CPU, idle and busy?",
    {"idle": "idle_cpu_cores", "busy": "busy_cpu_cores"},
    "cpu_cores",
    "cores",
    "cores",
    1,
)
MEMORY = Quantity(
    "shares-memory",
    "How much memory, idle and busy?",
    {"idle": "idle_memory_bytes", "busy": "busy_memory_bytes"},
    "memory_bytes",
    "bytes",
    "MiB",
    MEBIBYTE,
)


@dataclass(frozen=True)
class Share:
    """One piece of a bar: a part of an arm in a state, as a summary of run.json, and how much of it is drawn."""

    arm: str
    state: str
    part: str
    summary: Mapping[str, Any]
    begin: float
    end: float


def processor(run: Mapping[str, Any]) -> Chart | None:
    """Draw the cores in use, idle and busy."""
    return _chart(run, CPU)


def memory(run: Mapping[str, Any]) -> Chart | None:
    """Draw the memory, idle and busy."""
    return _chart(run, MEMORY)


def _chart(run: Mapping[str, Any], quantity: Quantity) -> Chart | None:
    shares = [share for state in STATES for arm in ARMS for share in _shares(run, quantity, state, arm)]
    if not shares:
        return None
    on_cluster = any(share.part != "service" for share in shares)
    return Chart(
        id=quantity.id,
        title=quantity.title,
        finding=" ".join(
            _said(shares, quantity, state) for state in STATES if any(one.state == state for one in shares)
        ),
        reading=(
            "A bar is the median over trials; its length begins at 0 and its figure stands at it. Idle is the idle "
            "window, busy the load window."
            + (
                " On the cluster a bar has parts: the function's pod, OpenFaaS's own pods, and the rest of the node. "
                "Only the function's pod is compared with the server."
                if on_cluster
                else ""
            )
        ),
        draw=lambda layout: _draw(shares, quantity, layout),
        table=Table(
            f"{quantity.title.removesuffix(', idle and busy?')}, medians over trials",
            ("State and arm", "Part", "Median", "Lowest to highest", "Trials"),
            tuple(
                (
                    f"{share.state}, {share.arm}",
                    share.part,
                    wording.summary(share.summary, quantity.unit),
                    wording.spread(share.summary, quantity.unit),
                    str(share.summary["n"]),
                )
                for share in shares
            ),
            frozenset({2, 3, 4}),
        ),
    )


def _shares(run: Mapping[str, Any], quantity: Quantity, state: str, arm: str) -> Iterator[Share]:
    """Give the pieces of one bar in their order; none where nothing was measured."""
    metric = next((one for one in run["metrics"] if one["name"] == quantity.metrics[state]), None)
    service = metric and metric[arm]
    if not service:
        return
    reach = _level(service)
    parts = {
        row["part"]: row[quantity.part]
        for row in run.get("resources", ())
        if row["arm"] == arm and row["state"] == state and row[quantity.part] is not None
    }
    yield Share(arm, state, "function's pod" if parts else "service", service, 0.0, reach)
    openfaas, node = parts.get(Part.OPENFAAS), parts.get(Part.NODE)
    if openfaas is not None:
        yield Share(arm, state, "OpenFaaS", openfaas, reach, reach + _level(openfaas))
        reach += _level(openfaas)
    if openfaas is not None and node is not None and _level(node) > reach:
        yield Share(arm, state, "whole node", node, reach, _level(node))


def _level(summary: Mapping[str, Any]) -> float:
    """Give how far a bar reaches: what is below a counter's resolution has no length."""
    return float(summary["median"] or 0.0)


def _said(shares: Sequence[Share], quantity: Quantity, state: str) -> str:
    found = [
        f"{share.arm} {wording.summary(share.summary, quantity.unit)}"
        + ("" if share.part in ("service", "function's pod") else f" ({share.part})")
        for share in shares
        if share.state == state
    ]
    return f"{state.capitalize()}: {', '.join(found)}."


def _draw(shares: Sequence[Share], quantity: Quantity, layout: Layout) -> theme.Drawing:
    room = Room(left=14, top=8, right=20)
    bars = list(dict.fromkeys((share.state, share.arm) for share in shares))
    row = ROW + (LINE if len(shares) > len(bars) else 0)
    height = row * len(bars)
    _, end = theme.around([share.end / quantity.divisor for share in shares] + [1e-6], from_zero=True)
    down = alt.Scale(domain=[height, 0], nice=False, zero=False)
    found = [
        {
            "arm": share.arm,
            "begin": share.begin / quantity.divisor,
            "end": share.end / quantity.divisor,
            "strength": 1.0
            if share.part in ("service", "function's pod")
            else 0.55
            if share.part == "OpenFaaS"
            else 0.25,
            "top": row * (bars.index((share.state, share.arm)) + 1) - 24,
            "bottom": row * (bars.index((share.state, share.arm)) + 1) - 8,
            "tip": f"{share.state}, {share.arm}, {share.part}: {wording.summary(share.summary, quantity.unit)}",
        }
        for share in shares
    ]
    labels = []
    for place, (state, arm) in enumerate(bars):
        inside = [share for share in shares if (share.state, share.arm) == (state, arm)]
        said = [(share.part, wording.summary(share.summary, quantity.unit)) for share in inside]
        labels.append({"at": row * place + 11, "said": f"{state}, {arm}: {said[0][1]}"})
        if len(said) > 1:
            beside = "; ".join(f"{part} {figure}" for part, figure in said[1:])
            labels.append({"at": row * place + 11 + LINE, "said": beside})
    across = alt.X("begin:Q", scale=theme.linear(0, end), axis=theme.horizontal(quantity.drawn_unit))
    layers: list[theme.Layer] = [
        theme.chart(found)
        .mark_rect(aria=True, stroke=theme.PANEL)
        .encode(
            x=across,
            x2="end:Q",
            y=alt.Y("top:Q", axis=None, scale=down),
            y2="bottom:Q",
            color=theme.colour(),
            opacity=alt.Opacity("strength:Q", scale=None),
            description="tip:N",
        ),
        theme.chart(labels)
        .mark_text(align="left", baseline="middle")
        .encode(x=alt.value(0), y=alt.Y("at:Q", scale=down), text="said:N")
        .properties(name=theme.HALO),
    ]
    return theme.drawing(layers, layout, height, room)
