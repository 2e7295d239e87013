# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from evenkeel.process import run_with_deadline

STUBBORN = "trap '' INT; echo up; exec sleep 60"
OBLIGING = "trap 'echo partial result; exit 7' INT; echo up; while :; do sleep 0.05; done"


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_a_program_that_ends_by_itself() -> None:
    done = run_with_deadline(["sh", "-c", "echo out; echo err >&2; exit 3"], 30, 1)
    assert (done.rc, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert not done.interrupted
    assert not done.killed
    assert 0 < done.wall_seconds < 30


def test_the_window_is_the_programs_own() -> None:
    done = run_with_deadline(["sleep", "0.2"], 30, 1)
    assert 0.2 <= done.wall_seconds < 2


def test_at_the_deadline_it_is_interrupted_and_keeps_what_it_has() -> None:
    done = run_with_deadline(["sh", "-c", OBLIGING], 0.5, 20)
    assert done.interrupted
    assert not done.killed
    assert (done.rc, done.stdout) == (7, "up\npartial result\n")
    assert 0.5 <= done.wall_seconds < 15


def test_after_the_grace_it_is_killed() -> None:
    done = run_with_deadline(["sh", "-c", STUBBORN], 0.5, 0.2)
    assert done.interrupted
    assert done.killed
    assert done.rc == -signal.SIGKILL
    assert done.stdout == "up\n"


def test_a_program_killed_by_somebody_else_was_not_interrupted_by_us() -> None:
    done = run_with_deadline(["sh", "-c", "kill -TERM $$"], 30, 1)
    assert done.rc == -signal.SIGTERM
    assert not done.interrupted


def test_what_it_leaves_running_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    run_with_deadline(["sh", "-c", f"sleep 60 & echo $! > {pid_file}"], 30, 1)
    assert wait_until(lambda: not is_running(int(pid_file.read_text())))


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    command = ["sh", "-c", f"echo $$ > {pid_file}.new && mv {pid_file}.new {pid_file}; exec sleep 60"]
    program = f"from evenkeel.process import run_with_deadline; run_with_deadline({command!r}, 60, 1)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as parent:
        assert wait_until(pid_file.exists, 20)
        child = int(pid_file.read_text())
        assert is_running(child)
        parent.kill()
    assert wait_until(lambda: not is_running(child))


def test_it_is_killed_when_the_caller_fails(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(Interrupted):
            run_with_deadline(["sh", "-c", f"echo $$ > {pid_file}; exec sleep 60"], 60, 1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not is_running(int(pid_file.read_text()))


def test_an_ignored_sigint_is_not_inherited() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = run_with_deadline(["sleep", "60"], 0.3, 20)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.rc == -signal.SIGINT
    assert not done.killed


def test_an_ignored_sigchld_does_not_lose_the_exit_code() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert run_with_deadline(["sh", "-c", "exit 3"], 30, 1).rc == 3
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_much_output_does_not_block_it() -> None:
    done = run_with_deadline([sys.executable, "-c", "print('x' * 5_000_000)"], 30, 1)
    assert len(done.stdout) == 5_000_001


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert run_with_deadline(["printf", r"a\377b"], 30, 1).stdout == "a\N{REPLACEMENT CHARACTER}b"


def test_the_locale_is_c_and_the_rest_of_the_environment_stays() -> None:
    done = run_with_deadline(
        ["sh", "-c", "echo $LC_ALL $EXTRA"], 30, 1, environ_update={"EXTRA": "e", "LC_ALL": "de_DE"}
    )
    assert done.stdout == "C e\n"


def test_its_cpu_time_is_its_own() -> None:
    burn = "import time; end = time.process_time() + 0.1\nwhile time.process_time() < end: pass"
    done = run_with_deadline([sys.executable, "-c", burn], 60, 1)
    assert 0.1 <= done.cpu_seconds < 3
    assert run_with_deadline(["sleep", "0.1"], 30, 1).cpu_seconds < 0.1


def test_no_thread_and_no_descriptor_is_left_behind() -> None:
    run_with_deadline(["true"], 30, 1)
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    run_with_deadline(["true"], 30, 1)
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, descriptors)


def test_a_program_that_cannot_start() -> None:
    with pytest.raises(FileNotFoundError):
        run_with_deadline(["/nonexistent/program"], 1, 1)


@pytest.mark.parametrize(("deadline", "grace"), [(0, 1), (-1, 1), (float("nan"), 1), (1, -1), (1, float("nan"))])
def test_times_that_make_no_sense_are_refused(deadline: float, grace: float) -> None:
    with pytest.raises(ValueError, match="must"):
        run_with_deadline(["true"], deadline, grace)
