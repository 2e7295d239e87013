# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""How wide an interval of a ratio is, and how many blocks a wished width needs."""

from __future__ import annotations

import math

from scipy import stats

from analysis.statistics.paired import Interval

# No estimate goes beyond what a profile may ask for.
MOST_BLOCKS = 100_000
# In how many runs the estimated number of blocks is to be enough.
ASSURANCE = 0.8


def relative_half_width(ratio: Interval) -> float:
    """Give the half-width of a ratio's interval on the log scale, as a fraction of the ratio.

    ``exp((ln high - ln low) / 2) - 1``: with 0.05 the interval reaches from its centre over 1.05 to its centre times
    1.05. It is the same for the ratio and for its inverse, and says nothing of the sign.
    """
    return math.exp((math.log(ratio.high) - math.log(ratio.low)) / 2) - 1


def blocks_needed(blocks: int, interval: Interval, wished: float, level: float = 0.95) -> int:
    """Estimate how many blocks give a relative half-width of at most ``wished``, by the interval of ``blocks`` at hand.

    The half-width h at hand (on the log scale) is taken as t(blocks - 1) s / sqrt(blocks), which gives s. A few blocks
    know s badly, so its upper 80 % limit is used, s sqrt((blocks - 1) / chi2(0.2, blocks - 1)): the answer is the
    smallest n with t(n - 1) s / sqrt(n) <= ln(1 + wished), and suffices in about 8 of 10 runs (Kupper and Hafner, The
    American Statistician 43, 1989; Hahn and Meeker, "Statistical Intervals"). The signed-rank interval's asymptotic
    width is that of t within 3 % for normal differences, and it is narrower for heavier tails (Hollander, Wolfe and
    Chicken, 3.11). ``blocks`` where it is that narrow already. ``interval`` is of the ratio and says its attained
    level. At most 100,000.

    Raises ValueError where ``wished`` is not above 0 or there are fewer than 2 blocks.
    """
    if wished <= 0 or blocks < 2:
        raise ValueError(f"a number of blocks needs a half-width above 0 and 2 blocks; got {wished} and {blocks}")
    at_hand, target = math.log1p(relative_half_width(interval)), math.log1p(wished)
    if at_hand <= target:
        return blocks
    spread = at_hand * math.sqrt(blocks) / _t(blocks, interval.level)
    spread *= math.sqrt((blocks - 1) / float(stats.chi2.ppf(1 - ASSURANCE, blocks - 1)))

    def is_enough(count: int) -> bool:
        return _t(count, level) * spread / math.sqrt(count) <= target

    low, high = 2, MOST_BLOCKS
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    return low


def _t(count: int, level: float) -> float:
    return float(stats.t.ppf((1 + level) / 2, count - 1))
