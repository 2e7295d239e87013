# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Windows of one host's clock found on another's, by what the load generator read of it before and after its load.

No duration is ever the difference of two clocks: a window is moved as a whole and keeps its length. By how much its
edges may be off is its slack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from analysis.figures import lookup, number_at, percent

# An edge that may be off by more says too little of what lies between the edges.
MOST_SLACK_SHARE = 0.05
# Linux turns a clock by at most 500 in a million (adjtimex(2)); either of the two may be turned, either way.
MOST_DRIFT = 0.001

NO_COMMON_CLOCK = "watcher and load ran on different hosts or across a reboot, so their clocks do not agree"


@dataclass(frozen=True)
class Reading:
    """What the best round trip to another host said: its clock is ahead by ``offset_seconds``, give or take
    ``error_seconds``; taken at ``moment`` of the reader's own clock."""

    offset_seconds: float
    error_seconds: float
    moment: float
    host_boot_id: str


@dataclass(frozen=True)
class Clock:
    """Another host's clock, read before a load and after it; in the place of a reading that is missing its reason."""

    before: Reading | str
    after: Reading | str


@dataclass(frozen=True)
class Window:
    """A stretch of one host's monotonic clock, in seconds since that host booted.

    ``clock`` is what was read of another host's around it. ``slack_seconds`` is by how much its edges may be off.
    """

    start: float
    end: float
    host_boot_id: str | None
    clock: Clock | None = None
    slack_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """How long the window is."""
        return self.end - self.start

    def as_json(self) -> dict[str, float | str | None]:
        """Give the window as it stands in ``run.json``."""
        return {
            "start_monotonic_seconds": self.start,
            "end_monotonic_seconds": self.end,
            "host_boot_id": self.host_boot_id,
        }


def clock_of(generator: object) -> Clock | None:
    """Read what a load generator's facts hold of the clock of its service's host; None where it was not asked for."""
    found = lookup(generator, "clock")
    if not isinstance(found, Mapping):
        return None
    return Clock(*(_reading(found.get(edge)) for edge in ("before", "after")))


def boot_ids(clock: Clock | None) -> set[str]:
    """Give the boot ids of the hosts whose clock was read."""
    readings = () if clock is None else (clock.before, clock.after)
    return {reading.host_boot_id for reading in readings if isinstance(reading, Reading)}


def seen_on(window: Window, host_boot_id: str | None) -> Window | str:
    """Give the window on the clock of this boot, or say why it cannot be found there.

    It stays as it is where its boot id is the same, or one of the two is not known.
    """
    if None in (host_boot_id, window.host_boot_id) or host_boot_id == window.host_boot_id:
        return window
    offset = NO_COMMON_CLOCK if window.clock is None else _offset(window.clock, host_boot_id)
    if isinstance(offset, str):
        return offset
    least, most = offset
    slack = (most - least) / 2
    if slack > MOST_SLACK_SHARE * window.seconds:
        return (
            f"the offset between the clocks of the load's host and the service's is known to {slack:.3g} s, which is "
            f"more than {percent(MOST_SLACK_SHARE)} of the load's {window.seconds:.3g} s"
        )
    return replace(
        window,
        start=window.start + (least + most) / 2,
        end=window.end + (least + most) / 2,
        host_boot_id=host_boot_id,
        clock=None,
        slack_seconds=window.slack_seconds + slack,
    )


def _offset(clock: Clock, host_boot_id: str | None) -> tuple[float, float] | str:
    """Give the least and the most by which the clock of this boot was ahead, or say why that is not known."""
    readings: list[Reading] = []
    for edge, reading in (("before", clock.before), ("after", clock.after)):
        if isinstance(reading, str):
            return (
                "the load came from another host than the service's, and the offset between their clocks is not known "
                f"{edge} the load: {reading}"
            )
        readings.append(reading)
    if boot_ids(clock) != {host_boot_id}:
        return (
            "the clock that the load generator read is not that of the host where the service was watched: the service "
            "runs on another one, or its host was rebooted"
        )
    before, after = readings
    apart = abs(after.offset_seconds - before.offset_seconds)
    allowed = before.error_seconds + after.error_seconds + MOST_DRIFT * abs(after.moment - before.moment)
    if apart > allowed:
        return (
            f"the offset between the clocks of the load's host and the service's changed by {apart:.3g} s during the "
            f"load, and {allowed:.3g} s are its errors and the drift of two clocks: one of them was suspended meanwhile"
        )
    return (
        min(one.offset_seconds - one.error_seconds for one in readings),
        max(one.offset_seconds + one.error_seconds for one in readings),
    )


def _reading(found: Any) -> Reading | str:
    """Read one sitting of round trips, or give the reason why it says nothing."""
    offset, error, moment = (
        number_at(found, key).value for key in ("offset_seconds", "error_seconds", "monotonic_seconds")
    )
    boot = lookup(found, "host_boot_id")
    if offset is None or error is None or moment is None or not isinstance(boot, str):
        reason = lookup(found, "reason")
        return reason if isinstance(reason, str) else "nobody answered"
    return Reading(offset, error, moment, boot)
