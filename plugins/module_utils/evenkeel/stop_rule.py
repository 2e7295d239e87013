# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""When a run may end before all its blocks are measured: the words of a profile's `stop_when`, and its looks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ALLOWED = (
    "null (measure all blocks), ci_half_width<=P% with P above 0 and below 100 (as ci_half_width<=5%), or verdict with"
    " the looks declared beforehand (as looks: [10, 14, 20])"
)
FIRST_LOOK = 10
LOOK_EVERY = 2
# Below 6 pairs there is no interval, so a look could see nothing.
FEWEST_BLOCKS = 6
_PRECISION = re.compile(r"ci_half_width\s*<=\s*([0-9]{1,2}(?:\.[0-9]{1,3})?)\s*%")


@dataclass(frozen=True)
class StopRule:
    """When a run may end, and after which blocks that is looked at; the last look is at the last block.

    `half_width` is the relative half-width that is enough, as a fraction; None where the verdict is looked at.
    """

    text: str
    looks: tuple[int, ...]
    half_width: float | None


def parse(stop_when: Any, looks: Any, blocks: int) -> StopRule | None:
    """The rule of a profile, None where it has none.

    `blocks` is the most that the run may take. With a width the looks are at 10 blocks, every second one from there on,
    and the last; `looks` must then be empty.

    Raises:
        ValueError: what is not a rule, or looks that do not fit it; the message says what is allowed.
    """
    text = "" if stop_when is None else str(stop_when).strip()
    declared = _whole_numbers(looks)
    if not text:
        if declared:
            raise ValueError(f"looks={_shown(declared)} without stop_when: set stop_when=verdict, or leave looks null")
        return None
    if text == "verdict":
        return StopRule(text, _of_verdict(declared, blocks), None)
    found = _PRECISION.fullmatch(text)
    if found is None or float(found.group(1)) <= 0:
        raise ValueError(f"stop_when={text} is not known; it may be {ALLOWED}")
    if declared:
        raise ValueError(
            f"looks={_shown(declared)} with stop_when={text}: its looks are at {FIRST_LOOK} blocks and every"
            f" {LOOK_EVERY}nd one from there on; leave looks null"
        )
    if blocks < FIRST_LOOK:
        raise ValueError(
            f"stop_when={text} first looks at {FIRST_LOOK} blocks, and blocks={blocks} is the most this run may take;"
            f" set blocks to {FIRST_LOOK} or more"
        )
    looked_at = {*range(FIRST_LOOK, blocks + 1, LOOK_EVERY), blocks}
    return StopRule(text, tuple(sorted(looked_at)), float(found.group(1)) / 100)


def _of_verdict(declared: Sequence[int], blocks: int) -> tuple[int, ...]:
    ascending = all(earlier < later for earlier, later in zip(declared, declared[1:]))
    if not declared or not ascending or declared[0] < FEWEST_BLOCKS or declared[-1] != blocks:
        raise ValueError(
            f"stop_when=verdict with looks={_shown(declared)}: declare ascending numbers of blocks, the first at least"
            f" {FEWEST_BLOCKS} and the last blocks={blocks}, as looks: [10, 14, 20] with blocks: 20"
        )
    return tuple(declared)


def _whole_numbers(looks: Any) -> list[int]:
    """The looks of a list, or of a text as `-e looks=10,14,20` gives it."""
    listed = looks.strip("[] ").split(",") if isinstance(looks, str) and looks.strip("[] ") else looks or []
    numbers = [str(each).strip() for each in listed] if isinstance(listed, (list, tuple)) else [str(listed)]
    if not all(re.fullmatch("[0-9]{1,4}", number) for number in numbers):
        raise ValueError(f"looks={looks}: give whole numbers of blocks, as looks: [10, 14, 20]")
    return [int(number) for number in numbers]


def _shown(looks: Sequence[int]) -> str:
    return "[" + ", ".join(map(str, looks)) + "]"
