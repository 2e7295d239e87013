# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The CPU credits of an arm's EC2 instance: what the run found, used and left, and whether they ran out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evenkeel import ec2_credits

from analysis.figures import lookup
from analysis.run_store import RunFolder


def of_arm(run: RunFolder, host: str) -> dict[str, Any] | None:
    """Give the credits of one arm's host as they stand in ``run.json``; None where it is no EC2 instance.

    They are computed again from CloudWatch's data points. Not measured is null with a reason.
    """
    records = run.credits.get(host)
    if not records:
        return None
    record = records.get("after", {"failure": "they were not read after the run, which ended before"})
    failure = lookup(record, "failure")
    points = _points(lookup(record, "points"))
    start, end = (lookup(record, f"{edge}_epoch_seconds") for edge in ("start", "end"))
    if isinstance(failure, str) or not isinstance(start, int | float) or not isinstance(end, int | float):
        reason = failure if isinstance(failure, str) else "the record of the credits holds no window"
        judged = {**ec2_credits.NOTHING, "reason": reason}
    else:
        judged = ec2_credits.judge(points, float(start), float(end))
    return {key: _text(lookup(record, key)) for key in ("instance_id", "region")} | judged


def sentence(found: Mapping[str, Any], arm: str) -> str:
    """Say that the credits of an arm's instance ran out, as the verdict and the caution do."""
    surplus = ", and surplus credits were spent" if found["surplus_max"] or found["charged"] else ""
    return (
        f"CPU credits ran out on the {arm} arm's instance {found['instance_id'] or 'without a name'}: the balance fell "
        f"to {found['balance_min']:g}{surplus}"
    )


def _points(found: object) -> dict[str, list[list[float]]]:
    """Give each metric's pairs of Unix time and credits; those that are no two numbers are left out."""
    lists = {metric: lookup(found, metric) for metric in ec2_credits.METRICS}
    return {
        metric: [pair for pair in pairs if _is_pair(pair)] for metric, pairs in lists.items() if isinstance(pairs, list)
    }


def _is_pair(pair: object) -> bool:
    numbers = pair if isinstance(pair, list) else []
    return len(numbers) == 2 and all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers)


def _text(found: object) -> str | None:
    return found if isinstance(found, str) else None
