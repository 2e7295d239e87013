# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Run one program to its end or to a deadline, whatever happens first.

`AnsibleModule.run_command` has no deadline and no way to interrupt a program so that it still prints what it has;
both are needed here, so this is the one place of the toolkit that starts a measured program by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

from .clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PR_SET_PDEATHSIG = 1
_PARENT_IS_GONE = 125


@dataclass(frozen=True)
class Completed:
    """What is left of a program that has ended.

    `rc` is the exit code, or minus the signal's number; `cpu_seconds` is user plus system time of the program and of
    the children it has waited for, as the kernel accounts it. `interrupted` and `killed` say which signals were sent
    because the deadline, and then the grace, was over.
    """

    rc: int
    stdout: str
    stderr: str
    started_monotonic: float
    ended_monotonic: float
    cpu_seconds: float
    interrupted: bool
    killed: bool

    @property
    def wall_seconds(self) -> float:
        """Seconds from just before the program was started until the kernel said that it had ended."""
        return self.ended_monotonic - self.started_monotonic


def run_with_deadline(
    argv: Sequence[str],
    deadline_seconds: float,
    interrupt_grace_seconds: float,
    environ_update: Mapping[str, str] | None = None,
) -> Completed:
    """Run `argv` (no shell) with LC_ALL=C and nothing on stdin, and return when it has ended.

    At `deadline_seconds` its process group gets SIGINT, `interrupt_grace_seconds` later SIGKILL. The program is the
    leader of a session of its own, so that a Ctrl-C meant for Ansible does not reach it, and it dies with the calling
    thread (Linux's parent-death signal): no load goes on after its module is gone. What it leaves running in its
    group is killed. Output is kept in memory, not on a disk that may be full, and undecodable bytes are replaced.

    Raises OSError where the program cannot be started, and ValueError for a deadline that is not positive or a grace
    that is negative.
    """
    if not deadline_seconds > 0:
        raise ValueError(f"deadline_seconds must be positive, not {deadline_seconds!r}")
    if not interrupt_grace_seconds >= 0:
        raise ValueError(f"interrupt_grace_seconds must not be negative, not {interrupt_grace_seconds!r}")
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        # Inherited from whoever started this process: the kernel would then reap the child and forget how it ended.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    environment = {**os.environ, **(environ_update or {}), "LC_ALL": "C", "LANGUAGE": "C"}
    with _memory_file("stdout") as stdout, _memory_file("stderr") as stderr:
        started = monotonic()
        # preexec_fn is safe here: the function below only makes system calls, with everything it needs looked up
        # before the fork.
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            start_new_session=True,
            preexec_fn=_child_setup(),  # noqa: PLW1509
        )
        watch = _EndWatch(process.pid)
        interrupted = killed = False
        try:
            if not watch.wait(deadline_seconds):
                interrupted = True
                _signal_group(process.pid, signal.SIGINT)
                if not watch.wait(interrupt_grace_seconds):
                    killed = True
        finally:
            # Until it is reaped the dead leader keeps its group's number from being given to anybody else.
            _signal_group(process.pid, signal.SIGKILL)
            ended = watch.end()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        return Completed(
            rc=process.returncode,
            stdout=_text_of(stdout),
            stderr=_text_of(stderr),
            started_monotonic=started,
            ended_monotonic=ended,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            interrupted=interrupted,
            killed=killed,
        )


class _EndWatch:
    """Stamps the moment at which a child ends, without reaping it (its number stays ours until we do)."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended_monotonic = 0.0
        # Not the thread's own end: join() takes a thread for ended when a signal handler raises within it.
        self._has_ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        self._ended_monotonic = monotonic()
        self._has_ended.set()

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds`; say whether the child has ended."""
        return self._has_ended.wait(seconds)

    def end(self) -> float:
        """Wait for a child that has ended or been killed; when it ended, in monotonic seconds."""
        self._has_ended.wait()
        return self._ended_monotonic


def _memory_file(name: str) -> Any:
    return os.fdopen(os.memfd_create(name), "r+b")


def _text_of(file: Any) -> str:
    file.seek(0)
    return bytes(file.read()).decode("utf-8", errors="replace")


def _signal_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)


def _child_setup() -> Callable[[], None]:
    """What the child does between fork and exec: die with its parent, and take SIGINT as a program does by default."""
    parent = os.getpid()
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)

    def setup() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                # The parent died before it could be watched.
                os._exit(_PARENT_IS_GONE)

    return setup
