# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The phases of a service's start: where it is, when each began and ended, and waiting for the end.

All stamps are seconds on CLOCK_MONOTONIC.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cifar_cnn.errors import StoppedError


class Phase(StrEnum):
    """A named part of a start. A start trains or loads, and ends ready or failed."""

    INTERPRETER = "interpreter"
    IMPORTS = "imports"
    DATA = "data"
    TRAIN = "train"
    LOAD = "load"
    SELF_TEST = "self_test"
    READY = "ready"
    FAILED = "failed"


_FINAL = frozenset({Phase.READY, Phase.FAILED})


@dataclass(frozen=True, slots=True)
class PhaseRecord:
    """When a phase began and, once it has, ended: seconds on CLOCK_MONOTONIC."""

    phase: Phase
    begin: float
    end: float | None


@dataclass(frozen=True, slots=True)
class State:
    """`progress` is the done fraction of the current phase; `elapsed_seconds` count from the process's start.

    `reason` says why a failed start failed, and is None otherwise.
    """

    phase: Phase
    progress: float
    elapsed_seconds: float
    reason: str | None


class Lifecycle:
    """Follows one start. The starting thread calls enter, advance and fail; any thread may read or wait."""

    def __init__(self, process_start: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.process_start = process_start
        self._clock = clock
        self._changed = threading.Condition()
        self._records = [PhaseRecord(Phase.INTERPRETER, process_start, None)]
        self._progress = 0.0
        self._reason: str | None = None
        self._abandoned = False

    def enter(self, phase: Phase) -> None:
        """Ends the current phase and begins `phase` at the same instant. Raises StoppedError after abandon."""
        self._go_on()
        with self._changed:
            self._enter(phase)

    def _enter(self, phase: Phase) -> None:
        last = self._records[-1]
        if last.phase in _FINAL:
            raise RuntimeError(f"the start is over ({last.phase}), {phase} cannot begin")
        now = self._clock()
        self._records[-1] = PhaseRecord(last.phase, last.begin, now)
        self._records.append(PhaseRecord(phase, now, None))
        self._progress = 1.0 if phase is Phase.READY else 0.0
        self._changed.notify_all()

    def advance(self, done: int, total: int) -> None:
        """Records that `done` of `total` steps of the current phase are over. Raises StoppedError after abandon."""
        self._go_on()
        self._progress = round(done / total, 4)

    def abandon(self) -> None:
        """Makes the starting thread give up at its next step; any thread may call it."""
        self._abandoned = True

    def _go_on(self) -> None:
        if self._abandoned:
            raise StoppedError("the start is given up because the process is ending")

    def fail(self, reason: str) -> None:
        """Ends the start for good; `reason` is one line for the user."""
        with self._changed:
            self._reason = reason
            self._enter(Phase.FAILED)

    def state(self) -> State:
        with self._changed:
            record = self._records[-1]
            # After the end the time stands still: how long the start took, not how long ago it was.
            until = record.begin if record.phase in _FINAL else self._clock()
            return State(record.phase, self._progress, round(until - self.process_start, 3), self._reason)

    def records(self) -> list[PhaseRecord]:
        """Returns the phases so far in order; the last one has not ended."""
        with self._changed:
            return list(self._records)

    def wait(self, seconds: float) -> None:
        """Returns when the start is over (ready or failed), at the latest after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._records[-1].phase in _FINAL, timeout=seconds)


def process_start_monotonic(pid: int, root: Path = Path("/")) -> float:
    """Returns when process `pid` started, in seconds on CLOCK_MONOTONIC, exact to one clock tick (10 ms), cut down.

    The kernel counts a process's start from boot on CLOCK_BOOTTIME, which goes on while the machine is suspended
    (proc(5), /proc/pid/stat, field 22). The result is right unless the machine was suspended since that start.
    Raises OSError when there is no such process.
    """
    # Field 2, the command, may hold spaces and parentheses; field 3 follows the last parenthesis.
    after_command = (root / "proc" / str(pid) / "stat").read_text().rpartition(")")[2].split()
    started = int(after_command[22 - 3]) / os.sysconf("SC_CLK_TCK")
    suspended = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    return started - suspended


def host_boot_id(root: Path = Path("/")) -> str:
    """Returns the kernel's boot id; stamps of two processes are comparable only where it is the same."""
    return (root / "proc/sys/kernel/random/boot_id").read_text().strip()
