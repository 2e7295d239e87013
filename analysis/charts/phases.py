# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Chart: where the time of a start-up goes, one bar an arm and way of starting."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from analysis import cluster_phases, wording
from analysis.charts import theme
from analysis.charts.chart import Chart
from analysis.charts.theme import ARMS, Layout, Room
from analysis.cluster_phases import MODES
from analysis.schema import ClusterPhase, Phase
from analysis.table import Table

ROW, KEY_LINE = 54, 24
# Pixels of a part in which its mark has room.
LEAST_FOR_A_MARK = 14
# Letters of a name that needs more than the usual column of the key.
LONG_NAME = 11
DRAWN = (Phase.INTERPRETER, Phase.IMPORTS, Phase.DATA, Phase.TRAIN, Phase.LOAD, Phase.SELF_TEST)
# Those of the cluster that come before the service's own; the others run beside them and stand in the report's table.
BEFORE = {ClusterPhase.SCHEDULED: "a", ClusterPhase.IMAGE: "b", ClusterPhase.CONTAINER_STARTED: "c"}


@dataclass(frozen=True)
class Bar:
    """The start-ups of one arm and mode: medians in seconds since the start command."""

    arm: str
    mode: str
    starts: int
    phases: Mapping[str, tuple[float, float]]
    ready: float
    cluster: Mapping[ClusterPhase, tuple[float, float]]


@dataclass(frozen=True)
class Part:
    """A part of a bar: its name, and the mark and colour that stand for it."""

    name: str
    mark: str
    colour: str


def phases(run: Mapping[str, Any]) -> list[Chart]:
    """Draw one chart a way of starting, since training is longer than loading by far."""
    bars = [bar for mode in MODES for arm in ARMS if (bar := _bar(run, arm, mode)) is not None]
    return [_chart(mode, found) for mode in MODES if (found := [bar for bar in bars if bar.mode == mode])]


def _chart(mode: str, bars: Sequence[Bar]) -> Chart:
    present = [phase for phase in DRAWN if any(phase in bar.phases for bar in bars)]
    before = [phase for phase in BEFORE if any(phase in bar.cluster for bar in bars)]
    parts = [Part(step.value, BEFORE[step], "var(--band)") for step in before]
    parts += [Part(phase.value, str(DRAWN.index(phase) + 1), f"var(--{phase.value})") for phase in present]
    return Chart(
        id=f"phases-{mode}",
        title=f"Where does a start-up go: {MODES[mode]}?",
        finding=" ".join(_said(bar) for bar in bars),
        reading=(
            "A bar is a start-up, its parts the phases as the service stamped them; the line at its end is ready, as "
            "seen from outside. A gap between parts is time the service does not account for. Medians over starts."
            f"{' Lettered parts are of the cluster, before the service has a process.' if before else ''}"
        ),
        draw=lambda layout: _draw(bars, parts, layout),
        table=Table(
            f"Phases of a start-up, {MODES[mode]}",
            ("Phase", *(f"{bar.arm}" for bar in bars)),
            (
                *((phase.value, *(_cluster_length(bar, phase) for bar in bars)) for phase in before),
                *((phase.value, *(_length(bar, phase) for bar in bars)) for phase in present),
                ("ready after", *(wording.quantity(bar.ready, "s") for bar in bars)),
            ),
            frozenset(range(1, len(bars) + 1)),
        ),
    )


def _said(bar: Bar) -> str:
    counted = "one start" if bar.starts == 1 else f"median of {bar.starts} starts"
    ready = f"{bar.arm.capitalize()}: ready after {wording.quantity(bar.ready, 's')} ({counted})"
    if not bar.phases:
        return f"{ready}."
    longest = max(bar.phases, key=lambda name: bar.phases[name][1] - bar.phases[name][0])
    return f"{ready}; the longest part is {longest}, {_length(bar, Phase(longest))}."


def _draw(bars: Sequence[Bar], parts: Sequence[Part], layout: Layout) -> theme.Drawing:
    long = any(len(part.name) > LONG_NAME for part in parts)
    columns = (3 if long else 4) if layout is theme.WIDE else (2 if long else 3)
    lines = -(-len(parts) // columns)
    room = Room(left=14, top=10 + KEY_LINE * lines, right=20)
    width = layout.width - room.left - room.right
    height = ROW * len(bars)
    _, end = theme.around([bar.ready for bar in bars], from_zero=True)
    axis = theme.horizontal("seconds since the start command")
    across, down = theme.linear(0, end), alt.Scale(domain=[height, 0], nice=False, zero=False)
    marks = {part.name: part.mark for part in parts}
    found = [
        {
            "name": name,
            "mark": marks[name] if (stop - begin) / end * width > LEAST_FOR_A_MARK else "",
            "begin": begin,
            "end": stop,
            "middle": (begin + stop) / 2,
            "top": ROW * index + 24,
            "bottom": ROW * index + 44,
            "tip": f"{bar.arm}, {name}: {wording.quantity(stop - begin, 's')}",
        }
        for index, bar in enumerate(bars)
        for name, (begin, stop) in [*((step.value, span) for step, span in bar.cluster.items()), *bar.phases.items()]
    ]
    ready = [
        {
            "at": bar.ready,
            "top": ROW * index + 20,
            "bottom": ROW * index + 48,
            "label": ROW * index + 12,
            "said": f"{bar.arm}: ready after {wording.quantity(bar.ready, 's')}",
        }
        for index, bar in enumerate(bars)
    ]
    base = theme.chart(found).encode(y=alt.Y("top:Q", axis=None, scale=down))
    fill = alt.Color(
        "name:N",
        legend=None,
        scale=alt.Scale(domain=[part.name for part in parts], range=[part.colour for part in parts]),
    )
    layers: list[theme.Layer] = [
        base.mark_rect(stroke=theme.PANEL, aria=True)
        .encode(x=alt.X("begin:Q", scale=across, axis=axis), x2="end:Q", y2="bottom:Q", color=fill, description="tip:N")
        .properties(name="part"),
        base.mark_text(baseline="middle", dy=10).encode(x="middle:Q", text="mark:N"),
        theme.chart(ready)
        .mark_rule(color=theme.INK, strokeWidth=1.5)
        .encode(x="at:Q", y=alt.Y("top:Q", scale=down), y2="bottom:Q"),
        theme.chart(ready)
        .mark_text(align="left", baseline="middle")
        .encode(x=alt.value(0), y=alt.Y("label:Q", scale=down), text="said:N")
        .properties(name=theme.HALO),
        *_key(parts, columns, room, (layout.width - room.left) // columns),
    ]
    return theme.drawing(layers, layout, height, room)


def _key(parts: Sequence[Part], columns: int, room: Room, column: int) -> list[theme.Layer]:
    """Write above the plot what each part is: its colour, its mark and its name."""
    found: list[theme.Layer] = []
    for place, part in enumerate(parts):
        x, y = column * (place % columns), -room.top + 16 + KEY_LINE * (place // columns)
        found += [
            theme.chart([{}])
            .mark_rect(color=part.colour)
            .encode(x=alt.value(x), x2=alt.value(x + 18), y=alt.value(y - 9), y2=alt.value(y + 9)),
            theme.words(x + 9, y, part.mark, align="center"),
            theme.words(x + 23, y, part.name),
        ]
    return found


def _bar(run: Mapping[str, Any], arm: str, mode: str) -> Bar | None:
    ready: list[float] = []
    spans: dict[str, list[tuple[float, float]]] = {}
    for trial in run["trials"]:
        if (trial["arm"], trial["kind"], trial["mode"]) != (arm, "start", mode) or not trial["counted"]:
            continue
        phases, seconds = trial["data"].get("phases"), _ready(trial)
        # A start that was not cold has no figure, and its phases are of another start-up.
        if not phases or seconds is None:
            continue
        ready.append(seconds)
        for phase in phases:
            if phase["name"] in list(DRAWN) and phase["end_seconds"] is not None:
                spans.setdefault(phase["name"], []).append((phase["begin_seconds"], phase["end_seconds"]))
    if not ready:
        return None
    middle = {
        name: (statistics.median(begin for begin, _ in found), statistics.median(end for _, end in found))
        for name, found in spans.items()
    }
    before = {step.name: (step.begin, step.end) for step in cluster_phases.steps(run, arm, mode) if step.name in BEFORE}
    return Bar(arm, mode, len(ready), middle, statistics.median(ready), before)


def _ready(trial: Mapping[str, Any]) -> float | None:
    name = "trained_ready_seconds" if trial["mode"] == "train" else "ready_seconds"
    found: float | None = trial["figures"].get(name, {}).get("value")
    return found


def _cluster_length(bar: Bar, step: ClusterPhase) -> str:
    if step not in bar.cluster:
        return "-"
    begin, end = bar.cluster[step]
    return wording.quantity(end - begin, "s")


def _length(bar: Bar, phase: Phase) -> str:
    if phase not in bar.phases:
        return "-"
    begin, end = bar.phases[phase]
    return wording.quantity(end - begin, "s")
