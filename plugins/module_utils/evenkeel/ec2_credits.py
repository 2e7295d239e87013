# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""CPU credits of a burstable EC2 instance, by CloudWatch: what is asked for and what it says of a window. Pure.

Source: Amazon EC2 User Guide, "CloudWatch metrics that are available for your instances", CPU credit metrics: namespace
AWS/EC2, dimension InstanceId, a data point every five minutes and no finer, in credits. One credit is one vCPU at 100 %
for one minute. Surplus credits are spent, in unlimited mode alone, while the balance is zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

NAMESPACE = "AWS/EC2"
PERIOD_SECONDS = 300
PERIODS_BEFORE = 12
BALANCE = "CPUCreditBalance"
SURPLUS = "CPUSurplusCreditBalance"
USAGE = "CPUCreditUsage"
CHARGED = "CPUSurplusCreditsCharged"
# The statistic of each: the least balance, the most surplus, what was used and charged in all.
METRICS = {BALANCE: "Minimum", SURPLUS: "Maximum", USAGE: "Sum", CHARGED: "Sum"}

Points = Mapping[str, Sequence[Sequence[float]]]

# What is known where nothing is.
NOTHING: dict[str, Any] = {
    "balance_begin": None,
    "balance_end": None,
    "balance_min": None,
    "surplus_max": None,
    "usage": None,
    "charged": None,
    "complete": False,
    "ran_out": None,
    "reason": None,
}


def queries(instance_id: str) -> list[dict[str, Any]]:
    """``MetricDataQueries`` of GetMetricData, one a metric; the id of each is its metric with a small first letter."""
    return [
        {
            "Id": query_id(metric),
            "MetricStat": {
                "Metric": {
                    "Namespace": NAMESPACE,
                    "MetricName": metric,
                    "Dimensions": [{"Name": "InstanceId", "Value": instance_id}],
                },
                "Period": PERIOD_SECONDS,
                "Stat": statistic,
            },
        }
        for metric, statistic in METRICS.items()
    ]


def query_id(metric: str) -> str:
    """An id that GetMetricData takes: it must begin with a small letter."""
    return metric[0].lower() + metric[1:]


def asked_window(start: float, end: float) -> tuple[int, int]:
    """The Unix times to ask for: whole periods around [start, end], and those of the hour before.

    They have the balance that the window began with, and tell an instance without credits from one whose data points
    are late.
    """
    return (
        (math.floor(start / PERIOD_SECONDS) - PERIODS_BEFORE) * PERIOD_SECONDS,
        math.ceil(end / PERIOD_SECONDS) * PERIOD_SECONDS,
    )


def covers_end(points: Points, end: float) -> bool:
    """Whether the newest balance is of the period that ``end`` lies in, or that is over just then."""
    balance = points.get(BALANCE) or []
    return bool(balance) and max(moment for moment, _ in balance) + PERIOD_SECONDS >= end


def judge(points: Points, start: float, end: float) -> dict[str, Any]:
    """The credits of the window [start, end], Unix times, as in NOTHING; a data point is of the period it begins.

    ``ran_out``: the balance reached 0, or surplus credits were spent or charged. ``balance_begin`` is the newest
    balance of a period that was over at ``start``, or the window's first one. ``complete`` where the data points reach
    the window's end.
    """
    during = {metric: _during(points.get(metric) or [], start, end) for metric in METRICS}
    balance = during[BALANCE]
    if not balance:
        return {
            **NOTHING,
            "reason": "CloudWatch has no CPUCreditBalance of this time: it lags by 5 to 10 minutes, and an instance "
            "that is not burstable has none",
        }
    before = [value for moment, value in _ascending(points[BALANCE]) if moment + PERIOD_SECONDS <= start]
    lowest = min(balance)
    most = max(during[SURPLUS], default=None)
    charged = _sum(during[CHARGED])
    return {
        "balance_begin": before[-1] if before else balance[0],
        "balance_end": balance[-1],
        "balance_min": lowest,
        "surplus_max": most,
        "usage": _sum(during[USAGE]),
        "charged": charged,
        "complete": covers_end(points, end),
        "ran_out": lowest <= 0 or (most or 0) > 0 or (charged or 0) > 0,
        "reason": None,
    }


def _during(pairs: Sequence[Sequence[float]], start: float, end: float) -> list[float]:
    """The values of the periods that overlap the window, in order of time."""
    return [value for moment, value in _ascending(pairs) if moment < end and moment + PERIOD_SECONDS > start]


def _ascending(pairs: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    return sorted(pairs, key=lambda pair: pair[0])


def _sum(values: Sequence[float]) -> float | None:
    return sum(values) if values else None
