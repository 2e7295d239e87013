# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import random

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from analysis import statistics


def test_order_statistics_are_nearest_ranks() -> None:
    sample = [float(value) for value in range(1, 101)]
    assert [statistics.order_statistic(sample, share) for share in (0.07, 0.5, 0.95, 1.0)] == [7.0, 50.0, 95.0, 100.0]
    assert statistics.order_statistic([3.0], 0.5) == 3.0


@pytest.mark.parametrize(("sample", "fraction"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.5)])
def test_a_quantile_of_nothing_is_refused(sample: list[float], fraction: float) -> None:
    with pytest.raises(ValueError, match="quantile"):
        statistics.order_statistic(sample, fraction)


def test_the_smallest_samples_for_percentiles() -> None:
    smallest = [statistics.smallest_sample_for_quantile(share) for share in (0.5, 0.75, 0.9, 0.95, 0.99)]
    assert smallest == [5, 11, 29, 59, 299]


def binomial_at_most(count: int, fraction: float, most: int) -> float:
    """P(B <= most), term by term."""
    return sum(math.comb(count, k) * fraction**k * (1 - fraction) ** (count - k) for k in range(most + 1))


def slow_interval(sample: list[float], fraction: float, level: float) -> tuple[float, float, float] | None:
    """Try every rank: the largest low and the smallest high that leave at most half of the rest outside."""
    count, tail = len(sample), (1 - level) / 2
    lows = [rank for rank in range(1, count + 1) if binomial_at_most(count, fraction, rank - 1) <= tail]
    highs = [rank for rank in range(1, count + 1) if 1 - binomial_at_most(count, fraction, rank - 1) <= tail]
    if not lows or not highs:
        return None
    low, high = lows[-1], highs[0]
    attained = binomial_at_most(count, fraction, high - 1) - binomial_at_most(count, fraction, low - 1)
    return sample[low - 1], sample[high - 1], attained


@given(
    st.lists(st.floats(0, 100).map(lambda value: round(value, 2)), min_size=1, max_size=60).map(sorted),
    st.sampled_from([0.1, 0.37, 0.5, 0.75, 0.9, 0.95]),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_the_interval_of_a_quantile_is_the_slow_one(sample: list[float], fraction: float, level: float) -> None:
    found, slow = statistics.quantile_interval(sample, fraction, level), slow_interval(sample, fraction, level)
    assert (found is None) == (slow is None)
    if found is not None and slow is not None:
        assert (found.low, found.high) == slow[:2]
        assert found.level == pytest.approx(slow[2])
        assert found.level >= level - 1e-12


@pytest.mark.parametrize(("count", "fraction"), [(6, 0.5), (10, 0.5), (73, 0.9), (100, 0.9), (100, 0.95), (400, 0.99)])
def test_the_interval_of_a_quantile_is_that_of_scipy(count: int, fraction: float) -> None:
    chance = random.Random(count)
    sample = sorted(chance.lognormvariate(0, 1) for _ in range(count))
    expected = scipy.stats.quantile_test(sample, p=fraction).confidence_interval(0.95)
    found = statistics.quantile_interval(sample, fraction, 0.95)
    if math.isnan(expected.low) or math.isnan(expected.high):
        assert found is None
    else:
        assert found is not None
        assert (found.low, found.high) == (expected.low, expected.high)


def test_ten_values_give_the_second_and_the_ninth_for_the_median() -> None:
    found = statistics.quantile_interval([float(value) for value in range(1, 11)], 0.5, 0.95)
    assert found is not None and (found.low, found.high) == (2.0, 9.0)


def test_too_small_a_sample_has_no_interval_of_a_quantile() -> None:
    assert statistics.quantile_interval([1.0] * 5, 0.5, 0.95) is None
    assert statistics.quantile_interval([1.0] * 71, 0.95, 0.95) is None
    assert statistics.quantile_interval([1.0] * 72, 0.95, 0.95) is not None
    assert statistics.quantile_interval([], 0.5, 0.95) is None


@pytest.mark.parametrize(("fraction", "level"), [(0.0, 0.95), (1.0, 0.95), (0.5, 1.0)])
def test_a_fraction_or_level_that_is_none_is_refused(fraction: float, level: float) -> None:
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        statistics.quantile_interval([1.0, 2.0], fraction, level)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 5)), min_size=1, max_size=20), st.floats(0.01, 1))
def test_a_weight_is_how_often_a_value_stands_in_the_sample(weighted: list[tuple[float, int]], fraction: float) -> None:
    weighted.sort()
    values, weights = zip(*weighted, strict=True)
    repeated = [value for value, weight in weighted for _ in range(weight)]
    assert statistics.order_statistic(values, fraction, weights) == statistics.order_statistic(repeated, fraction)
