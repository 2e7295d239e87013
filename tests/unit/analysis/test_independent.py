# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The statistics of two independent samples against slow obvious versions, scipy, and a known truth."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import independent

# Few distinct values, so that ties are common; quarters are exact in binary.
TIED = st.lists(st.integers(-8, 8).map(lambda number: number / 4), min_size=1, max_size=5)
FREE = st.lists(st.integers(-(10**6), 10**6).map(lambda number: number / 1024), min_size=2, max_size=8, unique=True)


def u_statistic(first: Sequence[float], second: Sequence[float]) -> float:
    return sum((after > before) + 0.5 * (after == before) for before in first for after in second)


def slow_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Every way to deal the pooled values to the two samples, one by one."""
    pooled = [*first, *second]
    places = range(len(pooled))
    dealt = [
        u_statistic([pooled[place] for place in chosen], [pooled[place] for place in places if place not in chosen])
        for chosen in combinations(places, len(first))
    ]
    observed = u_statistic(first, second)
    lower, upper = sum(u <= observed for u in dealt), sum(u >= observed for u in dealt)
    return min(1.0, 2 * min(lower, upper) / len(dealt))


@settings(deadline=None)
@given(TIED, TIED)
def test_the_p_is_that_of_all_ways_to_deal_the_values(first: list[float], second: list[float]) -> None:
    assert independent.mann_whitney_p(first, second) == pytest.approx(slow_p(first, second), abs=1e-12)


@given(FREE, FREE)
def test_without_ties_the_p_is_scipys(first: list[float], second: list[float]) -> None:
    if {*first} & {*second}:
        return
    found = scipy.stats.mannwhitneyu(first, second, alternative="two-sided", method="exact").pvalue
    assert independent.mann_whitney_p(first, second) == pytest.approx(found, abs=1e-12)


@given(TIED, TIED)
def test_the_shift_is_the_median_of_all_differences(first: list[float], second: list[float]) -> None:
    assert independent.shift(first, second) == statistics.median(after - before for before in first for after in second)


@settings(deadline=None)
@given(FREE, FREE, st.sampled_from([0.8, 0.9, 0.95]))
def test_the_interval_holds_the_shifts_that_the_test_does_not_reject(
    first: list[float], second: list[float], level: float
) -> None:
    found = independent.shift_interval(first, second, level)
    smallest = 2 / math.comb(len(first) + len(second), len(first))
    assert (found is None) == (smallest > (1 - level) * (1 + 1e-9))
    if found is None:
        return
    assert found.low <= independent.shift(first, second) <= found.high
    assert found.level >= level - 1e-12
    differences = sorted({after - before for before in first for after in second})
    # Between neighbouring differences the test's answer does not change: one shift from each gap tells all.
    gaps = [differences[0] - 1, *((one + two) / 2 for one, two in pairwise(differences))]
    for candidate in [*gaps, differences[-1] + 1]:
        moved = [value - candidate for value in second]
        if {*moved} & {*first}:
            continue
        kept = independent.mann_whitney_p(first, moved) > (1 - level) * (1 + 1e-9)
        assert kept == (found.low < candidate < found.high)


@given(TIED, TIED, st.integers(-4, 4))
def test_a_shift_moves_everything_with_it(first: list[float], second: list[float], by: int) -> None:
    moved = [value + by for value in second]
    assert independent.shift(first, moved) == independent.shift(first, second) + by
    before, after = (independent.shift_interval(first, sample, 0.5) for sample in (second, moved))
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert (after.low, after.high, after.level) == (before.low + by, before.high + by, before.level)


@given(TIED, TIED)
def test_the_other_way_round_is_the_mirror_image(first: list[float], second: list[float]) -> None:
    assert independent.shift(second, first) == -independent.shift(first, second)
    assert independent.mann_whitney_p(second, first) == independent.mann_whitney_p(first, second)


def test_counts_are_the_ways_to_choose() -> None:
    counts = independent.rank_sum_counts(range(1, 61), 30)
    assert sum(counts) == math.comb(60, 30)
    assert counts[sum(range(1, 31))] == counts[sum(range(31, 61))] == 1
    assert min(counts) >= 0


@pytest.mark.parametrize(("sizes", "some"), [((3, 3), False), ((3, 4), False), ((4, 4), True), ((6, 6), True)])
def test_the_smallest_samples_with_an_interval(sizes: tuple[int, int], some: bool) -> None:
    first, second = ([float(value) for value in range(size)] for size in sizes)
    assert (independent.shift_interval(first, second, 0.95) is not None) is some


@pytest.mark.parametrize("sizes", [(1, 1), (3, 5), (4, 4), (10, 12)])
def test_the_smallest_p_is_that_of_one_order_of_all_and_its_reverse(sizes: tuple[int, int]) -> None:
    assert independent.smallest_p(*sizes) == pytest.approx(2 / math.comb(sum(sizes), sizes[0]))
    apart = (range(sizes[0]), range(sizes[0], sum(sizes)))
    assert independent.smallest_p(*sizes) == pytest.approx(independent.mann_whitney_p(*apart))


@pytest.mark.parametrize(("tests", "values"), [(1, 4), (3, 5), (15, 6), (105, 8)])
def test_the_fewest_values_let_one_of_the_tests_be_significant(tests: int, values: int) -> None:
    assert independent.fewest_values(tests, 0.05) == values
    enough, too_few = (tests * independent.smallest_p(size, size) for size in (values, values - 1))
    assert enough <= 0.05 < too_few


def test_where_counting_ends_the_normal_one_goes_on() -> None:
    chance = random.Random(3)
    first = [chance.gauss(0, 1) for _ in range(30)]
    second = [chance.gauss(0.4, 1) for _ in range(30)]
    assert independent.method(first, second) == independent.EXACT
    assert independent.method(first, [*second, 0.1]) == independent.NORMAL
    exact = independent.shift_interval(first, second, 0.95)
    one_more = independent.shift_interval(first, [*second, statistics.median(second)], 0.95)
    assert exact is not None and one_more is not None
    assert one_more.low == pytest.approx(exact.low, abs=0.05) and one_more.high == pytest.approx(exact.high, abs=0.05)


@given(st.lists(st.integers(0, 9).map(float), min_size=40, max_size=50), st.integers(0, 3))
def test_the_normal_p_is_scipys_with_its_corrections(first: list[float], by: int) -> None:
    second = [value + by for value in first[:30]]
    found = scipy.stats.mannwhitneyu(first, second, alternative="two-sided", method="asymptotic").pvalue
    assert independent.mann_whitney_p(first, second) == pytest.approx(1.0 if math.isnan(found) else found, abs=1e-9)


@pytest.mark.parametrize(("first", "second"), [([], [1.0]), ([1.0], []), ([math.nan], [1.0]), ([1.0], [math.inf])])
def test_what_is_no_sample_is_refused(first: list[float], second: list[float]) -> None:
    for function in (independent.shift, independent.mann_whitney_p):
        with pytest.raises(ValueError, match="value"):
            function(first, second)
    with pytest.raises(ValueError, match="value"):
        independent.shift_interval(first, second, 0.95)


SHAPES = {
    "skewed": lambda generator, size: np.log(generator.lognormal(0, 0.8, size) + 0.2),
    "bimodal": lambda generator, size: generator.normal(0, 0.1, size) + generator.choice([0.0, 1.0], size),
    "with outliers": lambda generator, size: generator.normal(0, 0.05, size) + (generator.random(size) < 0.05) * 3,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sizes", [(6, 6), (10, 20)])
def test_the_interval_covers_the_true_shift(shape: str, sizes: tuple[int, int]) -> None:
    """At least 95 %, less four standard errors of 600 simulations; a true null is rejected in at most 5 %, likewise."""
    generator = np.random.default_rng(8)
    times, covered, rejected = 600, 0, 0
    for _ in range(times):
        first = SHAPES[shape](generator, sizes[0]).tolist()
        second = (SHAPES[shape](generator, sizes[1]) + 0.1).tolist()
        found = independent.shift_interval(first, second, 0.95)
        assert found is not None
        covered += found.low <= 0.1 <= found.high
        rejected += independent.mann_whitney_p(first, [value - 0.1 for value in second]) <= 0.05
    allowed = 4 * math.sqrt(0.05 * 0.95 / times)
    assert covered / times >= 0.95 - allowed
    assert rejected / times <= 0.05 + allowed
