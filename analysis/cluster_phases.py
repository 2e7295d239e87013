# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What a cluster did in the starts of a run, step by step: medians, from the content of ``run.json``."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis import wording
from analysis.schema import Arm, ClusterPhase, Kind
from analysis.table import Table

MODES = {"train": "model trained", "load": "model loaded"}


@dataclass(frozen=True)
class Step:
    """One phase of the cluster over the cold starts of an arm: medians in seconds since the start command."""

    name: ClusterPhase
    begin: float
    end: float
    starts: int
    sources: tuple[str, ...]
    resolution: float | None


def steps(run: Mapping[str, Any], arm: str, mode: str) -> list[Step]:
    """Give the cluster's phases of an arm's counted cold starts of one way of starting, in the order they happen."""
    found: dict[str, list[tuple[float, Mapping[str, Any]]]] = {}
    for trial in run["trials"]:
        seen = trial["data"].get("pod_phases")
        if (trial["arm"], trial["kind"], trial["mode"]) != (arm, Kind.START, mode) or not trial["counted"] or not seen:
            continue
        if seen.get("valid") is not True:
            continue
        for phase in seen.get("phases") or ():
            if phase["end_seconds"] is not None:
                found.setdefault(phase["name"], []).append((seen["lead_seconds"], phase))
    return [_step(name, found[name]) for name in ClusterPhase if name in found]


def table(run: Mapping[str, Any], mode: str) -> Table | None:
    """Lay out those phases of every arm; None where the cluster was watched in no such start."""
    rows = [
        (
            arm.value,
            step.name.value,
            wording.quantity(step.begin, "s"),
            wording.quantity(step.end, "s"),
            wording.quantity(step.end - step.begin, "s"),
            str(step.starts),
            " and ".join(step.sources) or "not said",
            wording.quantity(step.resolution, "s"),
        )
        for arm in Arm
        for step in steps(run, arm, mode)
    ]
    headers = ("Arm", "Phase", "Begin", "End", "Length", "Starts", "Source", "Resolution")
    return (
        Table(f"What the cluster did in a start, {MODES[mode]}", headers, tuple(rows), frozenset({2, 3, 4, 5, 7}))
        if rows
        else None
    )


def image_sentence(run: Mapping[str, Any]) -> str:
    """Say in how many of the cold starts the image was pulled, and in how many it was on the node."""
    seen = [trial["data"].get("pod_phases") for trial in run["trials"] if trial["counted"]]
    answers = [one.get("image_pulled") for one in seen if one and one.get("valid") is True]
    counts = {
        "pulled it": answers.count(True),
        "had it": answers.count(False),
        "did not say": answers.count(None),
    }
    said = ", ".join(f"{what} in {count}" for what, count in counts.items() if count)
    return f" The image: the node {said}." if said else ""


def _step(name: ClusterPhase, found: Sequence[tuple[float, Mapping[str, Any]]]) -> Step:
    resolutions = [phase["resolution_seconds"] for _, phase in found if phase.get("resolution_seconds") is not None]
    return Step(
        name=name,
        begin=statistics.median(lead + phase["begin_seconds"] for lead, phase in found),
        end=statistics.median(lead + phase["end_seconds"] for lead, phase in found),
        starts=len(found),
        sources=tuple(sorted({phase["source"] for _, phase in found if phase.get("source")})),
        resolution=max(resolutions, default=None),
    )
