# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.ec2_credits: what is asked of CloudWatch, and what its data points say of a window."""

from __future__ import annotations

from typing import Any

import pytest
from evenkeel import ec2_credits
from evenkeel.ec2_credits import BALANCE, CHARGED, SURPLUS, USAGE, judge

# A window of the second and third five minutes, and a part of the fourth.
START, END = 600.0, 1300.0


def test_every_metric_is_asked_for_by_its_own_statistic() -> None:
    asked = ec2_credits.queries("i-1")
    assert {query["MetricStat"]["Metric"]["MetricName"]: query["MetricStat"]["Stat"] for query in asked} == {
        "CPUCreditBalance": "Minimum",
        "CPUSurplusCreditBalance": "Maximum",
        "CPUCreditUsage": "Sum",
        "CPUSurplusCreditsCharged": "Sum",
    }
    for query in asked:
        assert query["MetricStat"]["Period"] == 300
        assert query["MetricStat"]["Metric"]["Namespace"] == "AWS/EC2"
        assert query["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "InstanceId", "Value": "i-1"}]
        assert query["Id"][0].islower()


def test_whole_periods_and_the_hour_before_are_asked_for() -> None:
    assert ec2_credits.asked_window(36010.0, 36310.0) == (36000 - 3600, 36600)
    assert ec2_credits.asked_window(36000.0, 36300.0) == (36000 - 3600, 36300)


@pytest.mark.parametrize(("newest", "covered"), [(1200.0, True), (1000.0, True), (900.0, False), (None, False)])
def test_the_end_is_covered_by_a_period_that_reaches_it(newest: float | None, covered: bool) -> None:
    points = {BALANCE: [] if newest is None else [[newest, 5.0], [300.0, 6.0]]}
    assert ec2_credits.covers_end(points, END) is covered


def test_a_window_has_the_balance_before_it_and_its_least() -> None:
    points = {
        BALANCE: [[1200.0, 7.0], [0.0, 9.0], [300.0, 10.0], [600.0, 6.0], [900.0, 8.0], [1500.0, 1.0]],
        USAGE: [[300.0, 100.0], [600.0, 1.5], [900.0, 2.0], [1200.0, 0.5], [1500.0, 100.0]],
        SURPLUS: [[600.0, 0.0]],
    }
    assert judge(points, START, END) == {
        "balance_begin": 10.0,
        "balance_end": 7.0,
        "balance_min": 6.0,
        "surplus_max": 0.0,
        "usage": 4.0,
        "charged": None,
        "complete": True,
        "ran_out": False,
        "reason": None,
    }


def test_without_an_earlier_one_the_first_balance_begins_it() -> None:
    found = judge({BALANCE: [[600.0, 6.0], [900.0, 5.0]]}, START, END)
    assert (found["balance_begin"], found["balance_end"], found["complete"]) == (6.0, 5.0, False)


@pytest.mark.parametrize(
    ("points", "ran_out"),
    [
        ({BALANCE: [[600.0, 0.0]]}, True),
        ({BALANCE: [[600.0, 0.1]]}, False),
        ({BALANCE: [[300.0, 0.0], [600.0, 3.0], [1500.0, 0.0]]}, False),
        ({BALANCE: [[600.0, 1.0]], SURPLUS: [[900.0, 0.5]]}, True),
        ({BALANCE: [[600.0, 1.0]], CHARGED: [[900.0, 0.5]]}, True),
        ({BALANCE: [[600.0, 1.0]], CHARGED: [[1500.0, 0.5]]}, False),
    ],
)
def test_credits_ran_out_where_the_windows_balance_was_0_or_surplus_was_spent(
    points: dict[str, Any], ran_out: bool
) -> None:
    assert judge(points, START, END)["ran_out"] is ran_out


@pytest.mark.parametrize("points", [{}, {BALANCE: []}, {BALANCE: [[300.0, 5.0], [1300.0, 5.0]]}])
def test_no_data_point_is_not_measured(points: dict[str, Any]) -> None:
    found = judge(points, START, END)
    assert found["reason"].startswith("CloudWatch has no CPUCreditBalance of this time")
    assert {found[key] for key in ("balance_min", "usage", "ran_out")} == {None}
