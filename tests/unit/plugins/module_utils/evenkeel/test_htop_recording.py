# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.htop_recording, with a stand-in for htop that draws as told."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from evenkeel import cgroup, htop_recording, procfs, watch

from tests.standins import htop as standin

SCREENS = Path(__file__).parents[3] / "fixtures" / "htop" / "htop-3.2.2.txt"
INTERVAL = 0.1


@pytest.fixture
def service() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def watch_options(**given: Any) -> dict[str, Any]:
    return {**{name: spec.get("default") for name, spec in watch.ARGUMENTS.items()}, **given}


def record(
    program: Path,
    resolve: Callable[[], list[int]],
    *,
    interval: float = INTERVAL,
    group: str | None = None,
    **given: Any,
) -> dict[str, Any]:
    argv = [str(program), "-d", "10", "-p", "1"]
    service = htop_recording.Service(resolve, group)
    return htop_recording.record(argv, service, watch.Watch(watch_options(**given)), interval)


def test_frames_are_cut_and_stamped(tmp_path: Path, service: subprocess.Popen[bytes]) -> None:
    program = standin.install(tmp_path, screens=SCREENS, interval_seconds=INTERVAL)
    ready = tmp_path / "ready"
    recording = record(program, lambda: [service.pid], duration_seconds=0.4, ready_file=str(ready))
    assert ready.exists()
    screens = htop_recording.decode_screens(recording["screens"])
    assert len(screens) == len(recording["frames"]) >= 4
    assert all(screen.startswith(b"\x1b[H") for screen in screens)
    stamps = [frame["monotonic_seconds"] for frame in recording["frames"]]
    assert stamps == sorted(stamps)
    assert recording["window"]["ended_by"] == "duration"
    assert stamps[0] <= recording["window"]["start_monotonic_seconds"] < stamps[1]
    assert recording["restarted"] is False
    assert recording["client"]["cpu_seconds"] > 0
    (process,) = recording["frames"][-1]["processes"]
    assert process["pid"] == service.pid
    assert process["pss_bytes"] > 0


def test_counters_run_from_before_the_first_frame_to_the_end(tmp_path: Path, service: subprocess.Popen[bytes]) -> None:
    program = standin.install(tmp_path, screens=SCREENS, interval_seconds=INTERVAL)
    recording = record(program, lambda: [service.pid], duration_seconds=0.5)
    samples = recording["counters"]["samples"]
    assert samples[0][0] <= recording["frames"][0]["monotonic_seconds"]
    assert samples[-1][0] >= recording["window"]["start_monotonic_seconds"] + 0.5
    assert len(samples) >= 5
    assert [sample[1] for sample in samples] == sorted(sample[1] for sample in samples)
    assert all(after[0] > before[0] for before, after in itertools.pairwise(samples))
    assert len(recording["memory"]["samples"]) == len(recording["frames"])


def test_a_control_group_is_counted_beside_the_processes(
    tmp_path: Path, service: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = standin.install(tmp_path, screens=SCREENS, interval_seconds=INTERVAL)
    counts = itertools.count()
    monkeypatch.setattr(cgroup.Group, "usage_seconds", lambda _: float(next(counts)))
    monkeypatch.setattr(cgroup.Group, "working_set_bytes", lambda _: 4096)
    monkeypatch.setattr(cgroup.Group, "resolution_seconds", lambda _: 1e-9)
    recording = record(program, lambda: [service.pid], group="a-unit.service", duration_seconds=0.5)
    counted, own = recording["group"]["counters"], recording["counters"]
    assert (counted["source"], counted["resolution_seconds"]) == ("cgroup", 1e-9)
    assert [sample[1] for sample in counted["samples"]] == list(range(len(counted["samples"])))
    assert len(counted["samples"]) >= len(own["samples"]) >= 5
    assert all(after[0] > before[0] for before, after in itertools.pairwise(counted["samples"]))
    memory = recording["group"]["memory"]
    assert memory["kind"] == "working_set"
    assert [sample[1] for sample in memory["samples"]] == [4096] * len(recording["frames"])


def test_a_control_group_that_cannot_be_seen_is_left_out(tmp_path: Path, service: subprocess.Popen[bytes]) -> None:
    program = standin.install(tmp_path, screens=SCREENS, interval_seconds=INTERVAL)
    assert (
        record(program, lambda: [service.pid], group="nobody-has-this.service", duration_seconds=0.3)["group"] is None
    )


def test_the_program_gets_a_private_home_and_a_terminal_of_240_by_60(
    tmp_path: Path, service: subprocess.Popen[bytes]
) -> None:
    program = tmp_path / "htop"
    program.write_text(
        "#!/bin/sh\n"
        'draw() { printf \'%s|%s|%s|%s|\' "$(stty size)" "$TERM" "$LC_ALL" "$HOME"; head -1 "$HTOPRC"; }\n'
        f"while :; do draw; sleep {INTERVAL}; done\n"
    )
    program.chmod(0o755)
    recording = record(program, lambda: [service.pid], duration_seconds=0.2)
    seen = htop_recording.decode_screens(recording["screens"])[0].decode().split("|")
    assert seen[:3] == ["60 240", "linux", "C"]
    assert seen[4].strip() == "htop_version=3.2.2"
    assert not os.path.exists(seen[3]), "the private home is removed"


def test_a_restart_is_followed_and_said(tmp_path: Path, service: subprocess.Popen[bytes]) -> None:
    program = standin.install(tmp_path, screens=SCREENS, interval_seconds=INTERVAL)
    second: list[subprocess.Popen[bytes]] = []

    def resolve() -> list[int]:
        """As a pid file behaves: for a while after the end it names nothing that runs, then the new process."""
        if procfs.status(service.pid) is not None:
            return [service.pid]
        if not second:
            second.append(subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]))
            raise procfs.ProcessNotFound("not up again yet")
        return [second[0].pid]

    killer = threading.Timer(0.3, service.kill)
    killer.start()
    try:
        recording = record(program, resolve, duration_seconds=1.2)
    finally:
        killer.join()
        for process in second:
            process.kill()
            process.wait()
    assert recording["restarted"] is True
    assert recording["ended_pids"] == [service.pid]
    assert recording["counters"]["samples"][-1][1] > 0.05, "the new process is counted"
    assert [row["pid"] for row in recording["frames"][-1]["processes"]] == [second[0].pid]


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("end", "htop ended by itself after"),
        ("silent", "htop drew 0 frames until the deadline"),
        ("gush", "htop drew 0 frames until the deadline"),
    ],
)
def test_a_program_that_draws_no_frames_is_refused(
    behaviour: str, message: str, tmp_path: Path, service: subprocess.Popen[bytes]
) -> None:
    program = standin.install(tmp_path, screens=SCREENS, behaviour=behaviour, interval_seconds=INTERVAL)
    ready = tmp_path / "ready"
    begin = time.monotonic()
    # A long interval, so that a busy machine's pauses are not taken for the silence that ends a frame.
    given = {"interval": 4.0, "duration_seconds": 0.5, "deadline_seconds": 0.6, "ready_file": str(ready)}
    with pytest.raises(watch.WatchError, match=message):
        record(program, lambda: [service.pid], **given)
    assert time.monotonic() - begin < 5
    assert not ready.exists()


def test_a_program_that_stays_on_its_signal_is_killed(
    tmp_path: Path, service: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(htop_recording, "EXIT_GRACE_SECONDS", 0.2)
    program = standin.install(tmp_path, screens=SCREENS, behaviour="stubborn", interval_seconds=INTERVAL)
    begin = time.monotonic()
    recording = record(program, lambda: [service.pid], duration_seconds=0.3)
    assert len(recording["frames"]) >= 2
    assert time.monotonic() - begin < 5


def test_the_program_ends_when_the_recorder_is_killed(tmp_path: Path, service: subprocess.Popen[bytes]) -> None:
    program = standin.install(tmp_path, screens=SCREENS, behaviour="stubborn", interval_seconds=INTERVAL)
    script = (
        "from evenkeel import htop_recording as r\nimport time\n"
        f"t = r.Terminal([{str(program)!r}, '-d', '10'], r.environment('/'))\n"
        "print(t.pid, flush=True)\ntime.sleep(60)\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    recorder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environ)
    assert recorder.stdout is not None
    child = int(recorder.stdout.readline())
    assert procfs.status(child) is not None
    recorder.send_signal(signal.SIGKILL)
    recorder.wait()
    recorder.stdout.close()
    end = time.monotonic() + 5
    while procfs.status(child) is not None and time.monotonic() < end:
        time.sleep(0.02)
    assert procfs.status(child) is None


def test_processes_that_do_not_run_are_refused_before_anything_starts(tmp_path: Path) -> None:
    program = standin.install(tmp_path, screens=SCREENS)
    with pytest.raises(procfs.ProcessNotFound, match="4194305"):
        record(program, lambda: procfs.resolve_pids([4194305]), duration_seconds=0.5)


@pytest.mark.parametrize(
    ("text", "version"), [("htop 3.2.2\n", "3.2.2"), ("htop 3.0.5\n", "3.0.5"), ("htop 3.5.0-dev\n", "3.5.0-dev")]
)
def test_versions(text: str, version: str) -> None:
    assert htop_recording.parse_version(text) == version
    assert htop_recording.version_warnings(version) == []


def test_a_newer_version_is_warned_about() -> None:
    assert "htop 3.6.0 is newer than 3.5" in htop_recording.version_warnings("3.6.0")[0]
    assert htop_recording.version_warnings("4.0.0") != []


@pytest.mark.parametrize(
    ("text", "message"),
    [("htop 2.2.0 - (C) 2004-2019 Hisham Muhammad", "too old"), ("top from procps", "not htop's"), ("", "not htop's")],
)
def test_other_programs_are_refused(text: str, message: str) -> None:
    with pytest.raises(watch.WatchError, match=message) as refused:
        htop_recording.parse_version(text)
    assert "install" in str(refused.value) or "upgrade" in str(refused.value)


def test_the_plan_names_readonly_only_where_it_is_known(tmp_path: Path) -> None:
    new = standin.install(tmp_path / "new", version="htop 3.2.2")
    old = standin.install(tmp_path / "old", version="htop 3.0.5", readonly=False)
    tail = ["-p", "5,6"]
    assert htop_recording.plan(str(new), [5, 6], 1.0) == {
        "argv": [str(new), "-C", "-U", "-M", "-d", "10", "--readonly", *tail],
        "version": "3.2.2",
        "warnings": [],
    }
    assert htop_recording.plan(str(old), [5, 6], 2.5)["argv"] == [str(old), "-C", "-U", "-M", "-d", "25", *tail]


def test_missing_htop_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(watch.WatchError, match="apt-get install htop"):
        htop_recording.plan(str(tmp_path / "htop"), [1], 1.0)


def test_more_processes_than_rows_are_refused() -> None:
    with pytest.raises(watch.WatchError, match="do not fit on htop's screen"):
        htop_recording.plan("htop", range(100), 1.0)


@pytest.mark.parametrize("screens", [[], [b""], [b"a", b"", b"\x1b[H\xff" * 1000]])
def test_screens_come_back_as_they_were(screens: list[bytes]) -> None:
    assert htop_recording.decode_screens(htop_recording.encode_screens(screens)) == screens


def test_damaged_screens_are_refused() -> None:
    encoded = htop_recording.encode_screens([b"abc", b"def"])
    with pytest.raises(ValueError, match="hold 6 bytes, 7 were recorded"):
        htop_recording.decode_screens({**encoded, "lengths": [3, 4]})
    with pytest.raises(ValueError, match="cannot be unpacked"):
        htop_recording.decode_screens({**encoded, "data": "AAAA"})
    with pytest.raises(ValueError):
        htop_recording.decode_screens({**encoded, "data": "not base64!"})
