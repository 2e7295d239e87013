# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether a start on a cluster was cold, by what the cluster showed. Those that were not are rejected and counted.

A rejected start has no start-up figures, and its pair is left out of their comparison: it is no sample of a cold start.
What was measured afterwards, on the service that it began, stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.figures import lookup
from analysis.run_store import RunFolder
from analysis.schema import CLUSTERS, Kind

# How the reason of a figure begins that a start which was not cold does not have.
NOT_COUNTED = "the start is not counted"


@dataclass(frozen=True)
class ColdStarts:
    """The counted starts of a run's arms on clusters: how many there are, and why which of them are rejected."""

    starts: int
    rejected: Mapping[str, tuple[str, ...]]

    def as_json(self) -> dict[str, Any]:
        """Give them as they stand in ``run.json``."""
        return {
            "starts": self.starts,
            "rejected": [{"trial": name, "reasons": list(reasons)} for name, reasons in self.rejected.items()],
        }


def rejection(platform: str, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the reasons why a start is no cold start; none where it is, or where no cluster is there to tell."""
    if platform not in CLUSTERS:
        return ()
    seen = lookup(facts, "pod_phases")
    if not isinstance(seen, Mapping):
        return ("not_cold: the cluster was not watched, so that nothing shows that the start was cold",)
    if seen.get("valid") is True:
        return ()
    reasons = lookup(seen, "invalid_reasons")
    listed = tuple(str(reason) for reason in reasons) if isinstance(reasons, list) else ()
    return listed or ("not_cold: the watch of the cluster called the start invalid without a reason",)


def on_cluster(run: RunFolder) -> bool:
    """Whether any arm of the run is on a cluster."""
    return any(described["platform"] in CLUSTERS for described in run.plan["arms"].values())


def cold_starts(run: RunFolder) -> ColdStarts:
    """Judge every counted start of the arms on clusters that has a record."""
    judged = {
        trial.id: rejection(run.plan["arms"][trial.arm]["platform"], run.records[trial.id]["facts"])
        for trial in run.trials
        if trial.kind is Kind.START
        and trial.counted
        and trial.id in run.records
        and run.plan["arms"][trial.arm]["platform"] in CLUSTERS
    }
    return ColdStarts(len(judged), {name: reasons for name, reasons in judged.items() if reasons})
