# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import random
import statistics as plain

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import statistics


def inversions(values: tuple[float, ...] | list[float]) -> int:
    return sum(first > second for first, second in itertools.combinations(values, 2))


def permuted_p(values: list[float]) -> float:
    """Try every order of the values."""
    counts = [inversions(order) for order in itertools.permutations(values)]
    observed = inversions(values)
    lower = sum(count <= observed for count in counts)
    upper = sum(count >= observed for count in counts)
    return min(1.0, 2 * min(lower, upper) / len(counts))


@given(st.lists(st.integers(0, 4).map(float), min_size=2, max_size=7))
@settings(max_examples=60)
def test_p_is_that_of_every_order_ties_included(values: list[float]) -> None:
    assert statistics.kendall_p(values) == pytest.approx(permuted_p(values))


@pytest.mark.parametrize("count", [5, 8, 12, 20, 50])
def test_p_is_that_of_scipy_without_ties(count: int) -> None:
    chance = random.Random(count)
    values = [chance.random() for _ in range(count)]
    expected = scipy.stats.kendalltau(range(count), values, method="exact").pvalue
    assert statistics.kendall_p(values) == pytest.approx(expected, rel=1e-9)


def test_scipy_still_refuses_ties() -> None:
    """Why the exact p is our own. Where scipy takes ties, this fails, and ours can go."""
    with pytest.raises(ValueError, match="Ties"):
        scipy.stats.kendalltau([1, 2, 3, 4], [1, 2, 2, 3], method="exact")


@given(st.lists(st.integers(0, 9).map(float), min_size=5, max_size=12).filter(lambda values: len(set(values)) > 1))
def test_tau_and_slope_are_those_of_every_pair(values: list[float]) -> None:
    found = statistics.drift(values)
    assert found is not None
    pairs = list(itertools.combinations(range(len(values)), 2))
    slopes = [(values[j] - values[i]) / (j - i) for i, j in pairs]
    assert found.slope == pytest.approx(plain.median(slopes))
    balance = sum((slope > 0) - (slope < 0) for slope in slopes)
    untied = sum(slope != 0 for slope in slopes)
    assert found.tau == pytest.approx(balance / (untied * len(pairs)) ** 0.5)


def test_a_rise_is_found_and_its_slope_too() -> None:
    found = statistics.drift([0.01 * step for step in range(10)])
    assert found is not None
    assert (found.tau, found.slope) == (pytest.approx(1), pytest.approx(0.01))
    assert found.p == pytest.approx(2 / 3628800)


def test_equal_values_do_not_drift_and_few_cannot() -> None:
    assert statistics.drift([3.0] * 6) == statistics.Drift(0.0, 1.0, 0.0)
    assert statistics.drift([1.0, 2.0, 3.0, 4.0]) is None


def test_many_blocks_take_the_normal_approximation() -> None:
    found = statistics.drift([(step * 37) % 101 / 101 for step in range(101)])
    assert found is not None and 0 < found.p <= 1
