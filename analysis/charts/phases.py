# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Chart: where the time of a start-up goes, one bar an arm and way of starting."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis import cluster_phases, wording
from analysis.charts import scale, svg
from analysis.charts.chart import Chart
from analysis.cluster_phases import MODES
from analysis.schema import ClusterPhase, Phase
from analysis.table import Table

WIDTH, LEFT, TOP, ROW = 520.0, 24.0, 62.0, 48.0
ARMS = ("server", "serverless")
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


def phases(run: Mapping[str, Any]) -> list[Chart]:
    """Draw one chart a way of starting, since training is longer than loading by far."""
    bars = [bar for mode in MODES for arm in ARMS if (bar := _bar(run, arm, mode)) is not None]
    return [_chart(mode, found) for mode in MODES if (found := [bar for bar in bars if bar.mode == mode])]


def _chart(mode: str, bars: Sequence[Bar]) -> Chart:
    across = scale.linear([bar.ready for bar in bars], LEFT, WIDTH - 20, from_zero=True)
    present = [phase for phase in DRAWN if any(phase in bar.phases for bar in bars)]
    before = [phase for phase in BEFORE if any(phase in bar.cluster for bar in bars)]
    top = TOP + 22 * max(0, -(-len([*present, *before]) // 3) - 2)
    bottom = top + ROW * len(bars)
    parts = [
        *_key(present, before),
        *scale.bottom_axis(across, scale.ticks(0, across.high), bottom, "seconds since the start command", top=top),
    ]
    for index, bar in enumerate(bars):
        y = top + ROW * index
        count = "one start" if bar.starts == 1 else f"median of {bar.starts} starts"
        parts.append(
            svg.text(LEFT, y + 14, f"{bar.arm}: ready after {wording.quantity(bar.ready, 's')} ({count})", "label halo")
        )
        for step, (begin, end) in bar.cluster.items():
            left, right = across(begin), across(end)
            parts.append(svg.rectangle(left, y + 20, right - left, 20, "phase cluster"))
            if right - left > 16:
                parts.append(svg.text((left + right) / 2, y + 35, BEFORE[step], "label on-phase", "middle"))
        for name, (begin, end) in bar.phases.items():
            left, right = across(begin), across(end)
            parts.append(svg.rectangle(left, y + 20, right - left, 20, f"phase {name}"))
            if right - left > 16:
                parts.append(
                    svg.text((left + right) / 2, y + 35, str(DRAWN.index(Phase(name)) + 1), "label on-phase", "middle")
                )
        parts.append(svg.line((across(bar.ready), y + 16), (across(bar.ready), y + 44), "one"))
    return Chart(
        id=f"phases-{mode}",
        title=f"Where does a start-up go: {MODES[mode]}",
        reading=(
            "A bar is a start-up, its parts the phases as the service stamped them; the line at its end is ready, as "
            "seen from outside. "
            "A gap between parts is time the service does not account for. Medians over starts."
            f"{' Lettered parts are of the cluster, before the service has a process.' if before else ''}"
        ),
        svg=svg.drawing(WIDTH, bottom + 46, f"Phases of a start-up, {MODES[mode]}, for each arm", parts),
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


def _key(present: Sequence[Phase], before: Sequence[ClusterPhase]) -> list[str]:
    parts = []
    keys = [
        *(("cluster", BEFORE[step], step.value) for step in before),
        *((phase.value, str(DRAWN.index(phase) + 1), phase.value) for phase in present),
    ]
    for place, (colour, mark, name) in enumerate(keys):
        x, y = LEFT + 165 * (place % 3), 14 + 22 * (place // 3)
        parts += [
            svg.rectangle(x, y - 12, 18, 16, f"phase {colour}"),
            svg.text(x + 9, y + 1, mark, "label on-phase", "middle"),
            svg.text(x + 24, y + 1, name),
        ]
    return parts


def _bar(run: Mapping[str, Any], arm: str, mode: str) -> Bar | None:
    starts = [
        trial
        for trial in run["trials"]
        if (trial["arm"], trial["kind"], trial["mode"]) == (arm, "start", mode)
        and trial["counted"]
        and trial["data"].get("phases")
    ]
    spans: dict[str, list[tuple[float, float]]] = {}
    for trial in starts:
        for phase in trial["data"]["phases"]:
            if phase["name"] in list(DRAWN) and phase["end_seconds"] is not None:
                spans.setdefault(phase["name"], []).append((phase["begin_seconds"], phase["end_seconds"]))
    ready = [value for trial in starts if (value := _ready(trial)) is not None]
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
