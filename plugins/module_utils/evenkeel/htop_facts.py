# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A recording and its drawn screens -> the facts ``htop``, checked against what /proc said at the same moments. Pure.

A figure of the summary is the mean over the frames kept: CPU time divided by time, as /proc has it over the same span.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .htop_screen import parse_screen

# htop's first frame is a sample of 75 ms: it says 0 % or 100 % of anything.
FRAMES_DROPPED = 1

CPU_TOLERANCE_POINTS = 2.0
MEMORY_TOLERANCE = 0.01


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _mean_bytes(values: Iterable[float | None]) -> int | None:
    mean = _mean(values)
    return None if mean is None else round(mean)


def _frames(recording: Mapping[str, Any], screens: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    frames = []
    stamps = [frame["monotonic_seconds"] for frame in recording["frames"]]
    for index in range(FRAMES_DROPPED, len(screens)):
        frames.append(
            {
                "begin_monotonic_seconds": stamps[index - 1],
                "monotonic_seconds": stamps[index],
                "host_boot_id": recording["host_boot_id"],
                **parse_screen(screens[index]),
            }
        )
    return frames


def _rows_of(frames: Sequence[Mapping[str, Any]], pid: int) -> list[Mapping[str, Any]]:
    return [row for frame in frames for row in frame["processes"] if row["pid"] == pid]


def _processes(frames: Sequence[Mapping[str, Any]], proc: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    pids = sorted({row["pid"] for frame in frames for row in frame["processes"]})
    return [
        {
            "pid": pid,
            "command": _rows_of(frames, pid)[-1]["command"],
            "cpu_percent_of_core": _mean(row["cpu_percent_of_core"] for row in _rows_of(frames, pid)),
            "resident_bytes": _mean_bytes(row["resident_bytes"] for row in _rows_of(frames, pid)),
            "pss_bytes": _mean_bytes(row["pss_bytes"] for row in _rows_of(proc, pid)),
        }
        for pid in pids
    ]


def _proc_percent_of_core(proc: Sequence[Mapping[str, Any]], pid: int) -> float | None:
    """CPU of a process by /proc from the first to the last frame it was seen alive in."""
    seen = [(frame["monotonic_seconds"], row["cpu_seconds"]) for frame in proc for row in _rows_of([frame], pid)]
    if len(seen) < 2 or seen[0][1] is None or seen[-1][1] is None:
        return None
    (begin, before), (end, after) = seen[0], seen[-1]
    return float(100 * (after - before) / (end - begin))


def _proc_percent_of_host(proc: Sequence[Mapping[str, Any]]) -> float | None:
    total = proc[-1]["host_total_seconds"] - proc[0]["host_total_seconds"]
    busy = proc[-1]["host_busy_seconds"] - proc[0]["host_busy_seconds"]
    return float(100 * busy / total) if total > 0 else None


def _compared(what: str, pid: int | None, htop: float | None, proc: float | None, relative: bool) -> dict[str, Any]:
    """One comparison; ``agrees`` is None where one side has no figure."""
    agrees = None
    if htop is not None and proc is not None:
        difference = abs(htop - proc)
        # Per busy core: htop divides by the CPU time that /proc/stat accounts, which is up to 2 % less than the wall's.
        cores = max(1, math.ceil(proc / 100))
        agrees = difference <= (MEMORY_TOLERANCE * proc if relative else CPU_TOLERANCE_POINTS * cores)
    return {"what": what, "pid": pid, "htop": htop, "proc": proc, "agrees": agrees}


def _proc_check(
    summary: Mapping[str, Any], processes: Sequence[Mapping[str, Any]], proc: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """htop's figures beside those of /proc; ``passed`` is False where one differs by more than its tolerance.

    The first recorded frame is the beginning of the first frame kept, so that both span the same time.
    """
    kept = proc[FRAMES_DROPPED:]
    comparisons = [
        _compared("cpu_percent_of_host", None, summary["cpu_percent_of_host"], _proc_percent_of_host(proc), False),
        _compared(
            "memory_available_bytes",
            None,
            summary["memory_available_bytes"],
            _mean(frame["host_available_bytes"] for frame in kept),
            True,
        ),
    ]
    for process in processes:
        pid = process["pid"]
        comparisons += [
            _compared(
                "cpu_percent_of_core", pid, process["cpu_percent_of_core"], _proc_percent_of_core(proc, pid), False
            ),
            _compared(
                "resident_bytes",
                pid,
                process["resident_bytes"],
                _mean(row["resident_bytes"] for row in _rows_of(kept, pid)),
                True,
            ),
        ]
    return {
        "passed": all(comparison["agrees"] is not False for comparison in comparisons),
        "cpu_tolerance_points": CPU_TOLERANCE_POINTS,
        "memory_tolerance": MEMORY_TOLERANCE,
        "comparisons": comparisons,
    }


def facts(recording: Mapping[str, Any], screens: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The value of ``ansible_facts.htop``; ``screens`` are the recording's frames as drawn, rows of text.

    Raises ScreenError where a screen is not htop's, ValueError where there are not as many screens as frames, or no
    frame but the one that is dropped.
    """
    proc = recording["frames"]
    if len(screens) != len(proc):
        raise ValueError(f"the recording has {len(proc)} frames but {len(screens)} screens")
    if len(screens) <= FRAMES_DROPPED:
        raise ValueError(f"the recording has {len(screens)} frames, and the first one is never good; watch longer")
    frames = _frames(recording, screens)
    summary = {
        "cpu_percent_of_host": _mean(frame["cpu_percent_of_host"] for frame in frames),
        "memory_used_bytes": _mean_bytes(frame["memory_used_bytes"] for frame in frames),
        "memory_available_bytes": _mean_bytes(frame["memory_available_bytes"] for frame in frames),
        "memory_percent": _mean(frame["memory_percent"] for frame in frames),
        "load1": frames[-1]["load1"],
    }
    processes = _processes(frames, proc[FRAMES_DROPPED:])
    return {
        "version": recording["version"],
        "delay_seconds": recording["delay_seconds"],
        "host_boot_id": recording["host_boot_id"],
        "window": recording["window"],
        "frames": frames,
        "summary": summary,
        "processes": processes,
        "proc_check": _proc_check(summary, processes, proc),
        "counters": recording["counters"],
        "memory": recording["memory"],
        "group": recording.get("group"),
        "restarted": recording["restarted"],
        "ended_pids": recording["ended_pids"],
        "cgroup": recording.get("cgroup"),
        "client": recording["client"],
    }
