# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for ab's `-e` file, written from known times by the arithmetic of ab.c."""

from __future__ import annotations

from collections.abc import Sequence

GARBAGE_MILLISECONDS = 0.257
"""What was found in memory behind ab's array when the samples were recorded."""


def percentages(times: Sequence[float]) -> str:
    """The 101 rows for ascending times in seconds, those that ab reads from behind its array included."""
    count = len(times)
    rows = []
    for percent in range(101):
        index = 0 if percent == 0 else count - 1 if percent == 100 else int(0.5 + count * percent / 100.0)
        rows.append(f"{percent},{times[index] * 1000 if index < count else GARBAGE_MILLISECONDS:.3f}\n")
    return "Percentage served,Time in ms\n" + "".join(rows)
