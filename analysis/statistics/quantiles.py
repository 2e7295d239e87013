# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Quantiles of one sample, and what can be said of the quantile of what it was drawn from."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from itertools import accumulate

from scipy import stats

from analysis.statistics.paired import Interval


def order_statistic(ascending: Sequence[float], fraction: float, weights: Sequence[float] | None = None) -> float:
    """Nearest-rank quantile: the smallest value with at least ``fraction`` of the sample at or below it.

    ``ascending`` is sorted and not empty, ``fraction`` above 0 and at most 1; anything else raises ValueError.
    ``weights``, above 0, say how many of the sample each value stands for; without them it is one.
    """
    if not ascending or not 0 < fraction <= 1:
        raise ValueError(
            f"a quantile needs a sample and a fraction in (0, 1]; got {len(ascending)} values and {fraction}"
        )
    # The small allowance keeps 0.07 * 100, a little above 7 in binary, at rank 7.
    if weights is None:
        return ascending[max(1, math.ceil(fraction * len(ascending) - 1e-9)) - 1]
    until = list(accumulate(weights))
    return ascending[bisect_left(until, fraction * until[-1] - 1e-9)]


def smallest_sample_for_quantile(fraction: float, confidence: float = 0.95) -> int:
    """Smallest n whose maximum lies above the ``fraction`` quantile with the confidence given.

    ``1 - fraction ** n``.
    """
    return math.ceil(math.log(1 - confidence) / math.log(fraction) - 1e-9)


def quantile_interval(ascending: Sequence[float], fraction: float, level: float) -> Interval | None:
    """Give the distribution-free interval of a quantile from one sample: two of its order statistics.

    The number of values below the quantile is binomial (Hahn and Meeker, "Statistical Intervals"; Conover,
    "Practical Nonparametric Statistics"). The ranks leave at most ``(1 - level) / 2`` on either side, as
    ``scipy.stats.quantile_test`` has them; the level attained, which scipy does not give, is at least the one asked
    for. None where the sample is too small to have such a rank on both sides. It holds for independent values; those
    of one load trial are not quite that.

    ``ascending`` is sorted and in any unit. Raises ValueError where ``fraction`` or ``level`` is not between 0 and 1.
    """
    if not 0 < fraction < 1 or not 0 < level < 1:
        raise ValueError(f"a quantile's interval needs a fraction and a level in (0, 1); got {fraction} and {level}")
    ranks = _ranks(len(ascending), fraction, (1 - level) / 2)
    if ranks is None:
        return None
    low, high, attained = ranks
    return Interval(ascending[low - 1], ascending[high - 1], attained)


@cache
def _ranks(count: int, fraction: float, tail: float) -> tuple[int, int, float] | None:
    """Give the ranks of the two order statistics, from 1, and the level that they attain."""
    if not count:
        return None
    below = stats.binom(count, fraction)
    low = int(below.ppf(tail))
    # Two sums that are equal on paper may differ in their last digit.
    if below.cdf(low) <= tail * (1 + 1e-12):
        low += 1
    high = int(below.ppf(1 - tail)) + 1
    if low < 1 or high > count:
        return None
    return low, high, float(below.cdf(high - 1) - below.cdf(low - 1))
