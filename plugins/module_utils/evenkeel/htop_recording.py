# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Record real htop's screen, and /proc beside it, on the target host.

htop has no batch mode, so it runs in a pseudo-terminal of its own and what it writes is kept with time stamps; the
controller draws and reads it (``htop_facts``). The screen's bytes, the CPU counters and the memory of one recording
are stamped by one clock.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from . import cgroup, procfs
from .clock import Deadline, host_boot_id, monotonic
from .watch import COUNTER_INTERVAL_SECONDS, Watch, WatchError

ROWS, COLUMNS = 60, 240

# A frame is complete after this much silence, or a fourth of the interval where that is less.
FRAME_SILENCE_SECONDS = 0.25

# The first frame samples 75 ms and is dropped; the second one is good.
FEWEST_FRAMES = 2

PROBE_DEADLINE_SECONDS = 10
EXIT_GRACE_SECONDS = 2.0
INSTALL_HINT = "install the package htop: apt-get install htop (Debian, Ubuntu) or dnf install htop (Fedora, RHEL)"

OLDEST_VERSION, NEWEST_VERSION = (3, 0), (3, 5)

# htop draws only processes that fit below its seven meters and the header.
MOST_PROCESSES = ROWS - 12

# One file for all versions: 3.0 and 3.1 read the numeric field ids and left_meters, later ones column_meters_0 and
# screen:Main. Meter mode 2 is text. CPU is the mean of all CPUs: a meter for each would leave no row for a process on a
# large host. The clock guarantees that every refresh writes something.
_METERS = "CPU Memory Swap LoadAverage Tasks Uptime Clock"
_MODES = " ".join(["2"] * len(_METERS.split()))
HTOPRC = f"""\
htop_version=3.2.2
config_reader_min_version=2
fields=0 2 50 46 47 38 39 40 49 1
hide_kernel_threads=1
hide_userland_threads=1
shadow_other_users=0
show_thread_names=0
show_program_path=1
highlight_base_name=0
highlight_deleted_exe=0
highlight_changes=0
highlight_megabytes=0
highlight_threads=0
find_comm_in_cmdline=0
strip_exe_from_cmdline=0
show_merged_command=0
header_margin=0
screen_tabs=0
detailed_cpu_time=1
cpu_count_from_one=0
show_cpu_usage=1
show_cpu_frequency=0
show_cpu_temperature=0
update_process_names=0
account_guest_in_cpu_meter=0
color_scheme=1
enable_mouse=0
delay=10
hide_function_bar=2
header_layout=two_50_50
left_meters={_METERS}
left_meter_modes={_MODES}
right_meters=Hostname
right_meter_modes=2
column_meters_0={_METERS}
column_meter_modes_0={_MODES}
column_meters_1=Hostname
column_meter_modes_1=2
tree_view=0
sort_key=46
sort_direction=-1
tree_sort_key=0
tree_sort_direction=1
tree_view_always_by_pid=0
all_branches_collapsed=0
screen:Main=PID STATE NLWP PERCENT_CPU PERCENT_MEM M_VIRT M_RESIDENT M_SHARE TIME Command
.sort_key=PERCENT_CPU
.tree_sort_key=PID
.tree_view=0
.tree_view_always_by_pid=0
.sort_direction=-1
.tree_sort_direction=1
.all_branches_collapsed=0
"""


def find_htop(htop_path: str) -> str:
    """The program's full path. Raises WatchError, with the command that installs it, where it is absent."""
    search = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/local/bin:/usr/bin:/bin"
    found = shutil.which(htop_path, path=search)
    if found is None:
        raise WatchError(f"htop was not found ({htop_path}); {INSTALL_HINT}")
    return found


def _probe(argv: Sequence[str], runner: Callable[..., Any] = subprocess.run) -> str:
    try:
        completed = runner(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=PROBE_DEADLINE_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WatchError(f"{' '.join(argv)} did not work: {error}; {INSTALL_HINT}") from error
    return str(completed.stdout.decode(errors="replace"))


def parse_version(text: str) -> str:
    """``htop 3.2.2`` -> ``3.2.2``. Raises WatchError for another program or a version before 3.0."""
    match = re.search(r"^htop (\d+)\.(\d+)(\.\d+)?\S*", text, re.MULTILINE)
    if not match:
        raise WatchError(f"htop --version answered {text.strip()[:200]!r}, which is not htop's; {INSTALL_HINT}")
    version = (int(match.group(1)), int(match.group(2)))
    if version < OLDEST_VERSION:
        raise WatchError(f"{match.group(0)} is too old: its screen cannot be read before 3.0; upgrade htop")
    return match.group(0)[len("htop ") :]


def version_warnings(version: str) -> list[str]:
    """A warning for a version newer than those whose screens are known."""
    major, minor = (int(part) for part in version.split(".")[:2])
    if (major, minor) <= NEWEST_VERSION:
        return []
    return [f"htop {version} is newer than 3.5, the newest whose screen is known here: see proc_check"]


def build_argv(htop: str, pids: Sequence[int], interval_seconds: float, help_text: str) -> list[str]:
    """htop's arguments; ``--readonly`` only where its help knows it (from 3.1 on)."""
    readonly = ["--readonly"] if "--readonly" in help_text else []
    delay = str(round(interval_seconds * 10))
    return [htop, "-C", "-U", "-M", "-d", delay, *readonly, "-p", ",".join(str(pid) for pid in pids)]


def plan(htop_path: str, pids: Sequence[int], interval_seconds: float) -> dict[str, Any]:
    """``{"argv", "version", "warnings"}`` of a recording, without starting it.

    Raises WatchError where htop is absent, too old, or cannot show that many processes.
    """
    if len(pids) > MOST_PROCESSES:
        raise WatchError(f"{len(pids)} processes do not fit on htop's screen of {ROWS} rows: {MOST_PROCESSES} do")
    htop = find_htop(htop_path)
    version = parse_version(_probe([htop, "--version"]))
    argv = build_argv(htop, pids, interval_seconds, _probe([htop, "--help"]))
    return {"argv": argv, "version": version, "warnings": version_warnings(version)}


def environment(home: str) -> dict[str, str]:
    """What htop gets to know of its surroundings: nothing that could change its screen."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "TERM": "linux",
        "LC_ALL": "C",
        "HOME": home,
        "HTOPRC": os.path.join(home, "htoprc"),
    }


class Terminal:
    """A program in a pseudo-terminal of 240x60; its end is sure to come with ours.

    The terminal is the program's controlling one, so that the kernel hangs it up when this process ends, however.
    """

    def __init__(self, argv: Sequence[str], environ: dict[str, str]) -> None:
        parent = os.getpid()
        prctl = getattr(ctypes.CDLL(None), "prctl", None)
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
                if prctl is not None:
                    prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
                if os.getppid() == parent:
                    os.execve(argv[0], list(argv), environ)
            finally:
                os._exit(127)

    def read(self, timeout_seconds: float) -> bytes | None:
        """What was written within the time; empty bytes where nothing was, None where the program has ended."""
        readable, _, _ = select.select([self.descriptor], [], [], max(0.0, timeout_seconds))
        if not readable:
            return b""
        try:
            return os.read(self.descriptor, 65536) or None
        except OSError:  # the other side of a pseudo-terminal is closed
            return None

    def close(self) -> float:
        """End the program; the CPU seconds it has used."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        give_up = monotonic() + EXIT_GRACE_SECONDS
        ended, _, usage = os.wait4(self.pid, os.WNOHANG)
        while ended == 0 and monotonic() < give_up:
            self.read(0.02)  # a full terminal would keep it from ending
            ended, _, usage = os.wait4(self.pid, os.WNOHANG)
        if ended == 0:
            os.kill(self.pid, signal.SIGKILL)
            _, _, usage = os.wait4(self.pid, 0)
        os.close(self.descriptor)
        return usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def _private_home(temporary_dir: str | None) -> Iterator[str]:
    home = tempfile.mkdtemp(prefix="evenkeel-htop-", dir=temporary_dir)
    try:
        with open(os.path.join(home, "htoprc"), "w", encoding="ascii") as stream:
            stream.write(HTOPRC)
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@dataclass(frozen=True)
class Service:
    """What is watched: ``resolve`` names its root processes, again after each restart.

    ``group`` names the control group that has these processes and no others: what it counts is recorded beside theirs.
    """

    resolve: Callable[[], list[int]]
    group: str | None = None


class Recorder:
    """The state of one recording: screen bytes cut into frames, counters between them, memory at each."""

    def __init__(self, counter: procfs.CpuCounter, service: Service, silence_seconds: float) -> None:
        self._counter = counter
        self._resolve = service.resolve
        self._silence = silence_seconds
        self._roots = set(service.resolve())
        self._group = None if service.group is None else cgroup.Group(service.group, min(self._roots))
        self._first_pids = set(counter.pids)
        self._burst: list[bytes] = []
        self._burst_ends = 0.0
        self.frames: list[dict[str, Any]] = []
        self.screens: list[bytes] = []
        self.cpu_samples: list[list[float]] = []
        self.memory_samples: list[list[float]] = []
        self.group_cpu_samples: list[list[float]] = []
        self.group_memory_samples: list[list[float]] = []
        self.restarted = False
        self.sample_cpu()

    def sample_cpu(self) -> None:
        """Read the CPU counters once."""
        now, seconds = self._counter.read()
        if not self.cpu_samples or now > self.cpu_samples[-1][0]:
            self.cpu_samples.append([now, seconds])
        if self._group is not None:
            now, used = monotonic(), self._group.usage_seconds()
            if used is not None:
                self.group_cpu_samples.append([now, used])

    def receive(self, data: bytes) -> None:
        """Take bytes in. The first of a frame is the moment nearest to htop's own reading of /proc: stamp it."""
        if not self._burst:
            self.sample_cpu()
            self.frames.append(self._proc_frame(self.cpu_samples[-1][0]))
        self._burst.append(data)
        self._burst_ends = monotonic() + self._silence

    def complete_frame(self) -> bool:
        """Close the frame that was followed by silence; whether there was one."""
        if not self._burst or monotonic() < self._burst_ends:
            return False
        self.screens.append(b"".join(self._burst))
        self._burst = []
        return True

    @property
    def drawing(self) -> bool:
        """Whether a frame has begun and is not complete yet."""
        return bool(self._burst)

    def drop_open_frame(self) -> None:
        """Forget a frame that was still being drawn at the end."""
        if self._burst:
            self._burst = []
            self.frames.pop()

    def _proc_frame(self, now: float) -> dict[str, Any]:
        by_pid = self._counter.seconds_by_pid()
        busy, total = procfs.host_cpu_seconds()
        pids = self._counter.pids
        processes = [{**entry, "cpu_seconds": by_pid.get(entry["pid"])} for entry in procfs.describe(pids)]
        self._sample_memory(now, processes)
        self._follow_restart()
        return {
            "monotonic_seconds": now,
            "host_busy_seconds": busy,
            "host_total_seconds": total,
            "host_available_bytes": procfs.host_memory()["available_bytes"],
            "processes": processes,
        }

    def _sample_memory(self, now: float, processes: Sequence[dict[str, Any]]) -> None:
        proportional = [entry["pss_bytes"] for entry in processes]
        if proportional and None not in proportional:
            self.memory_samples.append([now, sum(proportional)])
        used = None if self._group is None else self._group.working_set_bytes()
        if used is not None:
            self.group_memory_samples.append([now, used])

    def _follow_restart(self) -> None:
        """A root that ended, and the one a pid file or unit names in its place."""
        if all(procfs.status(pid) is not None for pid in self._roots):
            return
        self.restarted = True
        try:
            roots = set(self._resolve())
        except procfs.ProcessNotFound:
            return  # not up again yet, or never: looked for once more at the next frame
        self._counter.add_roots(roots - self._roots)
        self._roots = roots

    def of_group(self) -> dict[str, Any] | None:
        """What the control group counted, in the form of a container's; None where it could not be seen."""
        resolution = None if self._group is None else self._group.resolution_seconds()
        if resolution is None:
            return None
        return {
            "counters": {"source": "cgroup", "resolution_seconds": resolution, "samples": self.group_cpu_samples},
            "memory": {"kind": "working_set", "samples": self.group_memory_samples},
        }

    def ended_pids(self) -> list[int]:
        """Of the processes watched from the beginning, those that have ended."""
        return sorted(pid for pid in self._first_pids if procfs.status(pid) is None)


def record(
    argv: Sequence[str],
    service: Service,
    watch: Watch,
    interval_seconds: float,
    temporary_dir: str | None = None,
) -> dict[str, Any]:
    """Run htop until the watch is over and return the recording.

    htop's private home is made in ``temporary_dir``. The first frame makes the watch ready: it is dropped, and the next
    one's interval begins with it. Raises WatchError where htop ends by itself or draws nothing in time, ProcessNotFound
    where the processes do not run.
    """
    own_cpu_before = time.process_time()
    silence = min(FRAME_SILENCE_SECONDS, interval_seconds / 4)
    counter = procfs.cpu_counter(service.resolve())
    recorder = Recorder(counter, service, silence)
    root = min(service.resolve())
    held_back_before = cgroup.throttling_upwards(root)
    with _private_home(temporary_dir) as home:
        terminal = Terminal(argv, environment(home))
        try:
            _fill(recorder, terminal, watch)
        finally:
            htop_cpu_seconds = terminal.close()
    recorder.drop_open_frame()
    recorder.sample_cpu()
    if len(recorder.screens) < FEWEST_FRAMES:
        raise WatchError(
            f"htop drew {len(recorder.screens)} frames until the {watch.ended_by} ended the watch, "
            "and the first good one is the second; give it more time"
        )
    return {
        "delay_seconds": interval_seconds,
        "rows": ROWS,
        "columns": COLUMNS,
        "host_boot_id": host_boot_id(),
        "window": watch.window(),
        "screens": encode_screens(recorder.screens),
        "frames": recorder.frames,
        "counters": {
            "source": counter.source,
            "resolution_seconds": counter.resolution_seconds,
            "samples": recorder.cpu_samples,
        },
        "memory": {"kind": "pss", "samples": recorder.memory_samples},
        "group": recorder.of_group(),
        "restarted": recorder.restarted,
        "ended_pids": recorder.ended_pids(),
        "cgroup": {
            **cgroup.most_throttled(held_back_before, cgroup.throttling_upwards(root)),
            "cpu_quota_cores": _quota(root),
        },
        "client": {"cpu_seconds": time.process_time() - own_cpu_before + htop_cpu_seconds},
    }


def _quota(pid: int) -> float | None:
    """The CPU quota that holds for the process, in cores; None where there is none, or it has ended."""
    try:
        return cgroup.cpu_quota_cores(pid)
    except procfs.ProcessNotFound:
        return None


def _fill(recorder: Recorder, terminal: Terminal, watch: Watch) -> None:
    next_sample = monotonic() + COUNTER_INTERVAL_SECONDS
    # A load that is over at once still gets one frame that is good.
    while not watch.over() or (len(recorder.screens) < FEWEST_FRAMES and not watch.expired()):
        data = terminal.read(min(COUNTER_INTERVAL_SECONDS / 2, next_sample - monotonic()))
        if data is None:
            drawn = b"".join(recorder.screens)[-500:].decode(errors="replace")
            raise WatchError(f"htop ended by itself after {len(recorder.screens)} frames; the last it wrote: {drawn!r}")
        if data:
            recorder.receive(data)
        if recorder.complete_frame() and len(recorder.screens) == 1:
            watch.ready()
        if monotonic() >= next_sample:
            recorder.sample_cpu()
            next_sample = max(next_sample + COUNTER_INTERVAL_SECONDS, monotonic())
    # The frame being drawn at the end is still a whole one, if it is given the silence that closes it.
    closing = Deadline(2 * FRAME_SILENCE_SECONDS)
    while recorder.drawing and not closing.expired():
        data = terminal.read(COUNTER_INTERVAL_SECONDS / 2)
        if data:
            recorder.receive(data)
        recorder.complete_frame()


def encode_screens(screens: Sequence[bytes]) -> dict[str, Any]:
    """``{"lengths", "data"}``: the bytes one after the other, compressed by zlib, in base64."""
    return {
        "lengths": [len(screen) for screen in screens],
        "data": base64.b64encode(zlib.compress(b"".join(screens))).decode("ascii"),
    }


def decode_screens(encoded: dict[str, Any]) -> list[bytes]:
    """The opposite of ``encode_screens``. Raises ValueError where the two parts do not fit together."""
    try:
        data = zlib.decompress(base64.b64decode(encoded["data"], validate=True))
    except zlib.error as error:
        raise ValueError(f"the recording's screens cannot be unpacked: {error}") from error
    if sum(encoded["lengths"]) != len(data):
        raise ValueError(f"the recording's screens hold {len(data)} bytes, {sum(encoded['lengths'])} were recorded")
    screens, begin = [], 0
    for length in encoded["lengths"]:
        screens.append(data[begin : begin + length])
        begin += length
    return screens
