# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""An ordered series within one run, such as the latencies of an open loop in their intended order.

ab gives no order of its requests, so nothing here applies to its samples.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Fewer values than this make windows of fewer than 5, whose medians say little.
FEWEST_FOR_WARM_UP = 100
WINDOWS = 20
# How many robust standard deviations of the settled windows' medians a window may be away and still be one of them.
SETTLED_WITHIN = 4.0
# Standard deviation over median absolute deviation, of a normal distribution.
MAD_TO_SD = 1.4826


@dataclass(frozen=True)
class Autocorrelation:
    """The correlation of neighbours.

    ``bound`` is what 95 % of independent series stay below in absolute value; ``flagged`` where it is passed.
    """

    lag1: float
    bound: float

    @property
    def flagged(self) -> bool:
        """Whether neighbours are correlated beyond chance, so that the values are fewer than they seem."""
        return abs(self.lag1) > self.bound


@dataclass(frozen=True)
class WarmUp:
    """How many values at the beginning are unlike the second half, and the medians on both sides.

    ``settled`` is false where the whole first half is unlike the second: it did not come to rest.
    """

    values: int
    settled: bool
    median_before: float | None
    median_after: float


def autocorrelation(series: Sequence[float]) -> Autocorrelation | None:
    """Give the lag-1 autocorrelation of an ordered series, of its ranks.

    r = sum (x[t] - m)(x[t+1] - m) / sum (x[t] - m)^2 (Box, Jenkins and Reinsel, "Time Series Analysis"), taken
    of the midranks: latencies have tails so heavy that a few outliers would be all of a moment. The bound is
    1.96 / sqrt(n) about -1 / n (Bartlett, 1946). None for fewer than 10 values or where all are equal.
    """
    if len(series) < 10 or len(set(series)) == 1:
        return None
    from_mean = _midranks(series)
    from_mean -= from_mean.mean()
    lag1 = float((from_mean[:-1] * from_mean[1:]).sum() / (from_mean**2).sum())
    return Autocorrelation(lag1, 1.96 / math.sqrt(len(series)))


def warm_up(series: Sequence[float]) -> WarmUp | None:
    """Find how many values at the beginning of an ordered series are unlike its second half.

    The series is cut into 20 windows of equal length (a rest joins the last); the second half is taken as settled. From
    the first window on, windows are warm-up as long as their median is more than 4 robust standard deviations (1.4826
    times the median absolute deviation) of the settled windows' medians away from the median of those. Medians, so that
    outliers anywhere are no warm-up. None for fewer than 100 values. Nothing is dropped: it is for the reader, or for
    figures that say so.
    """
    if len(series) < FEWEST_FOR_WARM_UP:
        return None
    length = len(series) // WINDOWS
    medians = [statistics.median(series[index * length : (index + 1) * length]) for index in range(WINDOWS)]
    settled = medians[WINDOWS // 2 :]
    centre = statistics.median(settled)
    allowed = SETTLED_WITHIN * MAD_TO_SD * statistics.median([abs(value - centre) for value in settled])
    windows = 0
    while windows < WINDOWS // 2 and abs(medians[windows] - centre) > allowed:
        windows += 1
    values = windows * length
    return WarmUp(
        values=values,
        settled=windows < WINDOWS // 2,
        median_before=statistics.median(series[:values]) if values else None,
        median_after=statistics.median(series[values:]),
    )


def _midranks(series: Sequence[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    _, places, sizes = np.unique(np.asarray(series, dtype=float), return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return np.asarray((last - (sizes - 1) / 2)[places], dtype=float)
