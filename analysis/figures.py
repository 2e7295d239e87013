# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The steps from a trial's facts to a figure.

A figure has three states: measured (``value``), below what the counter can show (``less_than``), not measured
(``reason``).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any, Final

from evenkeel.counters import Figure


class _Absent:
    """The type of ABSENT: a key that is not there, as opposed to one that is there and null."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


def lookup(document: object, *keys: str) -> Any:
    """Follow ``keys`` into nested mappings; ABSENT where one is not there."""
    for key in keys:
        if not isinstance(document, Mapping) or key not in document:
            return ABSENT
        document = document[key]
    return document


def number_at(document: object, *keys: str) -> Figure:
    """Give the number under ``keys`` as a figure, or say which key holds none."""
    found = lookup(document, *keys)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return Figure(reason=f"the trial's facts hold no number {'.'.join(keys)}")
    return Figure(value=float(found))


def summary(figures: Iterable[Figure | None]) -> dict[str, Any] | None:
    """Sum up the figures of one arm, in their order, as ``run.json`` has them; None where none was measured."""
    present = [figure for figure in figures if figure is not None]
    values = [figure.value for figure in present if figure.value is not None]
    bounds = [figure.less_than for figure in present if figure.less_than is not None]
    if not values and not bounds:
        return None
    return {
        "n": len(values) + len(bounds),
        "median": statistics.median(values) if values and not bounds else None,
        "min": min(values) if values and not bounds else None,
        "max": max(values) if values else None,
        "less_than": max([*bounds, *values]) if bounds else None,
        "values": values,
    }


def level(share: float) -> str:
    """Print a level of confidence or of significance in percent."""
    return f"{round(100 * share, 1):g} %"


def rounded(value: float) -> float:
    """Round to three significant digits: what is printed, not what was measured, chooses a unit and its places."""
    return float(f"{value:.3g}")


def ratio(value: float) -> str:
    """Print a ratio: three places between 0.01 and 100, else three significant digits, by an exponent far from 1."""
    shown = rounded(value)
    if 0.01 <= shown < 100:
        return f"{value:.3f}"
    if 1e-6 <= shown < 1e6:
        return f"{shown:,.{max(0, 2 - math.floor(math.log10(shown)))}f}".replace(",", " ")
    return f"{value:.3g}"


def percent(share: float, digits: int = 0) -> str:
    """Print a share of 1 in percent, as every report and reason does."""
    return f"{100 * share:.{digits}f} %"
