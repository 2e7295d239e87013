# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Steal: the share of a host's CPU time that its own host gave to other virtual machines while a trial was watched."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenkeel.counters import Figure

from analysis.figures import number_at, percent
from analysis.run_store import WATCHERS, RunFolder
from analysis.schema import Arm

MOST_SHARE = 0.01

NOT_COUNTED = "no watcher recorded the host's steal in any counted trial: the kernel does not count it, or nothing ran"


@dataclass(frozen=True)
class Stolen:
    """The share of one counted trial, 0 to 1, over its watcher's own window."""

    share: float
    trial: str
    arm: Arm


def share_of(facts: Mapping[str, Any]) -> Figure:
    """Give steal / CPU time of all CPUs in the watcher's window, of the first watcher that recorded it.

    Both are differences of /proc/stat's first line, proc(5): its eighth field, and the sum of the first eight.
    """
    for watcher in WATCHERS:
        stolen = number_at(facts, watcher, "window", "host_steal_seconds").value
        total = number_at(facts, watcher, "window", "host_cpu_seconds").value
        # A counter that ran backwards, as after the machine was moved, counts nothing.
        if stolen is not None and total is not None and 0 <= stolen <= total and total > 0:
            return Figure(value=stolen / total)
    return Figure(reason="no watcher of this trial recorded the host's steal")


def stolen(run: RunFolder) -> list[Stolen]:
    """List the shares of all counted trials that were watched, in the order of the plan."""
    found = [
        (share_of(run.records.get(trial.id, {}).get("facts", {})).value, trial) for trial in run.trials if trial.counted
    ]
    return [Stolen(share, trial.id, trial.arm) for share, trial in found if share is not None]


def worst(shares: Sequence[Stolen]) -> Stolen | None:
    """Give the trial with the largest share; the first of those that are equal, None without any."""
    return max(shares, key=lambda one: one.share, default=None)


def as_json(shares: Sequence[Stolen]) -> dict[str, Any]:
    """Give one arm's shares as they stand in ``run.json``."""
    largest = worst(shares)
    return {
        "n": len(shares),
        "median": statistics.median(one.share for one in shares) if shares else None,
        "max": None if largest is None else largest.share,
        "max_trial": None if largest is None else largest.trial,
        "passed": sum(one.share > MOST_SHARE for one in shares),
        "reason": None if shares else NOT_COUNTED,
    }


def sentence(share: float, trial: str, arm: str) -> str:
    """Say how much was stolen at worst, as the verdict and the caution do."""
    return (
        f"Steal passed {percent(MOST_SHARE)}: {percent(share, 1)} of the CPU time of the {arm} arm's host went to "
        f"other virtual machines in {trial}"
    )
