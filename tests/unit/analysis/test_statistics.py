# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import math
import random

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import statistics

FINITE = st.floats(-100, 100, allow_nan=False).map(lambda value: round(value, 3))
SAMPLES = st.lists(FINITE, min_size=1, max_size=9)


def enumerated_p(differences: list[float]) -> float:
    """The definition, pattern by pattern: Pratt's ranks, every assignment of signs."""
    ranks = scipy.stats.rankdata([abs(value) for value in differences])
    kept = [(rank, value) for rank, value in zip(ranks, differences, strict=True) if value != 0]
    observed = sum(rank for rank, value in kept if value > 0)
    sums = [
        sum(rank for (rank, _), sign in zip(kept, signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=len(kept))
    ]
    lower = sum(total <= observed + 1e-9 for total in sums)
    upper = sum(total >= observed - 1e-9 for total in sums)
    return min(1.0, 2 * min(lower, upper) / len(sums))


@pytest.mark.parametrize("count", [5, 6, 8, 10, 15, 20])
def test_p_is_that_of_scipy_without_ties(count: int) -> None:
    chance = random.Random(count)
    differences = [chance.gauss(0.3, 1) for _ in range(count)]
    expected = scipy.stats.wilcoxon(differences, method="exact").pvalue
    assert statistics.signed_rank_p(differences) == pytest.approx(expected, rel=1e-12)


@given(st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_p_with_zeros_and_ties_is_that_of_every_sign_pattern(differences: list[float]) -> None:
    assert statistics.signed_rank_p(differences) == pytest.approx(enumerated_p(differences), rel=1e-12)


def test_all_zeros_show_no_difference() -> None:
    assert statistics.signed_rank_p([0.0] * 8) == 1.0


@given(SAMPLES)
def test_p_does_not_depend_on_the_direction(differences: list[float]) -> None:
    assert statistics.signed_rank_p(differences) == statistics.signed_rank_p([-value for value in differences])


@pytest.mark.parametrize(
    ("count", "level", "attained"),
    # Hollander, Wolfe and Chicken, table A.4: 1 - 2 P(W+ <= k - 1).
    [(6, 0.95, 1 - 2 / 64), (10, 0.95, 1 - 2 * 25 / 1024), (6, 0.90, 1 - 2 * 3 / 64), (8, 0.95, 1 - 2 * 5 / 256)],
)
def test_the_attained_level(count: int, level: float, attained: float) -> None:
    interval = statistics.signed_rank_interval([float(value) for value in range(count)], level)
    assert interval is not None
    assert interval.level == pytest.approx(attained)


def test_six_differences_give_their_whole_range() -> None:
    interval = statistics.signed_rank_interval([3.0, 1.0, 2.0, 9.0, 4.0, 5.0], 0.95)
    assert interval is not None
    assert (interval.low, interval.high) == (1.0, 9.0)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_too_few_differences_have_no_interval(count: int) -> None:
    assert statistics.signed_rank_interval([1.0] * count, 0.95) is None


@given(st.lists(FINITE, min_size=6, max_size=12))
def test_the_estimate_lies_inside_its_interval(differences: list[float]) -> None:
    interval = statistics.signed_rank_interval(differences, 0.95)
    assert interval is not None
    assert interval.low <= statistics.hodges_lehmann(differences) <= interval.high


@given(st.lists(FINITE, min_size=6, max_size=10, unique=True))
def test_interval_and_test_agree(differences: list[float]) -> None:
    interval = statistics.signed_rank_interval(differences, 0.95)
    magnitudes = [abs(value) for value in differences]
    if interval is None or len(set(magnitudes)) < len(magnitudes) or 0 in (*magnitudes, interval.low, interval.high):
        return  # with ties the two have different distributions
    excluded = interval.low > 0 or interval.high < 0
    assert excluded == (statistics.signed_rank_p(differences) <= 1 - interval.level + 1e-12)


@pytest.mark.parametrize("count", [6, 10])
def test_coverage_of_the_interval(count: int) -> None:
    chance = random.Random(20261124)
    trials = 1500
    covered = 0
    for _ in range(trials):
        # Skewed figures with outliers: the paired differences of such are symmetric, which is what the interval needs.
        sample = [math.log(chance.lognormvariate(0, 0.3) / chance.lognormvariate(0, 0.3)) + 0.1 for _ in range(count)]
        interval = statistics.signed_rank_interval(sample, 0.95)
        assert interval is not None
        covered += interval.low <= 0.1 <= interval.high
    assert 0.935 <= covered / trials <= 0.99


def test_holm_by_hand() -> None:
    adjusted = statistics.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 1), max_size=6))
def test_holm_never_lowers_a_p_and_keeps_their_order(p_values: dict[str, float]) -> None:
    adjusted = statistics.holm(p_values)
    assert set(adjusted) == set(p_values)
    assert all(p_values[name] <= adjusted[name] <= 1 for name in p_values)
    ordered = sorted(p_values, key=lambda name: p_values[name])
    assert all(adjusted[low] <= adjusted[high] for low, high in itertools.pairwise(ordered))


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


@pytest.mark.parametrize("differences", [[], [math.nan, 1.0], [math.inf]])
def test_no_or_endless_differences_are_refused(differences: list[float]) -> None:
    for function in (statistics.signed_rank_p, statistics.hodges_lehmann):
        with pytest.raises(ValueError, match="difference"):
            function(differences)
