# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The words of `stop_when` and `looks`: what is a rule, and what is said of what is none."""

from __future__ import annotations

from typing import Any

import pytest
from evenkeel import stop_rule
from evenkeel.stop_rule import StopRule


@pytest.mark.parametrize("nothing", [None, "", "  "])
@pytest.mark.parametrize("looks", [None, [], ""])
def test_no_rule_measures_all_blocks(nothing: Any, looks: Any) -> None:
    assert stop_rule.parse(nothing, looks, 6) is None


@pytest.mark.parametrize(
    ("text", "blocks", "looks", "half_width"),
    [
        ("ci_half_width<=5%", 16, (10, 12, 14, 16), 0.05),
        ("ci_half_width <= 2.5 %", 15, (10, 12, 14, 15), 0.025),
        ("ci_half_width<=10%", 10, (10,), 0.1),
        ("ci_half_width<=0.5%", 11, (10, 11), 0.005),
    ],
)
def test_a_width_is_looked_at_from_10_blocks_on_every_second_and_last(
    text: str, blocks: int, looks: tuple[int, ...], half_width: float
) -> None:
    found = stop_rule.parse(text, None, blocks)
    assert found is not None
    assert (found.looks, found.half_width) == (looks, pytest.approx(half_width))


@pytest.mark.parametrize("looks", [[10, 14, 20], (10, 14, 20), "10,14,20", "[10, 14, 20]", ["10", "14", "20"]])
def test_a_verdict_is_looked_at_where_it_was_declared(looks: Any) -> None:
    assert stop_rule.parse("verdict", looks, 20) == StopRule("verdict", (10, 14, 20), None)


@pytest.mark.parametrize(
    ("text", "looks", "blocks", "said"),
    [
        ("ci_half_width<5%", None, 20, "ci_half_width<=P%"),
        ("ci_half_width<=5", None, 20, "verdict with the looks declared"),
        ("ci_half_width<=0%", None, 20, "above 0 and below 100"),
        ("ci_half_width<=100%", None, 20, "above 0 and below 100"),
        ("ci_half_width<=-5%", None, 20, "is not known; it may be null"),
        ("p<=0.05", None, 20, "is not known"),
        ("ci_half_width<=5%; rm", None, 20, "is not known"),
        ("ci_half_width<=5%", None, 9, "set blocks to 10 or more"),
        ("ci_half_width<=5%", [10, 20], 20, "leave looks null"),
        ("verdict", None, 20, "declare ascending numbers of blocks"),
        ("verdict", [10, 14], 20, "the last blocks=20"),
        ("verdict", [14, 10, 20], 20, "ascending"),
        ("verdict", [4, 20], 20, "the first at least 6"),
        ("verdict", ["ten", 20], 20, "whole numbers of blocks"),
        ("verdict", 20.5, 20, "whole numbers of blocks"),
        (None, [10, 20], 20, "without stop_when"),
    ],
)
def test_what_is_no_rule_says_what_is_allowed(text: Any, looks: Any, blocks: int, said: str) -> None:
    with pytest.raises(ValueError, match=r"stop_when|looks") as refused:
        stop_rule.parse(text, looks, blocks)
    assert said in str(refused.value)
