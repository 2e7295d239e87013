# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.machine: what a machine is and has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from evenkeel import machine


@pytest.mark.parametrize(
    ("user", "environment", "expected"),
    [
        (0, {"XDG_STATE_HOME": "/x"}, "/var/lib/evenkeel"),
        (1000, {}, "/home/u/.local/state/evenkeel"),
        (1000, {"XDG_STATE_HOME": "/x"}, "/x/evenkeel"),
        (1000, {"XDG_STATE_HOME": "not/absolute"}, "/home/u/.local/state/evenkeel"),
    ],
)
def test_state_home(user: int, environment: dict[str, str], expected: str) -> None:
    assert machine.state_home(user, "/home/u", environment) == expected


@pytest.mark.parametrize(
    ("mounts", "version"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", "v2"),
        ("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0", "v1"),
        ("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0", "hybrid"),
        ("proc /proc proc rw 0 0\n\n", "none"),
    ],
)
def test_cgroup_version(mounts: str, version: str) -> None:
    assert machine.cgroup_version(mounts) == version


def test_free_space_of_a_folder_that_is_not_there_is_its_parents(tmp_path: Path) -> None:
    here, there = machine.free_bytes(str(tmp_path)), machine.free_bytes(str(tmp_path / "not" / "yet"))
    assert here > 0
    assert abs(here - there) < 100_000_000


def test_first_value() -> None:
    text = 'model name\t: AMD EPYC\nmodel name\t: other\nPRETTY_NAME="Debian"'
    assert machine.first_value(text, "model name") == "AMD EPYC"
    assert machine.first_value(text, "PRETTY_NAME", "=") == "Debian"
    assert machine.first_value(text, "flags") is None


def test_this_machine() -> None:
    facts = machine.describe(["/"], ["sh", "no-such-program"])
    assert facts["cpu_count"] == os.cpu_count()
    assert facts["affinity_cpus"] == sorted(os.sched_getaffinity(0))
    assert facts["commands"]["sh"] and facts["commands"]["no-such-program"] is None
    assert facts["memory_bytes"] > 2**28
    assert 0 <= facts["swap_used_bytes"] <= facts["swap_bytes"]
    assert facts["free_bytes"]["/"] > 0


def test_busy_cores_are_cpu_seconds_of_everyone() -> None:
    before, after = "cpu  100 0 50 900 10 1 2 3 0 0", "cpu  300 0 150 1000 20 1 2 3 0 0"
    assert machine.busy_cores(before, after, 100) == 3.0
    assert 0 <= machine.sample_busy_cores(0.05) <= 2 * (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("meminfo", "used"),
    [("SwapTotal:  100 kB\nSwapFree:  60 kB", 40 * 1024), ("SwapTotal: 0 kB\nSwapFree: 0 kB", 0), ("", None)],
)
def test_swap_in_use_is_known_or_null(monkeypatch: pytest.MonkeyPatch, meminfo: str, used: int | None) -> None:
    read = machine._read
    monkeypatch.setattr(machine, "_read", lambda path: meminfo if path == "/proc/meminfo" else read(path))
    assert machine.describe([], [])["swap_used_bytes"] == used
