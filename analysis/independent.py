# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Two independent samples: the shift between them, its exact interval, and the test that there is none.

The blocks of two runs are not paired. The estimate is the two-sample Hodges-Lehmann shift, the interval the one that
belongs to the Mann-Whitney test (Moses; Lehmann, "Nonparametric Confidence Intervals for a Shift Parameter", Annals of
Mathematical Statistics 34, 1963, pages 1507-1512). Where both samples together have at most MOST_EXACT values the
distribution is counted, in integers; above that it is the normal one, with the correction for ties in the test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from analysis.statistics import Interval, doubled_midranks

# C(60, 30) is 1.2e17 and fits into 64 bits; C(68, 34) does not.
MOST_EXACT = 60
EXACT = "exact Mann-Whitney, differences of all pairs of ln(figure)"
NORMAL = "normal approximation of Mann-Whitney, differences of all pairs of ln(figure)"


def method(first: Sequence[float], second: Sequence[float]) -> str:
    """Name the method that samples of these sizes get."""
    return EXACT if len(first) + len(second) <= MOST_EXACT else NORMAL


def shift(first: Sequence[float], second: Sequence[float]) -> float:
    """Median of all ``second - first`` differences (Hodges and Lehmann, 1963).

    Raises ValueError where a sample is empty, or a value is not finite; so do the others.
    """
    return float(np.median(_differences(first, second)))


def shift_interval(first: Sequence[float], second: Sequence[float], level: float) -> Interval | None:
    """Interval of the shift: the k-th smallest and k-th largest of all differences.

    k is the largest number with ``P(U <= k - 1) <= (1 - level) / 2``, where no shift is and no values are tied; ties
    make it wider than it need be, never narrower. None where the samples are too small for any interval (for
    95 %: below 4 and 4).
    """
    ordered = np.sort(_differences(first, second))
    sizes = len(first), len(second)
    if sum(sizes) > MOST_EXACT:
        return _normal_interval(ordered, sizes, level)
    counts = rank_sum_counts(range(1, sum(sizes) + 1), sizes[0])
    total = math.comb(sum(sizes), sizes[0])
    least = sizes[0] * (sizes[0] + 1) // 2
    # The small allowance keeps (1 - 0.8) / 2 * 20, a little below 2 in binary, at 2.
    allowed = (1 - level) / 2 * total * (1 + 1e-9)
    below, rank = 0, 0
    while below + counts[least + rank] <= allowed:
        below += counts[least + rank]
        rank += 1
    if rank == 0:
        return None
    return Interval(float(ordered[rank - 1]), float(ordered[-rank]), 1 - 2 * below / total)


def mann_whitney_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p of the Mann-Whitney test: twice the smaller tail, at most 1.

    Ties have midranks. The exact distribution is that of the midranks at hand, over all ways to choose the first one.
    """
    _differences(first, second)
    pooled = [*first, *second]
    if len(pooled) > MOST_EXACT:
        return _normal_p(first, pooled)
    ranks = doubled_midranks(pooled)
    counts = rank_sum_counts(ranks, len(first))
    observed = sum(ranks[: len(first)])
    lower, upper = sum(counts[: observed + 1]), sum(counts[observed:])
    return min(1.0, 2 * min(lower, upper) / math.comb(len(pooled), len(first)))


def smallest_p(first: int, second: int) -> float:
    """Smallest two-sided p that samples of these sizes can give: of all orders, one and its reverse are that far."""
    return min(1.0, 2 / math.comb(first + second, first))


def fewest_values(tests: int, significance: float) -> int:
    """Values of each sample from which one of so many tests under Holm can have a p of at most ``significance``."""
    return next(values for values in count(1) if tests * smallest_p(values, values) <= significance)


def rank_sum_counts(ranks: Sequence[int], chosen: int) -> list[int]:
    """Count the ways to choose so many of the ranks, by their sum: the answer's item w is the number with the sum w."""
    most = sum(ranks)
    counts = np.zeros((chosen + 1, most + 1), dtype=np.int64)
    counts[0, 0] = 1
    for taken, rank in enumerate(ranks, start=1):
        for number in range(min(taken, chosen), 0, -1):
            counts[number, rank:] += counts[number - 1, : most + 1 - rank]
    return [int(count) for count in counts[chosen]]


def _normal_interval(ordered: NDArray[np.float64], sizes: tuple[int, int], level: float) -> Interval:
    first, second = sizes
    spread = math.sqrt(first * second * (first + second + 1) / 12)
    rank = max(1, math.floor(first * second / 2 + 0.5 - NormalDist().inv_cdf((1 + level) / 2) * spread))
    return Interval(float(ordered[rank - 1]), float(ordered[-rank]), level)


def _normal_p(first: Sequence[float], pooled: Sequence[float]) -> float:
    count, chosen = len(pooled), len(first)
    ranks = doubled_midranks(pooled)
    tied = sum(number**3 - number for number in np.unique(pooled, return_counts=True)[1].tolist())
    variance = chosen * (count - chosen) / 12 * (count + 1 - tied / (count * (count - 1)))
    if variance == 0:
        return 1.0
    distance = abs(sum(ranks[:chosen]) / 2 - chosen * (count + 1) / 2)
    return min(1.0, 2 * NormalDist().cdf(-max(0.0, distance - 0.5) / math.sqrt(variance)))


def _differences(first: Sequence[float], second: Sequence[float]) -> NDArray[np.float64]:
    if not first or not second:
        raise ValueError(f"two samples with values are needed; got {len(first)} and {len(second)} values")
    if not all(math.isfinite(value) for value in (*first, *second)):
        raise ValueError(f"values must be finite numbers; got {list(first)} and {list(second)}")
    differences: NDArray[np.float64] = np.subtract.outer(np.array(second, float), np.array(first, float)).ravel()
    return differences
