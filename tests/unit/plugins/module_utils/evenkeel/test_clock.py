# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from evenkeel.clock import Deadline, host_boot_id, monotonic, wall_clock_offset


def test_monotonic_is_the_clock_that_every_process_of_the_host_reads() -> None:
    before = monotonic()
    program = "import time; print(time.clock_gettime(time.CLOCK_MONOTONIC))"
    theirs = float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    assert before < theirs < monotonic()


def test_the_boot_id_is_the_kernels() -> None:
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", host_boot_id())
    assert host_boot_id() == host_boot_id()


def test_an_unreadable_boot_id_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="boot_id"):
        host_boot_id(str(tmp_path / "boot_id"))


def test_the_wall_clocks_offset_stays_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    offset = wall_clock_offset()
    assert abs(monotonic() + offset - time.time()) < 1
    assert abs(wall_clock_offset() - offset) < 0.001
    set_forward = time.time
    monkeypatch.setattr(time, "time", lambda: set_forward() + 5)
    assert abs(wall_clock_offset() - offset - 5) < 0.001


def test_a_deadline_runs_down_and_stays_at_zero() -> None:
    deadline = Deadline(0.05)
    assert 0 < deadline.remaining() <= 0.05
    assert not deadline.expired()
    time.sleep(0.06)
    assert deadline.remaining() == 0.0
    assert deadline.expired()


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_deadline_that_is_over_before_it_begins_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Deadline(seconds)
