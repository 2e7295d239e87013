# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What the kernel says about processes: who belongs to a service, and what CPU time and memory it used.

Everything is read from procfs (``man 5 proc``). ``proc_root`` can be another directory, so that recorded trees can be
read as well. A process that ends while it is being read is an ordinary event here, never an error.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .clock import monotonic

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
NANOSECONDS_PER_SECOND = 1_000_000_000

# A process counts user and system time in whole ticks, each rounded down: a difference of two readings can exceed the
# truth by just under one tick of each kind.
TICK_ERROR_SECONDS = 2 / TICKS_PER_SECOND

# A pid file is written after its process has started; the slack covers the seconds-only time stamps of some file
# systems and the kernel's own rounding of a start time.
PID_FILE_SLACK_SECONDS = 2.0

SYSTEMCTL_DEADLINE_SECONDS = 10


class ProcessNotFound(Exception):
    """A process that was named is not running; the message says which, where it was named and what to do."""


class ProcessStatus(NamedTuple):
    """The fields of ``/proc/PID/stat`` used here; times in clock ticks, the start counted from the host's boot."""

    pid: int
    state: str
    parent: int
    own_ticks: int
    reaped_ticks: int
    start_ticks: int


def _read_text(*parts: str) -> str | None:
    """The file's text, or None where it is gone or may not be read."""
    try:
        with open(os.path.join(*parts), encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return None


def _numeric_entries(directory: str) -> list[int]:
    try:
        return [int(name) for name in os.listdir(directory) if name.isdigit()]
    except OSError:
        return []


def parse_status(text: str) -> ProcessStatus:
    """Parse one line of ``/proc/PID/stat``. The command may hold spaces and parentheses: its last ')' ends it.

    Raises ValueError where the line is cut short.
    """
    pid, _, rest = text.partition(" (")
    fields = rest.rpartition(")")[2].split()
    if len(fields) < 20:
        raise ValueError(
            f"a process status line has {len(fields)} fields after the command, expected at least 20: {text!r}"
        )
    user, system, reaped_user, reaped_system = (int(value) for value in fields[11:15])
    return ProcessStatus(
        pid=int(pid),
        state=fields[0],
        parent=int(fields[1]),
        own_ticks=user + system,
        reaped_ticks=reaped_user + reaped_system,
        start_ticks=int(fields[19]),
    )


def status(pid: int, proc_root: str = "/proc") -> ProcessStatus | None:
    """The status of a living process; None where there is none, or only a zombie is left of it."""
    text = _read_text(proc_root, str(pid), "stat")
    if not text:
        return None
    parsed = parse_status(text)
    return None if parsed.state in "ZXx" else parsed


def _children_of_all(proc_root: str) -> dict[int, list[int]]:
    """Parent -> children over the whole process table, for kernels built without CONFIG_PROC_CHILDREN."""
    children: dict[int, list[int]] = {}
    for pid in _numeric_entries(proc_root):
        found = status(pid, proc_root)
        if found:
            children.setdefault(found.parent, []).append(pid)
    return children


def _children(pid: int, proc_root: str) -> list[int]:
    tasks = os.path.join(proc_root, str(pid), "task")
    texts = (_read_text(tasks, str(thread), "children") for thread in _numeric_entries(tasks))
    return [int(child) for text in texts if text for child in text.split()]


def process_tree(root_pids: Iterable[int], proc_root: str = "/proc") -> list[int]:
    """The roots that live and all their living descendants, ascending."""
    pending = list(root_pids)
    known_to_kernel = pending and any(
        os.path.exists(os.path.join(proc_root, str(pid), "task", str(pid), "children")) for pid in pending
    )
    table = {} if known_to_kernel else _children_of_all(proc_root)
    found: set[int] = set()
    while pending:
        pid = pending.pop()
        if pid in found or status(pid, proc_root) is None:
            continue
        found.add(pid)
        pending.extend(_children(pid, proc_root) if known_to_kernel else table.get(pid, []))
    return sorted(found)


def resolve_pids(
    pids: Sequence[int] = (), pid_file: str | None = None, unit: str | None = None, proc_root: str = "/proc"
) -> list[int]:
    """The root processes named by their ids, by a file that holds one, or by a systemd unit; each at least once alive.

    Raises ProcessNotFound where one of them does not run, ValueError where none is named.
    """
    if not pids and pid_file is None and unit is None:
        raise ValueError("no process was named: give pids, pid_file or unit")
    roots = list(pids)
    for pid in roots:
        if status(pid, proc_root) is None:
            raise ProcessNotFound(f"process {pid}, named in pids, does not run; name a running process")
    if pid_file is not None:
        roots.append(_pid_from_file(pid_file, proc_root))
    if unit is not None:
        roots.append(_pid_of_unit(unit))
    return sorted(set(roots))


def _pid_from_file(pid_file: str, proc_root: str) -> int:
    try:
        with open(pid_file, encoding="utf-8", errors="replace") as stream:
            text = stream.read().strip()
            written = os.fstat(stream.fileno()).st_mtime
    except OSError as error:
        raise ProcessNotFound(
            f"cannot read the pid file {pid_file}: {error.strerror}; start the service, or correct pid_file"
        ) from error
    if not text.isdigit() or int(text) == 0:
        raise ProcessNotFound(f"the pid file {pid_file} holds {text[:80]!r}, not a process id; correct pid_file")
    pid = int(text)
    found = status(pid, proc_root)
    if found is None:
        raise ProcessNotFound(f"the pid file {pid_file} is stale: its process {pid} does not run; start the service")
    # Ages, not dates, are compared, so that the host's boot date need not be known.
    process_age = uptime_seconds(proc_root) - found.start_ticks / TICKS_PER_SECOND
    file_age = time.time() - written
    if file_age - process_age > PID_FILE_SLACK_SECONDS:
        raise ProcessNotFound(
            f"the pid file {pid_file} is stale: it is {file_age:.0f} s old, but process {pid} runs for only "
            f"{process_age:.0f} s, so it is another one that was given the same id; restart the service"
        )
    return pid


def unit_properties(unit: str) -> dict[str, str]:
    """What systemd says of a unit: MainPID, ActiveState, LoadState, Result and NRestarts; systemctl(1).

    Raises ProcessNotFound where systemd cannot be asked.
    """
    argv = ["systemctl", "show", "--property=MainPID,ActiveState,LoadState,Result,NRestarts", "--", unit]
    try:
        completed = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SYSTEMCTL_DEADLINE_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise ProcessNotFound(
            f"cannot find the processes of unit {unit}: systemctl is not installed; name them by pids or pid_file"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ProcessNotFound(
            f"systemctl did not say within {SYSTEMCTL_DEADLINE_SECONDS} s which process unit {unit} has"
        ) from error
    if completed.returncode != 0:
        raise ProcessNotFound(
            f"systemctl does not know the processes of unit {unit} (exit code {completed.returncode}): "
            f"{completed.stderr.strip()[-500:]}"
        )
    return dict(line.partition("=")[::2] for line in completed.stdout.splitlines())


def _pid_of_unit(unit: str) -> int:
    properties = unit_properties(unit)
    main_pid = properties.get("MainPID", "0")
    if not main_pid.isdigit() or int(main_pid) == 0:
        raise ProcessNotFound(
            f"unit {unit} has no running process (LoadState {properties.get('LoadState', 'unknown')}, "
            f"ActiveState {properties.get('ActiveState', 'unknown')}); start it: systemctl start {unit}"
        )
    return int(main_pid)


def in_namespaces(inner_pid: object, proc_root: str = "/proc") -> list[int]:
    """The processes of this host that have the id ``inner_pid`` in a process namespace of their own, ascending.

    ``NSpid`` in /proc/PID/status (man 5 proc) lists a process's ids from this namespace inwards.
    """
    found = []
    for pid in _numeric_entries(proc_root):
        for line in (_read_text(proc_root, str(pid), "status") or "").splitlines():
            if line.startswith("NSpid:"):
                ids = line.split()[1:]
                if len(ids) > 1 and ids[-1] == str(inner_pid):
                    found.append(pid)
    return sorted(found)


def uptime_seconds(proc_root: str = "/proc") -> float:
    """Seconds since the host's boot, suspended time included. Raises ValueError where the kernel does not say."""
    text = _read_text(proc_root, "uptime")
    if not text:
        raise ValueError(f"cannot read {proc_root}/uptime")
    return float(text.split()[0])


class _ThreadTimes:
    """CPU time in nanoseconds of all threads of one process, those that have ended included as last seen."""

    def __init__(self, pid: int, proc_root: str) -> None:
        self._tasks = os.path.join(proc_root, str(pid), "task")
        self._living: dict[int, int] = {}
        self._ended = 0

    def read(self) -> int | None:
        """The sum over all threads so far, or None where the kernel keeps no such counter."""
        known = bool(self._living)
        for thread in {*_numeric_entries(self._tasks), *self._living}:
            text = _read_text(self._tasks, str(thread), "schedstat")
            if not text:
                self._ended += self._living.pop(thread, 0)
                continue
            now = int(text.split()[0])
            before = self._living.get(thread, 0)
            if now < before:  # the id was given to another thread
                self._ended += before
            self._living[thread] = now
        if not known and not self._living:
            return None
        return self._ended + sum(self._living.values())


class _ProcessTimes:
    """CPU seconds of one process since it was first read, or since it began (``newborn``)."""

    def __init__(self, first: ProcessStatus, newborn: bool, proc_root: str) -> None:
        self.identity = (first.pid, first.start_ticks)
        self.parent = first.parent
        self._proc_root = proc_root
        self._threads = _ThreadTimes(first.pid, proc_root)
        threads = self._threads.read()
        self.has_nanoseconds = threads is not None
        self._thread_base = 0 if newborn else threads or 0
        self._own_base = 0 if newborn else first.own_ticks
        self._reaped_base = 0 if newborn else first.reaped_ticks
        self._tick_error = 0.0 if newborn else TICK_ERROR_SECONDS
        self._ended_children_seconds = 0.0
        self._found = first
        self._counted = threads
        self.seconds = 0.0
        self.settle()

    @property
    def charged_seconds(self) -> float:
        """What the parent is charged for when it reaps this process: its own time and that of its reaped children."""
        return self.seconds + self._ended_children_seconds

    def observe(self) -> bool:
        """Read the kernel's figures; False where the process has ended."""
        found = status(self.identity[0], self._proc_root)
        if found is None or (found.pid, found.start_ticks) != self.identity:
            return False
        self.parent = found.parent
        self._found = found
        if self.has_nanoseconds:
            self._counted = self._threads.read()
        return True

    def child_ended(self, seconds: float) -> None:
        """A child that was counted by itself has ended: what it used is not to be counted again when it is reaped."""
        self._ended_children_seconds += seconds

    def settle(self) -> None:
        """Bring ``seconds`` up to date with what was observed, once the ended children are known."""
        own = (self._found.own_ticks - self._own_base) / TICKS_PER_SECOND
        if self.has_nanoseconds:
            # Both are lower bounds of the truth: the threads' sum misses threads that came and went between two
            # readings, the process's ticks are rounded down. The larger one is the closer.
            counted = ((self._counted or 0) - self._thread_base) / NANOSECONDS_PER_SECOND
            own = max(counted, own - self._tick_error)
        # Children that came and went between two readings are only seen in what their parent was charged for them.
        reaped = (self._found.reaped_ticks - self._reaped_base) / TICKS_PER_SECOND
        missed = reaped - self._ended_children_seconds - TICK_ERROR_SECONDS
        self.seconds = max(self.seconds, own + max(0.0, missed))


class CpuCounter:
    """CPU time of a service's processes: the roots and all their descendants, from the first reading on.

    ``source`` is ``schedstat`` (the nanosecond run time the scheduler keeps for every thread) or, where the kernel has
    none, ``ticks`` (user and system time in clock ticks); ``resolution_seconds`` is the counter's own unit. Threads and
    processes that come and go between two readings are found in their process's or parent's ticks.
    """

    def __init__(self, root_pids: Iterable[int], proc_root: str = "/proc") -> None:
        self._roots = list(root_pids)
        self._proc_root = proc_root
        self._processes: dict[int, _ProcessTimes] = {}
        self._ended_seconds = 0.0
        for pid in process_tree(self._roots, proc_root):
            self._add(pid, newborn=False)
        if not self._processes:
            raise ProcessNotFound(f"none of the processes {self._roots} runs; start the service")
        self.source = "schedstat" if all(one.has_nanoseconds for one in self._processes.values()) else "ticks"
        self.resolution_seconds = 1 / (NANOSECONDS_PER_SECOND if self.source == "schedstat" else TICKS_PER_SECOND)

    @property
    def pids(self) -> list[int]:
        """The processes found alive at the last reading, ascending."""
        return sorted(self._processes)

    def seconds_by_pid(self) -> dict[int, float]:
        """CPU seconds, as of the last reading, of each process then alive."""
        return {pid: process.seconds for pid, process in self._processes.items()}

    def add_roots(self, root_pids: Iterable[int]) -> None:
        """Count these processes as well, from their beginning: the service has started anew."""
        self._roots.extend(root_pids)

    def read(self) -> tuple[float, float]:
        """(monotonic_seconds, cpu_seconds): the CPU time since the counter was made, never falling."""
        now = monotonic()
        # Parents are observed before their children, so that a child's end between the two is not taken for the time
        # of another child; what has ended is known before anything is added up.
        oldest_first = sorted(self._processes.items(), key=lambda item: item[1].identity[::-1])
        ended = [pid for pid, process in oldest_first if not process.observe()]
        for pid in reversed(ended):  # children first: what they used is passed on through their parents
            self._remove(pid)
        for process in self._processes.values():
            process.settle()
        for pid in process_tree({*self._roots, *self._processes}, self._proc_root):
            if pid not in self._processes:
                self._add(pid, newborn=True)
        return now, self._ended_seconds + sum(process.seconds for process in self._processes.values())

    def _add(self, pid: int, newborn: bool) -> None:
        found = status(pid, self._proc_root)
        if found:
            self._processes[pid] = _ProcessTimes(found, newborn, self._proc_root)

    def _remove(self, pid: int) -> None:
        process = self._processes.pop(pid)
        self._ended_seconds += process.seconds
        parent = self._processes.get(process.parent)
        if parent:
            parent.child_ended(process.charged_seconds)


def cpu_counter(pids: Iterable[int], proc_root: str = "/proc") -> CpuCounter:
    """A counter of the CPU time used from now on by these processes and all their descendants.

    Raises ProcessNotFound where none of them runs.
    """
    return CpuCounter(pids, proc_root)


def parse_kibibytes(text: str) -> dict[str, int]:
    """``Name:  N kB`` lines, as in meminfo and smaps_rollup, as bytes by name."""
    values = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        fields = rest.split()
        if len(fields) == 2 and fields[1] == "kB" and fields[0].isdigit():
            values[name.strip()] = int(fields[0]) * 1024
    return values


def memory(pids: Iterable[int], proc_root: str = "/proc") -> dict[str, int | None]:
    """``{"resident_bytes", "pss_bytes"}`` summed over these processes (not their descendants).

    Shared pages count in full for each process in the resident size, and by their share in the proportional one (PSS),
    which alone may be summed over a master and its workers. A figure is None where the kernel does not give it for one
    of the living processes, or where none lives.
    """
    resident: list[int | None] = []
    proportional: list[int | None] = []
    for pid in pids:
        if status(pid, proc_root) is None:
            continue
        own = parse_kibibytes(_read_text(proc_root, str(pid), "status") or "")
        rollup = parse_kibibytes(_read_text(proc_root, str(pid), "smaps_rollup") or "")
        if not own and status(pid, proc_root) is None:
            continue
        resident.append(own.get("VmRSS"))
        proportional.append(rollup.get("Pss"))
    return {"resident_bytes": _sum_of_known(resident), "pss_bytes": _sum_of_known(proportional)}


def _sum_of_known(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def parse_cpu_list(text: str) -> list[int]:
    """The kernel's list format: ``0-2,4`` is [0, 1, 2, 4]."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def affinity(pid: int, proc_root: str = "/proc") -> list[int]:
    """The CPUs the process may run on. Raises ProcessNotFound where it does not run."""
    for line in (_read_text(proc_root, str(pid), "status") or "").splitlines():
        name, _, value = line.partition(":")
        if name == "Cpus_allowed_list":
            return parse_cpu_list(value)
    raise ProcessNotFound(f"process {pid} does not run, so its CPUs cannot be read")


def host_memory(proc_root: str = "/proc") -> dict[str, int]:
    """``{"total_bytes", "available_bytes"}`` of the host. Raises ValueError where the kernel gives neither."""
    values = parse_kibibytes(_read_text(proc_root, "meminfo") or "")
    if "MemTotal" not in values or "MemAvailable" not in values:
        raise ValueError(f"{proc_root}/meminfo has no MemTotal and MemAvailable")
    return {"total_bytes": values["MemTotal"], "available_bytes": values["MemAvailable"]}


def host_cpu_seconds(proc_root: str = "/proc") -> tuple[float, float]:
    """(busy, total) CPU seconds of the whole host since boot; idle, I/O wait and stolen time are not busy."""
    fields = (_read_text(proc_root, "stat") or "").partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu":
        raise ValueError(f"{proc_root}/stat does not begin with the host's CPU times")
    # Guest time (the ninth and tenth) is already part of user and nice time.
    ticks = [int(value) for value in fields[1:9]]
    idle, io_wait, stolen = ticks[3], ticks[4], ticks[7]
    return (sum(ticks) - idle - io_wait - stolen) / TICKS_PER_SECOND, sum(ticks) / TICKS_PER_SECOND


def host_steal_seconds(proc_root: str = "/proc") -> tuple[float | None, float | None]:
    """(stolen, total) CPU seconds of the whole host since boot.

    Stolen is the time in which a CPU of this virtual machine was ready to run and its host ran something else: the
    eighth field of /proc/stat's first line, since Linux 2.6.11 (man 5 proc). It is None where the kernel does not count
    it, and both are None where there is no such line.
    """
    fields = (_read_text(proc_root, "stat") or "").partition("\n")[0].split()
    if len(fields) < 5 or fields[0] != "cpu" or not all(value.isdigit() for value in fields[1:]):
        return None, None
    ticks = [int(value) for value in fields[1:9]]
    stolen = ticks[7] / TICKS_PER_SECOND if len(ticks) == 8 else None
    return stolen, sum(ticks) / TICKS_PER_SECOND


def host_swapped_bytes(proc_root: str = "/proc", page_bytes: int = PAGE_BYTES) -> int | None:
    """Bytes that the whole host moved to and from swap since boot; None where the kernel does not count them.

    pswpin and pswpout of /proc/vmstat, in pages (man 5 proc_vmstat; mm/vmstat.c of Linux).
    """
    lines = (line.split() for line in (_read_text(proc_root, "vmstat") or "").splitlines())
    counted = {pair[0]: pair[1] for pair in lines if len(pair) == 2}
    pages = [counted.get(name, "") for name in ("pswpin", "pswpout")]
    return sum(int(one) for one in pages) * page_bytes if all(one.isdigit() for one in pages) else None


def command_line(pid: int, proc_root: str = "/proc") -> str:
    """The process's arguments joined by spaces; empty where it has none or has ended."""
    text = _read_text(proc_root, str(pid), "cmdline") or ""
    return text.rstrip("\0").replace("\0", " ")


def _listening_inodes(port: int, proc_root: str) -> set[str]:
    inodes = set()
    for table in ("tcp", "tcp6"):
        for line in (_read_text(proc_root, "net", table) or "").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _open_sockets(pid: int, proc_root: str) -> Iterator[str]:
    directory = os.path.join(proc_root, str(pid), "fd")
    for descriptor in _numeric_entries(directory):
        try:
            yield os.readlink(os.path.join(directory, str(descriptor)))
        except OSError:
            continue


def hides_descriptors(pid: int, proc_root: str = "/proc") -> bool:
    """Whether this process may not see what a process has open, as root may not without CAP_SYS_PTRACE; proc(5)."""
    directory = os.path.join(proc_root, str(pid), "fd")
    for descriptor in _numeric_entries(directory):
        try:
            os.readlink(os.path.join(directory, str(descriptor)))
        except PermissionError:
            return True
        except OSError:
            continue
        return False
    return not os.access(directory, os.R_OK)


def listening_pids(port: int, proc_root: str = "/proc") -> list[int]:
    """The processes that listen on a TCP port of this network namespace, the oldest first.

    Several share a socket where one has it from another: a worker from its master, a service from systemd. Empty where
    nobody listens, or where the listener's descriptors may not be read.
    """
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port, proc_root)}
    if not wanted:
        return []
    owners = [
        found
        for pid in _numeric_entries(proc_root)
        for found in [status(pid, proc_root)]
        if found and not wanted.isdisjoint(_open_sockets(pid, proc_root))
    ]
    return [owner.pid for owner in sorted(owners, key=lambda owner: (owner.start_ticks, owner.pid))]


def listening_pid(port: int, proc_root: str = "/proc") -> int | None:
    """The oldest of the processes that listen on a TCP port, None where there is none."""
    return next(iter(listening_pids(port, proc_root)), None)


def describe(pids: Iterable[int], proc_root: str = "/proc") -> list[dict[str, Any]]:
    """``[{"pid", "command", "resident_bytes", "pss_bytes"}]`` of those that live, in the order given."""
    return [
        {"pid": pid, "command": command_line(pid, proc_root), **memory([pid], proc_root)}
        for pid in pids
        if status(pid, proc_root) is not None
    ]
