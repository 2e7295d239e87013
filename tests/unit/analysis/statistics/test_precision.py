# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import random

import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from analysis import statistics, verdict
from analysis.statistics import Interval


@given(st.floats(0.2, 5), st.floats(0.001, 2))
def test_the_half_width_is_that_of_the_logarithms_and_blind_to_the_sign(centre: float, width: float) -> None:
    interval = Interval(centre / (1 + width), centre * (1 + width), 0.95)
    turned = Interval(1 / interval.high, 1 / interval.low, 0.95)
    assert statistics.relative_half_width(interval) == pytest.approx(width)
    assert statistics.relative_half_width(turned) == pytest.approx(width)


def one_by_one(blocks: int, interval: Interval, wished: float) -> int:
    spread = math.log(interval.high / interval.low) / 2 * math.sqrt(blocks)
    spread /= scipy.stats.t.ppf((1 + interval.level) / 2, blocks - 1)
    spread *= math.sqrt((blocks - 1) / scipy.stats.chi2.ppf(0.2, blocks - 1))
    if interval.high / interval.low <= (1 + wished) ** 2:
        return blocks
    count = 2
    while scipy.stats.t.ppf(0.975, count - 1) * spread / math.sqrt(count) > math.log1p(wished):
        count += 1
    return count


@given(st.integers(6, 20), st.floats(0.005, 0.15), st.floats(0.03, 0.2))
def test_the_number_of_blocks_is_found_by_trying_all(blocks: int, width: float, wished: float) -> None:
    assume(abs(width - wished) > 1e-6)  # rounding decides whether the two are equal
    interval = Interval(1 / (1 + width), 1 + width, 0.96)
    assert statistics.blocks_needed(blocks, interval, wished) == one_by_one(blocks, interval, wished)


def test_that_many_blocks_give_the_wished_width_in_about_8_of_10_runs() -> None:
    chance, narrow = random.Random(11), 0
    for _ in range(100):
        pilot = verdict.compare([math.exp(chance.gauss(0, 0.1)) for _ in range(10)])
        assert pilot.interval is not None
        needed = statistics.blocks_needed(10, pilot.interval, 0.05)
        full = verdict.compare([math.exp(chance.gauss(0, 0.1)) for _ in range(needed)])
        assert full.interval is not None
        narrow += statistics.relative_half_width(full.interval) <= 0.05
    assert narrow / 100 == pytest.approx(0.8, abs=0.13)


def test_what_never_can_be_reached_is_bounded_and_nonsense_refused() -> None:
    assert statistics.blocks_needed(10, Interval(0.01, 100, 0.95), 0.001) == 100_000
    for wished, blocks in ((0.0, 10), (0.05, 1)):
        with pytest.raises(ValueError, match="half-width"):
            statistics.blocks_needed(blocks, Interval(0.9, 1.1, 0.95), wished)
