# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.procfs, on written process tables and on real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from evenkeel import procfs

TICK = 1 / procfs.TICKS_PER_SECOND


class ProcessTable:
    """A written procfs: what the kernel would show of processes that never ran."""

    def __init__(self, root: Path, with_children: bool = True, with_schedstat: bool = True) -> None:
        self.root = root
        self._with_children = with_children
        self._with_schedstat = with_schedstat

    def write(
        self,
        pid: int,
        *,
        parent: int = 1,
        command: str = "service",
        state: str = "S",
        start_ticks: int = 100,
        own_ticks: int = 0,
        reaped_ticks: int = 0,
        threads: dict[int, int] | None = None,
        children: tuple[int, ...] = (),
    ) -> None:
        directory = self.root / str(pid)
        (directory / "task").mkdir(parents=True, exist_ok=True)
        fields = ["0"] * 49
        fields[0:2] = [state, str(parent)]
        fields[11:15] = [str(own_ticks), "0", str(reaped_ticks), "0"]
        fields[19] = str(start_ticks)
        (directory / "stat").write_text(f"{pid} ({command}) {' '.join(fields)}\n")
        living = {pid: 0} if threads is None else threads
        for old in (directory / "task").iterdir():
            if int(old.name) not in living:
                for file in old.iterdir():
                    file.unlink()
                old.rmdir()
        for thread, nanoseconds in living.items():
            task = directory / "task" / str(thread)
            task.mkdir(exist_ok=True)
            if self._with_schedstat:
                (task / "schedstat").write_text(f"{nanoseconds} 0 1\n")
            if self._with_children:
                (task / "children").write_text(" ".join(str(child) for child in children if thread == pid))

    def remove(self, pid: int) -> None:
        (self.root / str(pid)).rename(self.root / f"ended-{pid}")

    def counter(self, *pids: int) -> procfs.CpuCounter:
        return procfs.cpu_counter(pids, str(self.root))


@pytest.fixture
def table(tmp_path: Path) -> ProcessTable:
    return ProcessTable(tmp_path)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start real processes that are ended, with all they started, after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*argv: str, pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(argv, start_new_session=True, pass_fds=pass_fds))
        return started[-1]

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("the condition was not met in time")


@pytest.mark.parametrize("command", ["service", "a b", "a) S 1", "(((", ") R 9 9 9"])
def test_a_status_line_survives_any_command(command: str, table: ProcessTable) -> None:
    table.write(7, parent=3, command=command, start_ticks=55, own_ticks=12, reaped_ticks=4)
    assert procfs.status(7, str(table.root)) == procfs.ProcessStatus(7, "S", 3, 12, 4, 55)


def test_a_cut_status_line_is_refused() -> None:
    with pytest.raises(ValueError, match="fields after the command"):
        procfs.parse_status("7 (x) S 1 2")


@pytest.mark.parametrize("state", ["Z", "X"])
def test_a_zombie_does_not_live(state: str, table: ProcessTable) -> None:
    table.write(7, state=state)
    assert procfs.status(7, str(table.root)) is None


@pytest.mark.parametrize("with_children", [True, False])
def test_the_tree_has_all_descendants_and_no_one_else(with_children: bool, tmp_path: Path) -> None:
    table = ProcessTable(tmp_path, with_children=with_children)
    table.write(10, children=(11, 12))
    table.write(11, parent=10, children=(13,))
    table.write(12, parent=10, state="Z")
    table.write(13, parent=11)
    table.write(20)
    assert procfs.process_tree([10], str(tmp_path)) == [10, 11, 13]
    assert procfs.process_tree([10, 13, 99], str(tmp_path)) == [10, 11, 13]
    assert procfs.process_tree([99], str(tmp_path)) == []
    assert procfs.process_tree([], str(tmp_path)) == []


def test_children_that_a_thread_started_belong_to_the_tree(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    script = (
        "import subprocess, threading, time\n"
        "threading.Thread(target=lambda: (subprocess.Popen(['sleep', '60']), time.sleep(60))).start()\n"
    )
    process = start(sys.executable, "-S", "-c", script)
    tree = wait_until(lambda: (found := procfs.process_tree([process.pid])) and len(found) == 2 and found)
    assert process.pid in tree


def test_resolving_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no process was named"):
        procfs.resolve_pids()


def test_a_named_process_must_run() -> None:
    with pytest.raises(procfs.ProcessNotFound, match="process 4194305, named in pids"):
        procfs.resolve_pids([os.getpid(), 4194305])
    assert procfs.resolve_pids([os.getpid(), os.getpid()]) == [os.getpid()]


@pytest.mark.parametrize("content", ["", "abc", "-5", "0", "12 13", "1.5", "\udcff"])
def test_a_pid_file_that_holds_no_id_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "service.pid"
    file.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(procfs.ProcessNotFound, match="not a process id"):
        procfs.resolve_pids(pid_file=str(file))


def test_a_missing_pid_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(procfs.ProcessNotFound, match=r"absent\.pid: No such file"):
        procfs.resolve_pids(pid_file=str(tmp_path / "absent.pid"))


def test_a_pid_file_of_an_ended_process_is_stale(tmp_path: Path) -> None:
    file = tmp_path / "service.pid"
    file.write_text("4194305\n")
    with pytest.raises(procfs.ProcessNotFound, match="stale: its process 4194305 does not run"):
        procfs.resolve_pids(pid_file=str(file))


def test_a_pid_file_older_than_its_process_is_stale(tmp_path: Path) -> None:
    file = tmp_path / "service.pid"
    file.write_text(f"{os.getpid()}\n")
    assert procfs.resolve_pids(pid_file=str(file)) == [os.getpid()]
    year_ago = time.time() - 365 * 86400
    os.utime(file, (year_ago, year_ago))
    with pytest.raises(procfs.ProcessNotFound, match="another one that was given the same id"):
        procfs.resolve_pids(pid_file=str(file))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo MainPID=0; echo ActiveState=inactive; echo LoadState=not-found", "LoadState not-found"),
        ("echo no bus >&2; exit 1", "no bus"),
        ("echo nonsense", "has no running process"),
    ],
)
def test_a_unit_without_a_process_is_explained(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\n{script}\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(procfs.ProcessNotFound, match=message):
        procfs.resolve_pids(unit="web.service")
    systemctl.write_text(f"#!/bin/sh\necho MainPID={os.getpid()}\n")
    assert procfs.resolve_pids(unit="web.service") == [os.getpid()]
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(procfs.ProcessNotFound, match="systemctl is not installed"):
        procfs.resolve_pids(unit="web.service")


def test_the_counter_begins_at_zero_and_sums_threads(table: ProcessTable) -> None:
    table.write(10, own_ticks=500, threads={10: 3_000_000_000, 11: 2_000_000_000})
    counter = table.counter(10)
    assert (counter.source, counter.resolution_seconds) == ("schedstat", 1e-9)
    assert counter.read()[1] == 0
    table.write(10, own_ticks=500, threads={10: 3_250_000_000, 11: 2_000_000_500})
    assert counter.read()[1] == pytest.approx(0.2500005)


def test_a_thread_that_ended_stays_counted_as_last_seen(table: ProcessTable) -> None:
    table.write(10, threads={10: 0, 11: 0})
    counter = table.counter(10)
    table.write(10, threads={10: 0, 11: 700_000_000})
    assert counter.read()[1] == pytest.approx(0.7)
    table.write(10, threads={10: 100_000_000})
    assert counter.read()[1] == pytest.approx(0.8)
    table.write(10, threads={10: 100_000_000, 11: 50_000_000})
    assert counter.read()[1] == pytest.approx(0.85), "the id of an ended thread was given to a new one"
    table.write(10, threads={10: 100_000_000, 11: 10_000_000})
    assert counter.read()[1] == pytest.approx(0.86), "and again between two readings"


def test_threads_that_were_never_seen_are_found_in_the_process_ticks(table: ProcessTable) -> None:
    table.write(10, own_ticks=0, threads={10: 0})
    counter = table.counter(10)
    table.write(10, own_ticks=100, threads={10: 5_000_000})
    assert counter.read()[1] == pytest.approx(100 * TICK - procfs.TICK_ERROR_SECONDS)


def test_children_that_were_never_seen_are_found_when_reaped(table: ProcessTable) -> None:
    table.write(10, reaped_ticks=300)
    counter = table.counter(10)
    table.write(10, reaped_ticks=400)
    assert counter.read()[1] == pytest.approx(100 * TICK - procfs.TICK_ERROR_SECONDS)


def test_a_child_is_not_counted_again_when_reaped(table: ProcessTable) -> None:
    table.write(10)
    counter = table.counter(10)
    table.write(10, children=(11,))
    table.write(11, parent=10, threads={11: 1_000_000_000})
    assert counter.read()[1] == pytest.approx(1.0)
    assert counter.pids == [10, 11]
    table.remove(11)
    table.write(10, reaped_ticks=round(1 / TICK))
    assert counter.read()[1] == pytest.approx(1.0)
    assert counter.pids == [10]


@pytest.mark.parametrize("one_by_one", [True, False])
def test_a_grandchild_is_not_counted_again_through_its_parent(one_by_one: bool, table: ProcessTable) -> None:
    table.write(10, children=(11,))
    table.write(11, parent=10, children=(12,))
    table.write(12, parent=11, threads={12: 0})
    counter = table.counter(10)
    table.write(12, parent=11, threads={12: 2_000_000_000})
    assert counter.read()[1] == pytest.approx(2.0)
    table.remove(12)
    if one_by_one:
        table.write(11, parent=10, reaped_ticks=round(2 / TICK))
        assert counter.read()[1] == pytest.approx(2.0)
    table.remove(11)
    table.write(10, reaped_ticks=round(2 / TICK))
    assert counter.read()[1] == pytest.approx(2.0)


def test_the_counter_never_falls_when_everything_ends(table: ProcessTable) -> None:
    table.write(10, threads={10: 0})
    counter = table.counter(10)
    table.write(10, threads={10: 2_000_000_000})
    readings = [counter.read()]
    table.remove(10)
    readings += [counter.read(), counter.read()]
    assert [seconds for _, seconds in readings] == [2.0, 2.0, 2.0]
    assert [moment for moment, _ in readings] == sorted(moment for moment, _ in readings)
    assert counter.pids == []


def test_an_id_given_to_another_process_is_another_process(table: ProcessTable) -> None:
    table.write(10, start_ticks=100, threads={10: 5_000_000_000})
    counter = table.counter(10)
    table.write(10, start_ticks=900, threads={10: 250_000_000})
    assert counter.read()[1] == pytest.approx(0.25)


def test_a_root_added_after_a_restart_counts_from_its_beginning(table: ProcessTable) -> None:
    table.write(10, threads={10: 1_000_000_000})
    counter = table.counter(10)
    table.remove(10)
    table.write(12, threads={12: 400_000_000})
    counter.add_roots([12])
    assert counter.read()[1] == pytest.approx(0.4)


def test_without_schedstat_ticks_are_counted(tmp_path: Path) -> None:
    table = ProcessTable(tmp_path, with_schedstat=False)
    table.write(10, own_ticks=100)
    counter = table.counter(10)
    assert (counter.source, counter.resolution_seconds) == ("ticks", TICK)
    table.write(10, own_ticks=130)
    assert counter.read()[1] == pytest.approx(30 * TICK)


def test_a_counter_of_nothing_is_refused(table: ProcessTable) -> None:
    with pytest.raises(procfs.ProcessNotFound, match=r"none of the processes \[77\] runs"):
        table.counter(77)


def test_a_real_process_of_short_lived_children_is_counted(tmp_path: Path) -> None:
    """Each child lives shorter than the time between two readings; wait4 tells the truth."""
    done = tmp_path / "done"
    child = f"{sys.executable} -S -c 'for i in range(600000): pass'"
    script = f"read line; for i in 1 2 3 4 5 6; do {child}; done; touch {done}; read line; exit 0"
    process = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE)
    counter = procfs.cpu_counter([process.pid])
    assert process.stdin is not None
    process.stdin.write(b"begin\n")
    process.stdin.flush()
    while not done.exists():
        time.sleep(0.4)
        counter.read()
    counted = counter.read()[1]
    process.stdin.write(b"end\n")
    process.stdin.close()
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    truth = usage.ru_utime + usage.ru_stime
    assert truth > 0.1
    assert truth - 0.08 <= counted <= truth + 0.02


def test_memory_of_a_real_process(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    script = "import time; x = bytearray(50 * 2**20); print(flush=True); time.sleep(60)"
    process = start(sys.executable, "-S", "-c", script)
    found = wait_until(lambda: (now := procfs.memory([process.pid])) and (now["pss_bytes"] or 0) > 50 * 2**20 and now)
    assert 50 * 2**20 < found["pss_bytes"] <= found["resident_bytes"] < 100 * 2**20


def test_memory_that_is_not_given_is_none(table: ProcessTable) -> None:
    table.write(10)
    (table.root / "10" / "status").write_text("Name:\tx\nVmRSS:\t  100 kB\n")
    table.write(11)
    (table.root / "11" / "status").write_text("Name:\tx\nVmRSS:\t  50 kB\n")
    (table.root / "11" / "smaps_rollup").write_text("0-1 ---p 00000000 00:00 0 [rollup]\nRss: 50 kB\nPss: 20 kB\n")
    root = str(table.root)
    assert procfs.memory([10, 11], root) == {"resident_bytes": 150 * 1024, "pss_bytes": None}
    assert procfs.memory([11, 99], root) == {"resident_bytes": 50 * 1024, "pss_bytes": 20 * 1024}
    assert procfs.memory([99], root) == {"resident_bytes": None, "pss_bytes": None}


@pytest.mark.parametrize(
    ("text", "cpus"), [("0", [0]), ("0-3", [0, 1, 2, 3]), ("0-1,4,6-7\n", [0, 1, 4, 6, 7]), ("", [])]
)
def test_cpu_lists(text: str, cpus: list[int]) -> None:
    assert procfs.parse_cpu_list(text) == cpus


def test_affinity_is_the_kernels() -> None:
    assert procfs.affinity(os.getpid()) == sorted(os.sched_getaffinity(0))
    with pytest.raises(procfs.ProcessNotFound):
        procfs.affinity(4194305)


def test_host_figures() -> None:
    memory = procfs.host_memory()
    assert 0 < memory["available_bytes"] < memory["total_bytes"]
    busy, total = procfs.host_cpu_seconds()
    assert 0 < busy < total


def test_host_busy_time_leaves_out_idle_waiting_and_stolen_time(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  100 20 30 1000 500 6 7 400 50 0\ncpu0 1 1 1 1\n")
    busy, total = procfs.host_cpu_seconds(str(tmp_path))
    assert (busy, total) == (pytest.approx(163 * TICK), pytest.approx(2063 * TICK))


@pytest.mark.parametrize(
    ("line", "stolen", "total"),
    [
        ("cpu  100 20 30 1000 500 6 7 400 50 0", 400, 2063),
        ("cpu  100 20 30 1000 500 6 7 0", 0, 1663),
        ("cpu  100 20 30 1000 500 6 7", None, 1663),
        ("cpu  100 20 30 1000", None, 1150),
    ],
)
def test_steal_is_the_eighth_field_and_absent_is_not_0(
    tmp_path: Path, line: str, stolen: int | None, total: int
) -> None:
    (tmp_path / "stat").write_text(f"{line}\ncpu0 1 1 1 1\n")
    found = procfs.host_steal_seconds(str(tmp_path))
    assert found == (None if stolen is None else pytest.approx(stolen * TICK), pytest.approx(total * TICK))


@pytest.mark.parametrize("text", [None, "", "intr 1 2 3 4 5\n", "cpu 1 2\n", "cpu 1 2 3 x 5 6 7 8\n"])
def test_steal_of_an_unknown_kernel_is_not_known(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "stat").write_text(text)
    assert procfs.host_steal_seconds(str(tmp_path)) == (None, None)


def test_this_hosts_steal_is_part_of_its_time() -> None:
    stolen, total = procfs.host_steal_seconds()
    assert total is not None and total > 0
    assert stolen is None or 0 <= stolen < total


def test_host_figures_of_an_unknown_kernel_are_refused(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 5 kB\n")
    (tmp_path / "stat").write_text("cpu 1 2 3\n")
    with pytest.raises(ValueError, match="MemAvailable"):
        procfs.host_memory(str(tmp_path))
    with pytest.raises(ValueError, match="CPU times"):
        procfs.host_cpu_seconds(str(tmp_path))
    with pytest.raises(ValueError, match="uptime"):
        procfs.uptime_seconds(str(tmp_path))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_listener_of_a_port_is_found(family: socket.AddressFamily) -> None:
    with socket.socket(family) as listener:
        listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        port = listener.getsockname()[1]
        assert procfs.listening_pid(port) is None, "bound is not listening"
        listener.listen()
        assert procfs.listening_pid(port) == os.getpid()
    assert procfs.listening_pid(port) is None


def test_a_socket_handed_on_has_two_listeners(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """As systemd's and its service's: the one that opened it is the older one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        heir = start("sleep", "30", pass_fds=[listener.fileno()])
        assert procfs.listening_pids(port) == [os.getpid(), heir.pid]
        assert procfs.listening_pid(port) == os.getpid()
    assert procfs.listening_pids(port) == [heir.pid]


def test_what_a_process_has_open_may_be_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not procfs.hides_descriptors(os.getpid())

    def refuse(path: str) -> str:
        raise PermissionError(path)

    monkeypatch.setattr(os, "readlink", refuse)
    assert procfs.hides_descriptors(os.getpid())


def test_the_command_line_is_readable(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    process = start("sleep", "60")
    assert wait_until(lambda: procfs.command_line(process.pid) == "sleep 60")
    assert procfs.command_line(4194305) == ""
    (described,) = procfs.describe([process.pid, 4194305])
    assert (described["pid"], described["command"]) == (process.pid, "sleep 60")


def test_a_process_is_found_by_its_id_in_its_own_namespace(tmp_path: Path) -> None:
    for pid, ids in ((1, "1"), (7, "7"), (4711, "4711\t7"), (4712, "4712\t31\t7"), (4713, "4713\t8")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(f"Name:\tpython\nNSpid:\t{ids}\nThreads:\t1\n")
    (tmp_path / "4714").mkdir()
    assert procfs.in_namespaces(7, str(tmp_path)) == [4711, 4712]
    assert procfs.in_namespaces(9, str(tmp_path)) == []


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("nr_free_pages 5\npswpin 3\npswpout 4\n", 7 * 4096),
        ("pswpin 0\npswpout 0\n", 0),
        ("pswpin 3\n", None),
        ("", None),
    ],
)
def test_swapped_pages_are_bytes_in_both_directions(tmp_path: Path, text: str, swapped: int | None) -> None:
    (tmp_path / "vmstat").write_text(text)
    assert procfs.host_swapped_bytes(str(tmp_path), page_bytes=4096) == swapped
