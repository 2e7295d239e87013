# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether the paired differences change over the run: then one figure for all blocks hides something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

# Below 5 values no order can be significant at 5 %: the smallest two-sided p of 4 is 2 / 24.
FEWEST = 5
# Beyond this the exact counts take seconds, and the normal approximation is as good as exact.
EXACT_AT_MOST = 100


@dataclass(frozen=True)
class Drift:
    """Kendall's tau-b of values against their order, its two-sided p, and Theil and Sen's slope a step."""

    tau: float
    p: float
    slope: float


def drift(values: Sequence[float]) -> Drift | None:
    """Test whether ``values`` rise or fall with their order (Mann, 1945; Kendall, 1938), and how fast (Sen, 1968).

    The order itself has no ties; ties of the values are taken as they are, by the exact distribution. None for fewer
    than 5 values. The slope has the values' unit.
    """
    if len(values) < FEWEST:
        return None
    order = range(len(values))
    if len(set(values)) == 1:
        return Drift(0.0, 1.0, 0.0)
    found = stats.kendalltau(order, values)
    p = kendall_p(values) if len(values) <= EXACT_AT_MOST else float(found.pvalue)
    return Drift(float(found.statistic), p, float(stats.theilslopes(values, order).slope))


def kendall_p(values: Sequence[float]) -> float:
    """Two-sided exact p of Kendall's test of ``values`` against their order, ties of the values included.

    scipy's exact method refuses ties. Where there are none, a test holds both equal.
    """
    count = len(values)
    inversions = sum(values[i] > values[j] for i in range(count) for j in range(i + 1, count))
    counts = inversion_counts(list(Counter(values).values()))
    ways = sum(counts)
    lower, upper = sum(counts[: inversions + 1]), sum(counts[inversions:])
    return min(1.0, 2 * min(lower, upper) / ways)


def inversion_counts(groups: Sequence[int]) -> list[int]:
    """Count the orders of values with each number of inversions; ``groups`` are the numbers of equal values.

    The generating function is the Gaussian multinomial coefficient: the product of (1 - q^i) for i = 1 to n over the
    same products of each group (Stanley, "Enumerative Combinatorics" 1, 1.7.1).
    """
    total = sum(groups)
    degree = (total * (total - 1) - sum(size * (size - 1) for size in groups)) // 2
    counts = [1] + [0] * degree
    for power in range(1, total + 1):
        for place in range(degree, power - 1, -1):
            counts[place] -= counts[place - power]
    for size in groups:
        for power in range(1, size + 1):
            for place in range(power, degree + 1):
                counts[place] += counts[place - power]
    return counts
