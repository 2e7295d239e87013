# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Figures of a window of time from a watcher's counters and frames: pure arithmetic, for the module and the analysis.

Times are monotonic seconds of one host. A figure that cannot be given is None with a reason in its place, and one that
lies below what the counter can show is "less than" a bound; neither is ever 0.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# Fewer whole frames than this inside a window are not a measurement (design 4.2).
MINIMUM_FRAMES = 3

Sample = Sequence[float]


class Figure(NamedTuple):
    """Exactly one of the three is set: the value, a bound it lies below, or why there is none."""

    value: float | None = None
    less_than: float | None = None
    reason: str | None = None


def interpolate(samples: Sequence[Sample], moment: float) -> float | None:
    """The counter at ``moment``, linear between the two samples around it; None outside of the samples.

    ``samples`` are [monotonic_seconds, value] in ascending order of time.
    """
    if not samples or not samples[0][0] <= moment <= samples[-1][0]:
        return None
    after = bisect_left([sample[0] for sample in samples], moment)
    if samples[after][0] == moment:
        return float(samples[after][1])
    (begin, low), (end, high) = samples[after - 1], samples[after]
    return low + (high - low) * (moment - begin) / (end - begin)


def counted_seconds(samples: Sequence[Sample], start: float, end: float, resolution_seconds: float = 0.0) -> Figure:
    """CPU seconds a counter advanced by between ``start`` and ``end``.

    Below ``resolution_seconds``, the counter's unit, the figure is "less than" that unit.
    """
    if not end > start:
        return Figure(reason=f"the window is empty: it begins at {start:.6f} s and ends at {end:.6f} s")
    at_start, at_end = interpolate(samples, start), interpolate(samples, end)
    if at_start is None or at_end is None:
        covered = f"{samples[0][0]:.6f} to {samples[-1][0]:.6f} s" if samples else "nothing"
        return Figure(reason=f"the counter covers {covered}, not the window of {start:.6f} to {end:.6f} s")
    advanced = at_end - at_start
    if advanced < 0:
        return Figure(reason="the counter went backwards in the window: it is of more than one process or container")
    if advanced < resolution_seconds:
        return Figure(less_than=resolution_seconds)
    return Figure(value=advanced)


def mean_cores(samples: Sequence[Sample], start: float, end: float, resolution_seconds: float = 0.0) -> Figure:
    """CPU seconds per second between ``start`` and ``end``, the counter interpolated at both edges."""
    counted = counted_seconds(samples, start, end, resolution_seconds)
    if counted.reason is not None:
        return counted
    window = end - start
    return Figure(
        value=None if counted.value is None else counted.value / window,
        less_than=None if counted.less_than is None else counted.less_than / window,
    )


def since(samples: Sequence[Sample], start: float, resolution_seconds: float) -> dict[str, float | None]:
    """A counter's figures from ``start``, or its first sample where that is later, until its last sample.

    All are None where it has no two samples there; below the counter's unit only the bound is given.
    """
    begin = max(start, samples[0][0]) if samples else start
    end = samples[-1][0] if samples else start
    used = counted_seconds(samples, begin, end, resolution_seconds)
    return {
        "cpu_cores": None if used.value is None else used.value / (end - begin),
        "cpu_seconds": used.value,
        "cpu_seconds_less_than": used.less_than,
    }


def mean_level(samples: Sequence[Sample], start: float, end: float) -> Figure:
    """The mean of the samples of a level, such as memory, taken between ``start`` and ``end``; each counts the same."""
    inside = [sample[1] for sample in samples if start <= sample[0] <= end]
    if not inside:
        return Figure(reason=f"no sample was taken within the {end - start:.2g} s of the window")
    return Figure(value=sum(inside) / len(inside))


def frames_inside(frames: Sequence[Mapping[str, Any]], start: float, end: float) -> list[Mapping[str, Any]]:
    """The frames whose whole interval, ``begin_monotonic_seconds`` to ``monotonic_seconds``, is in the window."""
    return [
        frame for frame in frames if start <= frame["begin_monotonic_seconds"] and frame["monotonic_seconds"] <= end
    ]


def frame_mean(frames: Sequence[Mapping[str, Any]], key: str, start: float, end: float) -> Figure:
    """The mean of ``frame[key]`` over the frames wholly in the window; fewer than MINIMUM_FRAMES: not measured."""
    values = [frame[key] for frame in frames_inside(frames, start, end) if frame[key] is not None]
    if len(values) < MINIMUM_FRAMES:
        return Figure(
            reason=f"not measured: {len(values)} whole frames in the window, at least {MINIMUM_FRAMES} needed"
        )
    return Figure(value=sum(values) / len(values))
