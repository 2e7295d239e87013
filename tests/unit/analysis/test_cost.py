# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of cost against figures worked out by hand, and against a slow search for the break-even."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import cost

BURSTS = cost.ServerPrice(hour=0.04, baseline_vcpus=0.4, surplus_vcpu_hour=0.05)
FLAT = cost.ServerPrice(hour=0.04)
FUNCTION = cost.PayPerUsePrice(request=0.2e-6, gb_second=0.00001, rounding_seconds=0.001)

money = st.floats(1e-4, 10)
seconds = st.floats(1e-3, 100)


@pytest.mark.parametrize(
    ("time", "billed"), [(0.0275, 0.028), (0.028, 0.028), (0.0000001, 0.001), (0.3, 0.3), (1.0001, 1.001), (4.6, 4.6)]
)
def test_a_time_is_billed_in_whole_units(time: float, billed: float) -> None:
    assert cost.billed_seconds(time, 0.001) == pytest.approx(billed, abs=1e-9)


def test_a_request_is_its_fee_and_its_gb_seconds() -> None:
    """The worked example of AWS: 60 million of 28 ms at 1 GB are 12 USD of fees and 28 USD of time."""
    price = cost.PayPerUsePrice(0.2e-6, 0.0000166667, 0.001)
    assert 60e6 * cost.per_request(price, 2**30, 0.02755) == pytest.approx(12 + 28, rel=1e-4)


def test_a_server_costs_its_hour_over_the_rate() -> None:
    assert cost.server_per_request(FLAT, 2.0, 9.9, 4.0) == pytest.approx(0.04 / 7200)


def test_cpu_above_the_baseline_costs_more_and_below_it_nothing() -> None:
    assert cost.server_hour(BURSTS, 0.4, 1.0) == 0.04
    assert cost.server_hour(BURSTS, 1.4, 1.0) == pytest.approx(0.04 + 0.05)


def test_more_than_one_server_can_answer_takes_more_servers() -> None:
    assert [cost.hosts(rate, 4.0) for rate in (0.1, 4.0, 4.001, 8.0, 8.1)] == [1, 1, 2, 2, 3]
    assert cost.server_per_request(FLAT, 5.0, 0.0, 4.0) == pytest.approx(2 * 0.04 / (5 * 3600))


def test_a_share_of_a_node_is_paid_whether_or_not_requests_come() -> None:
    assert cost.share_of_node(2, 2**32, 8, 2**33) == 0.5
    few, many = (cost.reserved_per_request(0.4, 0.5, rate, 10.0) * rate for rate in (0.01, 9.0))
    assert few == pytest.approx(many) == pytest.approx(0.2 / 3600)


def test_a_break_even_below_the_baseline_is_the_hour_over_a_request() -> None:
    """1 GB-second of 0.00001 and no fee: 0.036 an hour for each request a second."""
    assert cost.break_even_rate(BURSTS, 0.1, 0.00001) == pytest.approx(0.04 / 0.036)


def test_a_break_even_above_the_baseline_counts_the_surplus() -> None:
    """0.04 + 0.05 (0.5 r - 0.4) = 0.036 r at r = 0.02 / 0.011."""
    assert cost.break_even_rate(BURSTS, 0.5, 0.00001) == pytest.approx(0.02 / 0.011)


def test_there_is_none_where_a_requests_surplus_alone_costs_more_than_pay_per_use() -> None:
    assert cost.break_even_rate(BURSTS, 1.0, 0.00001) is None


@given(hour=money, baseline=st.floats(0, 4), surplus=st.floats(0, 1), cpu=seconds, request=st.floats(1e-8, 1e-2))
def test_the_break_even_is_where_the_costs_of_an_hour_meet(
    hour: float, baseline: float, surplus: float, cpu: float, request: float
) -> None:
    price = cost.ServerPrice(hour, baseline, surplus)
    rate = cost.break_even_rate(price, cpu, request)

    def server_is_dearer(at: float) -> bool:
        return cost.server_hour(price, at, cpu) > request * 3600 * at

    if rate is None:
        assert all(server_is_dearer(10.0**power) for power in range(-6, 7))
    else:
        assert math.isclose(cost.server_hour(price, rate, cpu), request * 3600 * rate, rel_tol=1e-6)
        assert server_is_dearer(rate * 0.99) and all(server_is_dearer(rate * share) for share in (0.001, 0.1, 0.5))


@given(capacity=st.floats(0.01, 1000))
def test_a_curves_rates_ascend_and_hold_each_whole_servers_capacity(capacity: float) -> None:
    rates = cost.rates(capacity)
    assert rates == sorted(set(rates))
    assert rates[0] == pytest.approx(capacity / 1000)
    assert any(math.isclose(rate, capacity) for rate in rates) and rates[-1] == pytest.approx(2 * capacity)


@given(time=seconds, more=st.floats(1.0, 10.0))
def test_a_longer_request_never_costs_less(time: float, more: float) -> None:
    assert cost.per_request(FUNCTION, 2**30, time * more) >= cost.per_request(FUNCTION, 2**30, time)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: cost.billed_seconds(0, 0.001),
        lambda: cost.hosts(0, 1),
        lambda: cost.hosts(1, 0),
        lambda: cost.break_even_rate(FLAT, 1, 0),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"above 0|more than 0"):
        wrong()  # type: ignore[operator]
