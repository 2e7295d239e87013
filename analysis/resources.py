# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What an arm on a cluster uses, in parts never mixed: the function's pod, OpenFaaS's own pods, the whole node.

The node is given as it is, and less its own idle baseline of the same run: what a load added to all of it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenkeel.counters import Figure

from analysis import watched
from analysis.clocks import Window
from analysis.figures import lookup, summary
from analysis.run_store import RunFolder
from analysis.schema import CLUSTERS, Arm, Kind, Part
from analysis.watched import Watched

Facts = Mapping[str, Any]

TITLES: Mapping[Part, str] = {
    Part.FUNCTION: "The function's pod",
    Part.OPENFAAS: "OpenFaaS's own pods",
    Part.NODE: "The whole node",
    Part.NODE_LESS_IDLE: "The whole node less its idle baseline",
}
STATES: Mapping[str, Kind] = {"idle": Kind.IDLE, "busy": Kind.LOAD}

# What of one watcher a figure is of, inside a window.
Reading = Callable[[Watched | None, Window | None], Figure]


@dataclass(frozen=True)
class _Side:
    """One arm on a cluster: its counted trials' facts, by kind."""

    arm: Arm
    platform: str
    facts: Mapping[Kind, Sequence[Facts]]

    def figures(self, part: Part, state: str, read: Reading) -> list[Figure]:
        """Give one figure a counted trial; a single one, with a reason, where there can be none."""
        kind = STATES[state]
        if part is not Part.NODE_LESS_IDLE:
            found = [_figure(facts, kind, self.platform, part, read) for facts in self.facts[kind]]
            return found or [Figure(reason=f"the run has no counted {kind.value} trial of this arm")]
        if kind is Kind.IDLE:
            return [Figure(reason="the idle node is the baseline itself")]
        idle = self.figures(Part.NODE, "idle", read)
        values = [figure.value for figure in idle if figure.value is not None]
        if len(values) < len(idle):
            why = next((figure.reason for figure in idle if figure.reason), "it is below what the counter can show")
            return [Figure(reason=f"there is no idle baseline: {why}")]
        baseline = statistics.median(values)
        whole = self.figures(Part.NODE, state, read)
        return [figure if figure.value is None else Figure(value=figure.value - baseline) for figure in whole]

    def row(self, part: Part, state: str) -> dict[str, Any]:
        """Give one part, idle or busy, as it stands in ``run.json``."""
        cores, memory = (self.figures(part, state, read) for read in (watched.cores_of, watched.memory_of))
        return {
            "arm": self.arm.value,
            "state": state,
            "part": part.value,
            "title": TITLES[part],
            "cpu_cores": summary(cores),
            "cpu_reason": _reason(cores),
            "memory_bytes": summary(memory),
            "memory_reason": _reason(memory),
        }


def resources(run: RunFolder) -> list[dict[str, Any]]:
    """Give every part of every arm on a cluster, idle and busy."""
    sides = [
        _Side(Arm(arm), described["platform"], {kind: _facts(run, Arm(arm), kind) for kind in STATES.values()})
        for arm, described in sorted(run.plan["arms"].items())
        if described["platform"] in CLUSTERS
    ]
    return [side.row(part, state) for side in sides for part in Part for state in STATES]


def _facts(run: RunFolder, arm: Arm, kind: Kind) -> list[Facts]:
    return [
        run.records[trial.id]["facts"]
        for trial in run.trials
        if trial.arm is arm and trial.kind is kind and trial.counted and trial.id in run.records
    ]


def _figure(facts: Facts, kind: Kind, platform: str, part: Part, read: Reading) -> Figure:
    if part is Part.NODE:
        parts: list[Watched | None] = [*watched.nodes(facts)]
    else:
        group = watched.group(facts, part.value)
        parts = [] if group is None else [group]
    if not parts:
        return Figure(reason=_why_unwatched(facts, platform, part))
    return _added(
        [read(one, watched.own_window(one) if kind is Kind.IDLE else watched.load_window(facts)) for one in parts]
    )


def _added(figures: Sequence[Figure]) -> Figure:
    """Add up several nodes; where one has no value there is no sum."""
    if len(figures) == 1:
        return figures[0]
    values = [figure.value for figure in figures if figure.value is not None]
    if len(values) == len(figures):
        return Figure(value=sum(values))
    return Figure(
        reason=next((one.reason for one in figures if one.reason), "a node is below what its counter can show")
    )


def _why_unwatched(facts: Facts, platform: str, part: Part) -> str:
    watcher = "docker_stats" if part is Part.NODE else "pod_stats"
    for key in ("unwatched", f"{watcher}_failure"):
        said = lookup(facts, key)
        if isinstance(said, str):
            return said
    if part is not Part.NODE:
        return f"no group {part.value} of pods was watched"
    if platform == "kubernetes":
        return (
            "the nodes of an existing cluster are no containers of this host, and nothing here counts all that they use"
        )
    return "the container that is the cluster's node was not watched"


def _reason(figures: Sequence[Figure]) -> str | None:
    """Say why figures are missing; None where none is."""
    missing = [figure.reason for figure in figures if figure.reason is not None]
    if not missing:
        return None
    return missing[0] if len(missing) == len(figures) else f"{len(missing)} of {len(figures)} trials: {missing[0]}"
