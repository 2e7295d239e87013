# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""How often one arm is below the other: an effect size that asks nothing of a distribution's shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Superiority:
    """P(serverless < server) + P(equal) / 2 over blocks.

    ``probability`` is the mean over the blocks, ``lowest`` and ``highest`` are those of single blocks. 0.5 says that
    neither is below the other more often.
    """

    probability: float
    lowest: float
    highest: float
    blocks: int


def probability_below(first: Sequence[float], second: Sequence[float]) -> float:
    """Give P(first < second) + P(equal) / 2 of two samples in one unit.

    It is Mann and Whitney's U over the number of pairs (1947; Vargha and Delaney call it A, 2000). Raises ValueError
    where a sample is empty.
    """
    if not first or not second:
        raise ValueError(f"probability of superiority needs two samples; got {len(first)} and {len(second)} values")
    # The asymptotic p is not used; U is the same by every method, and this one does not list permutations.
    u = stats.mannwhitneyu(second, first, method="asymptotic").statistic
    return float(u) / (len(first) * len(second))


def superiority(blocks: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Superiority | None:
    """Compare serverless with server within each block, so that a drift of the machine over the blocks is no effect.

    ``blocks`` holds a block's (server, serverless) samples. Every block weighs the same, since the block is the unit of
    repetition. None where there is no block. Raises ValueError where a sample is empty.
    """
    each = [probability_below(serverless, server) for server, serverless in blocks]
    return Superiority(sum(each) / len(each), min(each), max(each), len(each)) if each else None
