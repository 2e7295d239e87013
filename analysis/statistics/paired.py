# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Exact small-sample statistics of paired differences: test, estimate and interval of the signed ranks.

Everything here follows Hollander, Wolfe and Chicken, "Nonparametric Statistical Methods" (3rd edition), chapter 3: the
signed-rank test (3.1), the Hodges-Lehmann estimate (3.2) and the interval from the Walsh averages (3.3). Counts are
integers, so a probability is exact up to its one final division. Differences are unitless numbers; the verdict uses
logarithms of ratios.

It is not scipy's, because ``scipy.stats.wilcoxon(method="exact")`` uses the distribution of the ranks 1 to n also where
there are ties or zeros (scipy 1.17.1: Pratt's 1, 2, 2, 3, 0, -1, 4 gives 0.109375, its sign patterns 0.09375), its
permutation method lists all 2^n sign patterns, and it has no interval. Where scipy's is exact, a test holds both equal.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations_with_replacement


@dataclass(frozen=True)
class Interval:
    """Bounds of an interval.

    ``level`` is the level attained: at least the one asked for, since the distribution is discrete.
    """

    low: float
    high: float
    level: float


def signed_rank_counts(doubled_ranks: Sequence[int]) -> list[int]:
    """Count the sign patterns that give each value of the doubled signed-rank sum.

    ``doubled_ranks`` are twice the (mid)ranks of the absolute differences, so that tied ranks stay integers. The
    answer's item w is the number of the ``2 ** n`` patterns whose positive ranks add up to w.
    """
    return list(_counts(tuple(sorted(doubled_ranks))))


@lru_cache(maxsize=16)
def _counts(doubled_ranks: tuple[int, ...]) -> tuple[int, ...]:
    """Count; without ties the ranks of all samples of one size are the same, so that this is asked again and again.

    The counts are the coefficients of the product of (1 + x^rank). They stand in one long integer, each in as many
    bytes as 2 ** n needs, since shifting and adding one is some hundred times faster than a list of integers.
    """
    size = len(doubled_ranks) // 8 + 1
    packed = 1
    for rank in doubled_ranks:
        packed += packed << (8 * size * rank)
    total = sum(doubled_ranks) + 1
    stored = packed.to_bytes(size * total, "little")
    return tuple(int.from_bytes(stored[size * item : size * (item + 1)], "little") for item in range(total))


def doubled_midranks(magnitudes: Sequence[float]) -> list[int]:
    """Give twice the midrank of each magnitude, in the order given; equal magnitudes share the mean of their ranks."""
    ordered = sorted(magnitudes)
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for position, magnitude in enumerate(ordered, start=1):
        first.setdefault(magnitude, position)
        last[magnitude] = position
    return [first[magnitude] + last[magnitude] for magnitude in magnitudes]


def signed_rank_p(differences: Sequence[float]) -> float:
    """Two-sided exact p of the signed-rank test that the differences are symmetric about 0.

    Zeros are ranked and then left out of the sum (Pratt, 1959), which keeps them as evidence of no difference; ties get
    midranks and the distribution is that of the midranks at hand. All zeros give 1.

    Raises ValueError when there is no difference at all, or one that is not finite.
    """
    _require_finite(differences)
    ranks = doubled_midranks([abs(difference) for difference in differences])
    signed = [(rank, difference > 0) for rank, difference in zip(ranks, differences, strict=True) if difference != 0]
    counts = signed_rank_counts([rank for rank, _ in signed])
    observed = sum(rank for rank, positive in signed if positive)
    patterns = 1 << len(signed)
    lower = sum(counts[: observed + 1])
    upper = sum(counts[observed:])
    return min(1.0, 2 * min(lower, upper) / patterns)


def walsh_averages(differences: Sequence[float]) -> list[float]:
    """Means of all ``n (n + 1) / 2`` pairs, each difference paired with itself too, ascending."""
    return sorted((first + second) / 2 for first, second in combinations_with_replacement(differences, 2))


def hodges_lehmann(differences: Sequence[float]) -> float:
    """Median of the Walsh averages. Raises ValueError when there is no difference, or one that is not finite."""
    _require_finite(differences)
    return statistics.median(walsh_averages(differences))


def signed_rank_interval(differences: Sequence[float], level: float) -> Interval | None:
    """Exact interval of the centre of symmetry: the k-th smallest and k-th largest Walsh average.

    k is the largest number with ``P(W+ <= k - 1) <= (1 - level) / 2``. None when the sample is too small for any
    interval at this level (for 95 %: fewer than 6 differences). Raises ValueError as ``hodges_lehmann`` does.
    """
    _require_finite(differences)
    count = len(differences)
    counts = signed_rank_counts(range(1, count + 1))
    patterns = 1 << count
    # A fraction, since 2 ** 1024 is no float.
    allowed = Fraction((1 - level) / 2) * patterns
    below = 0
    rank = 0
    while below + counts[rank] <= allowed:
        below += counts[rank]
        rank += 1
    if rank == 0:
        return None
    averages = walsh_averages(differences)
    return Interval(averages[rank - 1], averages[-rank], 1 - 2 * below / patterns)


def _require_finite(differences: Sequence[float]) -> None:
    if not differences:
        raise ValueError("a signed-rank statistic needs at least one paired difference; got none")
    if not all(math.isfinite(difference) for difference in differences):
        raise ValueError(f"paired differences must be finite numbers; got {list(differences)}")
