# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import math
import random

import numpy as np
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


@given(st.lists(st.integers(-4, 4).filter(bool), min_size=3, max_size=9))
@settings(max_examples=30)
def test_p_with_ties_is_that_of_scipys_permutations(whole: list[int]) -> None:
    differences = [float(value) for value in whole]
    expected = scipy.stats.wilcoxon(differences, method=scipy.stats.PermutationMethod(n_resamples=np.inf)).pvalue
    assert statistics.signed_rank_p(differences) == pytest.approx(expected, rel=1e-12)


def test_the_exact_method_of_scipy_is_not_exact_with_ties_and_zeros() -> None:
    """Why this test is our own. Where scipy's becomes exact, this fails, and ours can go."""
    differences = [1.0, 2.0, 2.0, 3.0, 0.0, -1.0, 4.0]
    of_scipy = scipy.stats.wilcoxon(differences, zero_method="pratt", method="exact").pvalue
    assert of_scipy != pytest.approx(enumerated_p(differences))
    assert statistics.signed_rank_p(differences) == pytest.approx(enumerated_p(differences))


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


@pytest.mark.parametrize("differences", [[], [math.nan, 1.0], [math.inf]])
def test_no_or_endless_differences_are_refused(differences: list[float]) -> None:
    for function in (statistics.signed_rank_p, statistics.hodges_lehmann):
        with pytest.raises(ValueError, match="difference"):
            function(differences)
