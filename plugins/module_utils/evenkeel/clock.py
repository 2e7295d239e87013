# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The one clock every duration is measured with, and the mark that says whose clock it was."""

from __future__ import annotations

import time
from pathlib import Path

BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id"


def monotonic() -> float:
    """Seconds of CLOCK_MONOTONIC.

    The kernel keeps one such clock for a host and all its containers, so that stamps of different processes may be
    subtracted as long as their `host_boot_id` is equal. `time.monotonic` is not used: its clock is Python's choice.
    """
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def host_boot_id(path: str = BOOT_ID_PATH) -> str:
    """The kernel's random id of this boot.

    Raises OSError where the file cannot be read: without it stamps of two processes could not be told to be of one
    clock.
    """
    return Path(path).read_text(encoding="ascii").strip()


def wall_clock_offset() -> float:
    """Wall clock minus monotonic clock, in seconds; it changes only when somebody sets the wall clock.

    The best of a few readings, since the process may be put aside between its two.
    """
    readings = []
    for _ in range(5):
        before, wall, after = monotonic(), time.time(), monotonic()
        readings.append((after - before, wall - (before + after) / 2))
    return min(readings)[1]


class Deadline:
    """A point on the monotonic clock, `seconds` from the moment of creation.

    Raises ValueError for a number that is not positive: a deadline that is over before it begins is a mistake of the
    caller.
    """

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise ValueError(f"a deadline needs a positive number of seconds, not {seconds!r}")
        self.seconds = seconds
        self._end = monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, 0.0 when the deadline is over."""
        return max(0.0, self._end - monotonic())

    def expired(self) -> bool:
        """Whether the deadline is over."""
        return self.remaining() == 0.0
