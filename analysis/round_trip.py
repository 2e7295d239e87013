# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The network between a load's client and its service: how long a TCP connection took before each load."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from analysis.figures import lookup, number_at
from analysis.run_store import RunFolder
from analysis.schema import Arm, Kind

NOT_TAKEN = "no load of this arm recorded how long a connection takes"


def of_arm(run: RunFolder, arm: str) -> dict[str, Any]:
    """Give one arm's round trips as they stand in ``run.json``.

    ``min_seconds`` is the best connection of the run, ``p50_seconds`` the median over loads of each load's median,
    ``n`` the connections of all ``loads``. All are null over loopback, where no network lies between.
    """
    if is_loopback(run.plan["arms"][arm]):
        return {**_summary([]), "loopback": True, "reason": None}
    records = [
        lookup(run.records.get(trial.id, {}), "facts", "ab_benchmark", "connect_seconds")
        for trial in run.trials
        if trial.kind is Kind.LOAD and trial.arm == Arm(arm)
    ]
    taken = [record for record in records if number_at(record, "min").value is not None]
    reasons = [why for record in records if isinstance(why := lookup(record, "reason"), str)]
    reason = None if taken else next(iter(reasons), NOT_TAKEN)
    return {**_summary(taken), "loopback": False, "reason": reason}


def is_loopback(described: Mapping[str, Any]) -> bool:
    """Whether an arm's client and service speak over one host's loopback, by the plan."""
    if described["host"] != described["load_host"]:
        return False
    try:
        host = urlsplit(str(described.get("url", ""))).hostname or "localhost"
    except ValueError:
        return False
    return host in ("localhost", "::1") or host.startswith("127.")


def _summary(taken: list[Mapping[str, Any]]) -> dict[str, Any]:
    best = [value for record in taken if (value := number_at(record, "min").value) is not None]
    medians = [value for record in taken if (value := number_at(record, "p50").value) is not None]
    return {
        "loads": len(taken),
        "n": sum(int(number_at(record, "n").value or 0) for record in taken),
        "min_seconds": min(best) if best else None,
        "p50_seconds": statistics.median(medians) if medians else None,
    }
