# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What no keeper keeps is ended, and nothing else is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[4] / "roles" / "platform_process" / "files" / "end_processes.sh"
Start = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "a stäte"
    folder.mkdir()
    return folder


@pytest.fixture
def start(state: Path) -> Iterator[Start]:
    """A function that starts a shell script as the leader of a process group."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(script: str, name: str = f"{state}/run.sh") -> subprocess.Popen[bytes]:
        argv = ["sh", "-c", script, name]
        started.append(subprocess.Popen(argv, start_new_session=True, stdout=subprocess.DEVNULL))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def end(state: Path, *pid_files: Path, seconds: int = 5) -> str:
    argv = ["sh", str(SCRIPT), str(state), str(seconds), *map(str, pid_files)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.stdout


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(pid: int) -> bool:
    """Whether a process ends; one that was sent a signal may still have to be given the CPU to take it."""
    end_at = time.monotonic() + 10
    while lives(pid) and time.monotonic() < end_at:
        time.sleep(0.01)
    return not lives(pid)


def wait_for(path: Path) -> str:
    end_at = time.monotonic() + 10
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < end_at
        time.sleep(0.01)
    return path.read_text()


def test_a_process_and_its_child_end(state: Path, start: Start) -> None:
    leader = start(f"sleep 60 & echo $! >'{state}/child'; wait")
    child = int(wait_for(state / "child"))
    pid_file = state / "service.pid"
    pid_file.write_text(f"{leader.pid}\n")
    assert f"ended process {leader.pid}" in end(state, pid_file)
    assert leader.wait(5) == -15
    assert ends(child)
    assert not pid_file.exists()


def test_one_that_will_not_end_is_killed(state: Path, start: Start) -> None:
    leader = start(f"trap '' TERM; echo >'{state}/deaf'; while :; do sleep 0.1; done")
    wait_for(state / "deaf")
    (state / "service.pid").write_text(f"{leader.pid}\n")
    assert end(state, state / "service.pid", seconds=1)
    assert leader.wait(5) == -9


def test_a_process_that_got_the_same_id_is_left_alone(state: Path, start: Start) -> None:
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        (state / "service.pid").write_text(f"{stranger.pid}\n")
        assert end(state, state / "service.pid") == ""
        assert stranger.poll() is None
        assert not (state / "service.pid").exists()
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", ["", "99999999\n", "0\n", "1\n", "-1\n", "not a number\n"])
def test_a_pid_file_without_a_process_is_removed(state: Path, content: str) -> None:
    (state / "service.pid").write_text(content)
    assert end(state, state / "absent.pid", state / "service.pid") == ""
    assert not (state / "service.pid").exists()
