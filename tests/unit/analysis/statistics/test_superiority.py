# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import statistics

SAMPLE = st.lists(st.integers(0, 20).map(float), min_size=1, max_size=12)


def counted(first: list[float], second: list[float]) -> float:
    """Compare every value with every other one."""
    points = sum(1.0 if a < b else 0.5 if a == b else 0.0 for a in first for b in second)
    return points / (len(first) * len(second))


@given(SAMPLE, SAMPLE)
def test_it_is_what_counting_gives(first: list[float], second: list[float]) -> None:
    found = statistics.probability_below(first, second)
    assert found == pytest.approx(counted(first, second))
    assert found + statistics.probability_below(second, first) == pytest.approx(1)


@given(st.lists(st.tuples(SAMPLE, SAMPLE), min_size=1, max_size=6))
def test_over_blocks_it_is_the_mean_of_the_blocks(blocks: list[tuple[list[float], list[float]]]) -> None:
    each = [counted(serverless, server) for server, serverless in blocks]
    found = statistics.superiority(blocks)
    assert found is not None
    assert found.probability == pytest.approx(sum(each) / len(each))
    assert (found.lowest, found.highest, found.blocks) == (
        pytest.approx(min(each)),
        pytest.approx(max(each)),
        len(blocks),
    )


def test_a_drift_of_the_machine_over_the_blocks_is_no_effect() -> None:
    """Both arms double in the second block: pooled, the first block's server would beat the second's serverless."""
    found = statistics.superiority([([2.0, 2.0], [1.0, 1.0]), ([4.0, 4.0], [3.0, 3.0])])
    assert found is not None and found.probability == 1.0


def test_nothing_has_no_superiority() -> None:
    assert statistics.superiority([]) is None
    with pytest.raises(ValueError, match="two samples"):
        statistics.probability_below([], [1.0])
