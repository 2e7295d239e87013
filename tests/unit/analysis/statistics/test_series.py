# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import random
import statistics as plain

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from analysis import statistics


@given(st.lists(st.integers(0, 30).map(float), min_size=10, max_size=60).filter(lambda values: len(set(values)) > 1))
def test_the_autocorrelation_is_its_definition_of_the_ranks(series: list[float]) -> None:
    ranks = [float(rank) for rank in scipy.stats.rankdata(series)]
    mean = sum(ranks) / len(ranks)
    above = sum((a - mean) * (b - mean) for a, b in itertools.pairwise(ranks))
    found = statistics.autocorrelation(series)
    assert found is not None
    assert found.lag1 == pytest.approx(above / sum((rank - mean) ** 2 for rank in ranks))
    assert found.bound == pytest.approx(1.96 / len(series) ** 0.5)


def test_independent_values_are_seldom_flagged_and_dependent_ones_are() -> None:
    chance = random.Random(3)
    flagged = 0
    for _ in range(400):
        found = statistics.autocorrelation([chance.lognormvariate(0, 1) for _ in range(200)])
        assert found is not None
        flagged += found.flagged
    assert flagged / 400 <= 0.09
    level, series = 0.0, []
    for _ in range(200):
        level = 0.6 * level + chance.gauss(0, 1)
        series.append(2.718**level)
    found = statistics.autocorrelation(series)
    assert found is not None and found.flagged and found.lag1 == pytest.approx(0.6, abs=0.2)


def test_what_has_no_autocorrelation() -> None:
    assert statistics.autocorrelation([1.0] * 50) is None
    assert statistics.autocorrelation([1.0, 2.0, 3.0]) is None


def slow_warm_up(series: list[float]) -> int:
    length = len(series) // 20
    windows = [sorted(series[start : start + length]) for start in range(0, 20 * length, length)]
    medians = [plain.median(window) for window in windows]
    centre = plain.median(medians[10:])
    allowed = 4 * 1.4826 * plain.median(abs(median - centre) for median in medians[10:])
    for index, median in enumerate(medians[:10]):
        if abs(median - centre) <= allowed:
            return index * length
    return 10 * length


@given(st.lists(st.integers(1, 50).map(float), min_size=100, max_size=150))
def test_the_warm_up_is_the_slow_one(series: list[float]) -> None:
    found = statistics.warm_up(series)
    assert found is not None and found.values == slow_warm_up(series)


def test_a_slow_beginning_is_found_outliers_elsewhere_are_none() -> None:
    chance = random.Random(5)
    quick = [chance.lognormvariate(0, 0.3) * (20 if index % 40 == 0 else 1) for index in range(540)]
    found = statistics.warm_up([chance.lognormvariate(0.7, 0.3) for _ in range(60)] + quick)
    assert found is not None and found.settled
    assert 30 <= found.values <= 90
    assert found.median_before is not None and found.median_before > 1.5 * found.median_after
    steady = statistics.warm_up(quick)
    assert steady is not None and (steady.values, steady.median_before) == (0, None)


def test_what_is_slow_for_half_of_the_time_did_not_settle() -> None:
    chance = random.Random(6)
    found = statistics.warm_up([(3 if index < 300 else 1) * chance.lognormvariate(0, 0.1) for index in range(600)])
    assert found is not None and not found.settled


def test_a_steady_series_seldom_has_a_warm_up() -> None:
    chance = random.Random(7)
    found = [statistics.warm_up([chance.lognormvariate(0, 0.6) for _ in range(300)]) for _ in range(300)]
    assert sum(each is not None and each.values > 0 for each in found) / 300 <= 0.06


def test_few_values_say_nothing_of_a_warm_up() -> None:
    assert statistics.warm_up([1.0] * 99) is None
