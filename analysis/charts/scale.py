# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""From figures to places in a drawing, and the round values that stand at an axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.charts import svg


@dataclass(frozen=True)
class Scale:
    """Maps ``low`` to ``high`` onto the places ``start`` to ``end``, by the logarithm where ``logarithmic``."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Give the place of a figure; one outside stays outside."""
        low, high, at = (math.log(each) if self.logarithmic else each for each in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)


def linear(values: list[float], start: float, end: float, *, from_zero: bool) -> Scale:
    """Make a scale that holds all values with room to spare at both ends, or from 0 on."""
    low, high = (0.0 if from_zero else min(values)), max(values)
    spare = (high - low or abs(high) or 1.0) * 0.08
    return Scale(low if from_zero else low - spare, high + spare, start, end)


def ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Give at most ``most`` round values between low and high, in steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    power = 10 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if span / (power * factor) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def ratio_ticks(low: float, high: float) -> list[float]:
    """Give round ratios between low and high, 1 among them: finer ones the narrower the range."""
    for candidates in (
        (0.9, 0.92, 0.94, 0.96, 0.98, 1.0, 1.02, 1.04, 1.06, 1.08, 1.1),
        (0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2),
        (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4),
        (0.25, 0.33, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 4.0),
    ):
        if candidates[0] <= low and high <= candidates[-1]:
            return [ratio for ratio in candidates if low <= ratio <= high]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, math.ceil((last - first) / 6))
    powers = (10.0**power for power in range(first, last + 1) if power % stride == 0)
    return [ratio for ratio in powers if low <= ratio <= high]


def bottom_axis(scale: Scale, values: list[float], y: float, title: str, *, top: float) -> list[str]:
    """Draw the horizontal axis at ``y`` with its values, its title and thin lines up to ``top``."""
    parts = [svg.line((scale.start, y), (scale.end, y), "axis")]
    for value in values:
        parts += [
            svg.line((scale(value), top), (scale(value), y), "grid"),
            svg.text(scale(value), y + 18, f"{value:g}", anchor="middle"),
        ]
    parts.append(svg.text((scale.start + scale.end) / 2, y + 38, title, "label axis-title", "middle"))
    return parts


def left_axis(scale: Scale, values: list[float], x: float, *, right: float) -> list[str]:
    """Draw the vertical axis at ``x`` with its values and thin lines to ``right``."""
    parts = [svg.line((x, scale.start), (x, scale.end), "axis")]
    for value in values:
        parts += [
            svg.line((x, scale(value)), (right, scale(value)), "grid"),
            svg.text(x - 6, scale(value) + 5, f"{value:g}", anchor="end"),
        ]
    return parts
