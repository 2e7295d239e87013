# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Judges starts and loads again by what is recorded of them and around them.

A module that calls its trial valid is believed only where nothing that the run recorded contradicts it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evenkeel import ab

from analysis import watched
from analysis.clocks import Window
from analysis.figures import lookup, number_at
from analysis.run_store import PlannedTrial, RunFolder
from analysis.schema import LOADS, Arm, Kind, Reason
from analysis.validity import Problem

# A process's start is known to one tick of the kernel (10 ms), and the service stamps it by its own reading of it.
LEAST_AGE_SECONDS = 0.05


def problems(run: RunFolder) -> list[Problem]:
    """List what the record of a trial, or those of the trials around it, hold against a trial called valid."""
    return [*_of_starts(run), *_of_times(run), *_of_answers(run), *_of_order(run)]


def _measured(run: RunFolder, module: str) -> Iterator[tuple[PlannedTrial, Mapping[str, Any]]]:
    """Give the trials that are in the run with what this module recorded of each, in the order of the plan."""
    for trial in run.trials:
        facts = lookup(run.records.get(trial.id), "facts", module)
        if isinstance(facts, Mapping):
            yield trial, facts


def _of_starts(run: RunFolder) -> Iterator[Problem]:
    """Look for a start that started nothing: its instance, or its process, was there before."""
    seen: dict[str, str] = {}
    for trial, start in _measured(run, "service_startup"):
        instance = start.get("instance_id")
        before = seen.setdefault(instance, trial.id) if isinstance(instance, str) else trial.id
        if trial.discarded or start.get("valid") is not True:
            continue
        if before != trial.id:
            yield Problem(Reason.START_INVALID, f"not_new: instance {instance} is that of {before}", trial.id)
        begun = number_at(start, "start_monotonic_seconds").value
        process = number_at(lookup(start, "startup"), "process_start_monotonic_seconds").value
        boots = {lookup(start, "host_boot_id"), lookup(start, "startup", "host_boot_id")}
        if begun is not None and process is not None and len(boots) == 1 and begun - process > LEAST_AGE_SECONDS:
            message = f"not_new: the service's process is {begun - process:.2f} s older than the start command"
            yield Problem(Reason.START_INVALID, message, trial.id)


def _of_times(run: RunFolder) -> Iterator[Problem]:
    """Look for a load whose three times, ab's, the wall's and its window's, are not of one load."""
    for trial, load in _measured(run, "ab_benchmark"):
        window = load.get("window")
        if trial.kind is not Kind.LOAD or load.get("valid") is not True or not isinstance(window, Mapping):
            continue
        start, end = (number_at(window, f"{edge}_monotonic_seconds").value for edge in ("start", "end"))
        wall, own = (number_at(load, name).value for name in ("wall_seconds", "ab_seconds"))
        message = None if wall is None or own is None else ab.clock_disagreement(wall, own)
        if start is not None and end is not None and wall is not None and message is None:
            between = ab.clock_disagreement(wall, end - start)
            message = between and f"its window is {end - start:.3f} s long, and it took {wall:.3f} s"
        if message is not None:
            yield Problem(Reason.CLOCK_STEPPED, message, trial.id)


def _of_answers(run: RunFolder) -> Iterator[Problem]:
    """Look for a load whose probes did not get the answer that its service gave after its start."""
    answers: dict[Arm, Mapping[str, Any]] = {}
    for trial in run.trials:
        facts = lookup(run.records.get(trial.id), "facts")
        if trial.kind is Kind.START:
            answer = lookup(facts, "service_startup", "answer")
            answers[trial.arm] = answer if isinstance(answer, Mapping) else {}
        load = lookup(facts, "ab_benchmark")
        if trial.kind is Kind.LOAD and lookup(load, "valid") is True:
            for edge in ("before", "after"):
                found = _of_probe(lookup(load, "probes", edge), answers.get(trial.arm, {}))
                if found is not None:
                    yield Problem(found[0], f"the probe {edge} the load: {found[1]}", trial.id)
                    break


def _of_probe(probe: object, expected: Mapping[str, Any]) -> tuple[Reason, str] | None:
    status, answer = lookup(probe, "status"), lookup(probe, "answer")
    if status is None or not isinstance(answer, Mapping):
        return Reason.LOAD_INVALID, "no answer is recorded"
    if status != 200:
        return Reason.WRONG_ANSWER, f"status {status}"
    # Another instance is a reason of its own.
    for key, value in expected.items():
        if key != "instance_id" and answer.get(key) != value:
            return Reason.WRONG_ANSWER, f"{key} is {answer.get(key)}, and was {value} after the start"
    return None


def _of_order(run: RunFolder) -> Iterator[Problem]:
    """Look for loads of one clock that were not sent one after the other, as the plan has them.

    The pairs of a block, and that nothing else runs under a load, rest on it.
    """
    last: dict[str, tuple[PlannedTrial, Window]] = {}
    for trial in run.trials:
        record = run.records.get(trial.id)
        window = watched.load_window(record["facts"]) if record is not None and trial.kind in LOADS else None
        if window is None or window.host_boot_id is None:
            continue
        if window.host_boot_id in last:
            before, theirs = last[window.host_boot_id]
            if window.start < theirs.end:
                how = "before" if window.end <= theirs.start else "while"
                message = f"it was sent {how} {before.id} was, and the plan has it after that"
                yield Problem(Reason.PLAN_MISMATCH, message, trial.id)
        last[window.host_boot_id] = (trial, window)
