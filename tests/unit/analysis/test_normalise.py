# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The study's own data, and the two formulas by which a duration is normalised."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import normalise


def test_the_factors_below_which_the_studys_own_verdict_flips() -> None:
    found = {row["name"].split(",")[0]: round(row["break_even_factor"], 1) for row in normalise.by_itself()}
    assert found == {"Start-up": 10.8, "Average response": 6.3}
    assert all(row["break_even_factor"] < row["factor"] == 16 for row in normalise.by_itself())


@pytest.mark.parametrize(
    ("whole", "part", "factor", "expected"), [(10, 8, 2, 18), (10, 8, 1, 10), (10, 0, 5, 10), (10, 12, 0.5, 5)]
)
def test_only_the_part_in_which_the_network_computes_is_scaled(
    whole: float, part: float, factor: float, expected: float
) -> None:
    assert normalise.scaled(whole, part, factor) == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [(-1, 0, 1), (1, -1, 1), (1, 1, 0)])
def test_what_is_no_time_or_factor_is_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="a factor above 0"):
        normalise.scaled(*wrong)


def test_the_studys_load_waits_for_1_8_evaluations() -> None:
    assert normalise.evaluations_waited(10, 2) == pytest.approx(1.8)
    assert normalise.evaluations_waited(10, 1) == 1.0


def simulated(requests: int, concurrency: int) -> float:
    """A queue of one evaluation a unit of time: the first request alone, then always `concurrency` of them."""
    waits, waiting, sent, now = [1], deque[int](), 1, 1
    while len(waits) < requests:
        while len(waiting) < concurrency and sent < requests:
            waiting.append(now)
            sent += 1
        now += 1
        waits.append(now - waiting.popleft())
    return sum(waits) / requests


@given(st.integers(1, 60), st.integers(1, 12))
def test_the_mean_number_of_evaluations_is_that_of_a_simulated_queue(requests: int, concurrency: int) -> None:
    assert normalise.evaluations_waited(requests, concurrency) == pytest.approx(simulated(requests, concurrency))


@pytest.mark.parametrize("wrong", [(0, 1), (1, 0)])
def test_a_load_without_requests_is_refused(wrong: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least one request"):
        normalise.evaluations_waited(*wrong)
