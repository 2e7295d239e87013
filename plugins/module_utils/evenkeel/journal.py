# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A run's journal: every step is written down before and after it happens, so that a run can be told and resumed."""

from __future__ import annotations

import datetime
import json
import os
import statistics
import time
from collections.abc import Iterable, Mapping
from typing import Any

from . import procfs
from .clock import host_boot_id

EVENTS = ("run_begun", "run_resumed", "step_begun", "step_done", "step_failed", "run_closing", "run_finished")


def utc_now() -> str:
    """The wall clock in UTC, whole seconds, ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def append(path: str, event: str, step: str, **details: Any) -> dict[str, Any]:
    """Adds one line and waits until it is on disk; returns the record.

    Where a full disk or a crash cut the last line short, the record begins a line of its own all the same.

    Raises:
        ValueError: an event that is not one of EVENTS.
        OSError: the line could not be written.
    """
    if event not in EVENTS:
        raise ValueError(f"event: got {event}, expected one of {', '.join(EVENTS)}")
    record = {"utc": utc_now(), "monotonic_seconds": time.monotonic(), "event": event, "step": step, **details}
    line = json.dumps(record, sort_keys=True).encode() + b"\n"
    with open(path, "a+b") as stream:
        if stream.seek(0, os.SEEK_END) > 0:
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                line = b"\n" + line
        stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())
    return record


def read(path: str) -> list[dict[str, Any]]:
    """The records, oldest first; an absent journal has none, and a line that was cut short costs no other line."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            lines = stream.read().split("\n")
    except FileNotFoundError:
        return []
    return [record for record in map(_record, lines) if record is not None]


def _record(line: str) -> dict[str, Any] | None:
    """The record on a line; None where it holds none, as a part of a JSON object is no JSON."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def controller(pid: int) -> dict[str, Any]:
    """What tells a controller's process from every other one, also after its id was given away."""
    found = procfs.status(pid)
    return {"pid": pid, "start_ticks": found.start_ticks if found else None, "host_boot_id": host_boot_id()}


def at_work(records: Iterable[Mapping[str, Any]]) -> int | None:
    """The id of the process that still measures the run, None where it has finished or that process is gone."""
    last: Mapping[str, Any] | None = None
    for record in records:
        if record["event"] in ("run_begun", "run_resumed"):
            last = record.get("controller")
        elif record["event"] == "run_finished":
            last = None
    if last is None or last["start_ticks"] is None or controller(last["pid"]) != last:
        return None
    return int(last["pid"])


def last_begun(records: Iterable[Mapping[str, Any]], step: str) -> Mapping[str, Any] | None:
    """The newest ``step_begun`` record of a step."""
    begun = [record for record in records if record["event"] == "step_begun" and record["step"] == step]
    return begun[-1] if begun else None


def durations(records: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Step to the seconds it took, for the steps that were done; a step done twice counts by its last time."""
    begun: dict[str, float] = {}
    taken: dict[str, float] = {}
    for record in records:
        if record["event"] == "step_begun":
            begun[record["step"]] = record["monotonic_seconds"]
        elif record["event"] == "step_done" and record["step"] in begun:
            taken[record["step"]] = record["monotonic_seconds"] - begun[record["step"]]
    return taken


def sort_of(trial: Mapping[str, Any]) -> str:
    """What a trial's length depends on: its kind, how a start starts, and whether an open loop sweeps."""
    if trial["kind"] == "open_loop" and trial["mode"] != "sweep":
        return "open_loop"
    return f"{trial['kind']}-{trial['mode']}" if trial["mode"] else str(trial["kind"])


def remaining_seconds(
    trials: Iterable[Mapping[str, Any]], taken: Mapping[str, float], expected: Mapping[str, float]
) -> float:
    """What the trials without a time in ``taken`` will take, in seconds.

    A sort of trial that was done in this run takes its median so far; one that was not, what ``expected`` says.
    """
    trials = list(trials)
    seen: dict[str, list[float]] = {}
    for trial in trials:
        if trial["id"] in taken:
            seen.setdefault(sort_of(trial), []).append(taken[trial["id"]])
    medians = {sort: statistics.median(times) for sort, times in seen.items()}
    return sum(
        medians.get(sort_of(trial), expected.get(sort_of(trial), 0.0)) for trial in trials if trial["id"] not in taken
    )


def clock(seconds: float) -> str:
    """``m:ss``, from an hour on ``h:mm:ss``."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def progress_line(trial: Mapping[str, Any], trials: list[Mapping[str, Any]], elapsed: float, remaining: float) -> str:
    """One line that says where a run is: number, block, arm, step, time gone and time to come."""
    what = {
        "start-imports": "start, discarded",
        "start-train": "start, training",
        "start-load": "start, loading" if trial["counted"] else "start, not counted",
    }.get(sort_of(trial), " ".join(filter(None, (trial["kind"].replace("_", " "), trial["mode"]))))
    blocks = max((other["block"] or 0) for other in trials)
    place = f"block {trial['block']:>2} of {blocks}" if trial["block"] else "starts".ljust(len(f"block 00 of {blocks}"))
    width = len(str(len(trials)))
    return (
        f"[{trial['order']:>{width}}/{len(trials)}] {place}  {trial['arm']:<10}  {what:<18}"
        f"  {clock(elapsed)} gone, about {clock(remaining)} to go"
    )
