# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""From paired figures to a verdict, by the rule of the design's section 7.

Per pair d = ln(serverless / server). The estimate is exp of the Hodges-Lehmann median of d, the interval the exact
signed-rank interval of d, transformed back. The primary metric is tested alone, the family under Holm. In this order:
equivalent, faster or slower (less or more), inconclusive.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis import statistics
from analysis.figures import level, ratio
from analysis.schema import Verdict

# Below 6 pairs no outcome can be significant: the smallest two-sided p of 5 pairs is 0.0625.
FEWEST_PAIRS = 6
SIGNIFICANCE = 0.05
METHOD = "exact signed-rank, Walsh averages of ln(serverless / server)"


@dataclass(frozen=True)
class Comparison:
    """What the paired ratios of one metric show. Intervals are of the ratio; None where there are too few pairs."""

    n: int
    ratio: float
    interval: statistics.Interval | None
    equivalence_interval: statistics.Interval | None
    p: float | None


@dataclass(frozen=True)
class Decision:
    """A verdict with the sentence that says why."""

    verdict: Verdict
    reason: str


def compare(ratios: Sequence[float], significance: float = SIGNIFICANCE) -> Comparison:
    """Compare by paired ratios; the intervals are those of the tests at ``significance``, 95 and 90 % at 5 %.

    Raises ValueError where there is no ratio, or one that is not above 0 and finite.
    """
    if not all(ratio > 0 and math.isfinite(ratio) for ratio in ratios):
        raise ValueError(f"paired ratios must be finite and above 0; got {list(ratios)}")
    differences = [math.log(ratio) for ratio in ratios]
    enough = len(differences) >= FEWEST_PAIRS
    return Comparison(
        n=len(differences),
        ratio=math.exp(statistics.hodges_lehmann(differences)),
        interval=_ratio_interval(differences, 1 - significance) if enough else None,
        equivalence_interval=_ratio_interval(differences, 1 - 2 * significance) if enough else None,
        p=statistics.signed_rank_p(differences) if enough else None,
    )


def adjust(family: Mapping[str, float]) -> dict[str, float]:
    """Adjust the p values of the family, keyed by metric, by Holm."""
    return statistics.holm(family)


def smallest_p(pairs: int) -> float:
    """Smallest two-sided p that this many pairs can give."""
    return 2.0 ** (1 - pairs)


def decide(
    comparison: Comparison,
    p: float | None,
    margin: float,
    below: Verdict,
    above: Verdict,
    *,
    fewest: int = FEWEST_PAIRS,
    significance: float = SIGNIFICANCE,
) -> Decision:
    """Say the verdict of one metric.

    ``p`` is the adjusted p of a family member or the plain p of the primary metric; ``below`` and ``above`` are the
    words for a ratio under and over 1, ``fewest`` the pairs without which there is no verdict. ``significance`` is what
    p is compared with: less than 5 % where a run may end at a look, and then the comparison was made at it.
    """
    pairs = f"{comparison.n} {'pair' if comparison.n == 1 else 'pairs'}"
    if comparison.n < fewest or p is None:
        return Decision(Verdict.TOO_FEW_BLOCKS, f"{pairs}, and an interval at 95 % needs {fewest}")
    if comparison.interval is None:
        return Decision(
            Verdict.TOO_FEW_BLOCKS,
            f"{pairs}, too few for an interval at {level(1 - significance)}, the level of the run's last look",
        )
    lowest, highest = 1 / (1 + margin), 1 + margin
    inner, inner_level = comparison.equivalence_interval, level(1 - 2 * significance)
    if inner is not None and lowest <= inner.low and inner.high <= highest:
        return Decision(
            Verdict.EQUIVALENT,
            f"the {inner_level} interval {ratio(inner.low)} to {ratio(inner.high)} lies inside the margin "
            f"{ratio(lowest)} to {ratio(highest)}",
        )
    outside = not lowest <= comparison.ratio <= highest
    critical = f"{significance:.3g}"
    if p <= significance and outside:
        word = below if comparison.ratio < 1 else above
        return Decision(word, f"p {p:.3g} is at most {critical} and the ratio lies outside the margin")
    if p > significance:
        return Decision(
            Verdict.INCONCLUSIVE, f"p {p:.3g} is above {critical} and the {inner_level} interval leaves the margin"
        )
    return Decision(
        Verdict.INCONCLUSIVE,
        f"p {p:.3g} shows a difference, but the ratio lies inside the margin and its {inner_level} interval does not",
    )


def _ratio_interval(differences: Sequence[float], level: float) -> statistics.Interval | None:
    interval = statistics.signed_rank_interval(differences, level)
    if interval is None:
        return None
    return statistics.Interval(math.exp(interval.low), math.exp(interval.high), interval.level)
