# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import random

import pytest

from analysis import verdict
from analysis.schema import Verdict

MARGIN = 0.05


def decide(ratios: list[float]) -> Verdict:
    comparison = verdict.compare(ratios)
    return verdict.decide(comparison, comparison.p, MARGIN, Verdict.FASTER, Verdict.SLOWER).verdict


def noisy(chance: random.Random, blocks: int, effect: float, noise: float) -> list[float]:
    return [effect * math.exp(chance.gauss(0, noise)) for _ in range(blocks)]


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([1.10, 1.11, 1.09, 1.12, 1.08, 1.13], Verdict.SLOWER),
        ([0.80, 0.81, 0.79, 0.82, 0.78, 0.83], Verdict.FASTER),
        ([1.00, 1.01, 0.99, 1.02, 0.98, 1.005], Verdict.EQUIVALENT),
        ([1.02, 1.03, 1.01, 1.02, 1.025, 1.015], Verdict.EQUIVALENT),
        ([0.7, 1.4, 0.9, 1.2, 1.1, 0.8], Verdict.INCONCLUSIVE),
        ([1.02, 1.03, 1.04, 1.09, 1.06, 1.01], Verdict.INCONCLUSIVE),
        ([2.0] * 5, Verdict.TOO_FEW_BLOCKS),
        ([2.0], Verdict.TOO_FEW_BLOCKS),
    ],
)
def test_the_order_of_the_rule(ratios: list[float], expected: Verdict) -> None:
    assert decide(ratios) is expected


def test_a_difference_shown_inside_the_margin_is_not_called_slower() -> None:
    comparison = verdict.compare([1.02, 1.03, 1.04, 1.09, 1.06, 1.01])
    assert comparison.p is not None and comparison.p <= 0.05
    decision = verdict.decide(comparison, comparison.p, MARGIN, Verdict.FASTER, Verdict.SLOWER)
    assert "inside the margin" in decision.reason


def test_pairs_that_give_no_interval_at_the_looks_level_are_too_few() -> None:
    comparison = verdict.compare([1.10, 1.11, 1.09, 1.12, 1.08, 1.13], 0.00305)
    decision = verdict.decide(comparison, comparison.p, MARGIN, Verdict.FASTER, Verdict.SLOWER, significance=0.00305)
    assert decision == verdict.Decision(
        Verdict.TOO_FEW_BLOCKS, "6 pairs, too few for an interval at 99.7 %, the level of the run's last look"
    )


def test_the_adjusted_p_decides() -> None:
    comparison = verdict.compare([1.10, 1.11, 1.09, 1.12, 1.08, 1.13])
    decision = verdict.decide(comparison, 0.19, MARGIN, Verdict.LESS, Verdict.MORE)
    assert decision.verdict is Verdict.INCONCLUSIVE


def test_fewer_than_six_pairs_have_an_estimate_and_no_interval() -> None:
    comparison = verdict.compare([1.1, 1.2, 1.3])
    assert comparison.ratio == pytest.approx(1.2, rel=0.01)
    assert (comparison.interval, comparison.equivalence_interval, comparison.p) == (None, None, None)


def test_the_interval_mirrors_when_the_arms_change_places() -> None:
    ratios = [1.1, 1.3, 0.9, 1.2, 1.05, 1.15, 1.4]
    there, back = verdict.compare(ratios), verdict.compare([1 / ratio for ratio in ratios])
    assert there.interval is not None and back.interval is not None
    assert there.ratio == pytest.approx(1 / back.ratio)
    assert there.interval.low == pytest.approx(1 / back.interval.high)


@pytest.mark.parametrize("ratios", [[0.0, 1.0], [-1.0], [math.inf], [math.nan], []])
def test_what_is_no_ratio_is_refused(ratios: list[float]) -> None:
    with pytest.raises(ValueError, match=r"ratios|difference"):
        verdict.compare(ratios)


@pytest.mark.parametrize(("blocks", "noise"), [(6, 0.01), (6, 0.08), (10, 0.08), (10, 0.3)])
def test_the_same_arm_twice_is_not_called_different(blocks: int, noise: float) -> None:
    chance = random.Random(99)
    repeats = 400
    wrong = sum(decide(noisy(chance, blocks, 1.0, noise)) in (Verdict.FASTER, Verdict.SLOWER) for _ in range(repeats))
    assert wrong / repeats <= 0.065


def test_a_slowdown_of_ten_percent_is_found_at_ten_blocks() -> None:
    chance = random.Random(7)
    found = [decide(noisy(chance, 10, 1.10, 0.02)) for _ in range(100)]
    assert found.count(Verdict.SLOWER) >= 95
    assert Verdict.FASTER not in found


def test_the_smallest_p_of_a_number_of_pairs() -> None:
    assert verdict.compare([1.1] * 5 + [1.2]).p == pytest.approx(verdict.smallest_p(6))
    assert verdict.smallest_p(6) == pytest.approx(0.03125)
