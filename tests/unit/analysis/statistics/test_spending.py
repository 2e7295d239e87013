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


def test_the_boundaries_are_the_published_ones() -> None:
    """Five equal looks at 5 %, two-sided: Reboussin, DeMets, Kim and Lan (2000), the tables of their programs."""
    boundaries = [scipy.stats.norm.isf(p / 2) for p in statistics.critical_p_values([1, 2, 3, 4, 5])]
    assert boundaries == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)


def test_one_look_spends_everything() -> None:
    assert statistics.critical_p_values([20]) == pytest.approx([0.05])
    assert statistics.obrien_fleming_spent(1.0) == pytest.approx(0.05)


@given(st.sets(st.integers(6, 60), min_size=1, max_size=5).map(sorted))
def test_a_critical_p_is_at_least_what_its_look_may_spend_and_at_most_all(looks: list[int]) -> None:
    spent = [statistics.obrien_fleming_spent(look / looks[-1]) for look in looks]
    for before, now, critical in zip([0.0, *spent], spent, statistics.critical_p_values(looks), strict=False):
        assert now - before - 1e-6 <= critical <= 0.05 + 1e-9


def test_walks_without_a_drift_cross_at_the_declared_rate() -> None:
    looks = [10, 14, 20]
    bounds = {
        look: scipy.stats.norm.isf(p / 2) for look, p in zip(looks, statistics.critical_p_values(looks), strict=True)
    }
    chance = random.Random(17)
    crossed = 0
    for _ in range(20_000):
        place = 0.0
        for step in range(1, 21):
            place += chance.gauss(0, 1)
            if step in bounds and abs(place) / math.sqrt(step) >= bounds[step]:
                crossed += 1
                break
    assert crossed / 20_000 == pytest.approx(0.05, abs=0.006)


@pytest.mark.parametrize("looks", [[], [10, 10], [14, 10], [0, 10]])
def test_looks_that_do_not_ascend_are_refused(looks: list[int]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        statistics.critical_p_values(looks)


@pytest.mark.parametrize("fraction", [0.0, 1.1])
def test_a_fraction_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction"):
        statistics.obrien_fleming_spent(fraction)
