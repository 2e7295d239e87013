# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from cifar_cnn.errors import StoppedError
from cifar_cnn.lifecycle import Lifecycle, Phase, PhaseRecord, host_boot_id, process_start_monotonic


class FakeClock:
    """A stand-in for the monotonic clock, set by hand."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_phases_follow_each_other_without_gaps() -> None:
    clock = FakeClock(10.5)
    lifecycle = Lifecycle(process_start=10.0, clock=clock)
    for phase in (Phase.IMPORTS, Phase.DATA, Phase.TRAIN, Phase.SELF_TEST, Phase.READY):
        lifecycle.enter(phase)
        clock.now += 1
    assert lifecycle.records() == [
        PhaseRecord(Phase.INTERPRETER, 10.0, 10.5),
        PhaseRecord(Phase.IMPORTS, 10.5, 11.5),
        PhaseRecord(Phase.DATA, 11.5, 12.5),
        PhaseRecord(Phase.TRAIN, 12.5, 13.5),
        PhaseRecord(Phase.SELF_TEST, 13.5, 14.5),
        PhaseRecord(Phase.READY, 14.5, None),
    ]
    assert lifecycle.state().elapsed_seconds == 4.5
    assert lifecycle.state().progress == 1.0


def test_progress_belongs_to_the_current_phase() -> None:
    lifecycle = Lifecycle(0.0, FakeClock(1.0))
    lifecycle.enter(Phase.TRAIN)
    lifecycle.advance(1, 3)
    assert lifecycle.state().progress == 0.3333
    lifecycle.enter(Phase.SELF_TEST)
    assert lifecycle.state().progress == 0.0


def test_a_failure_is_final_and_keeps_its_reason() -> None:
    lifecycle = Lifecycle(0.0, FakeClock(1.0))
    lifecycle.enter(Phase.DATA)
    lifecycle.fail("no data")
    assert (lifecycle.state().phase, lifecycle.state().reason) == (Phase.FAILED, "no data")
    with pytest.raises(RuntimeError, match="the start is over"):
        lifecycle.enter(Phase.TRAIN)


def test_an_abandoned_start_gives_up_at_its_next_step() -> None:
    lifecycle = Lifecycle(0.0)
    lifecycle.enter(Phase.TRAIN)
    lifecycle.abandon()
    with pytest.raises(StoppedError):
        lifecycle.advance(1, 2)
    with pytest.raises(StoppedError):
        lifecycle.enter(Phase.SELF_TEST)
    lifecycle.fail("given up")
    assert lifecycle.state().reason == "given up"


def test_waiting_ends_with_the_start_or_with_the_time() -> None:
    lifecycle = Lifecycle(0.0)
    begin = time.monotonic()
    lifecycle.wait(0.05)
    assert 0.04 < time.monotonic() - begin < 5
    waiting = threading.Thread(target=lifecycle.wait, args=(30,))
    waiting.start()
    lifecycle.enter(Phase.READY)
    waiting.join(timeout=10)
    assert not waiting.is_alive()


def test_a_processs_start_is_on_the_monotonic_clock_to_a_tick() -> None:
    before = time.monotonic()
    with subprocess.Popen(["sleep", "60"]) as process:
        after = time.monotonic()
        try:
            started = process_start_monotonic(process.pid)
        finally:
            process.kill()
    assert before - 0.02 <= started <= after + 0.01


def test_a_command_with_parentheses_and_spaces_is_no_obstacle(tmp_path: Path) -> None:
    stat = tmp_path / "proc/7/stat"
    stat.parent.mkdir(parents=True)
    ticks = os.sysconf("SC_CLK_TCK")
    fields = ["S", *["0"] * 18, str(12 * ticks), "0"]
    stat.write_text(f"7 (a) b (c) {' '.join(fields)}\n")
    suspended = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    assert process_start_monotonic(7, tmp_path) == pytest.approx(12 - suspended, abs=0.01)


def test_no_such_process_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        process_start_monotonic(1, tmp_path)


def test_the_boot_id_is_the_kernels() -> None:
    assert host_boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
