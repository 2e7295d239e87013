# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Recomputes every load from ab's own output, or from the list of its requests, and checks the files beside a record
by the checksum in it.

A report must follow from the raw files: facts that do not are a reason against the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from evenkeel import ab, open_loop

from analysis import load_hosts
from analysis.figures import ABSENT, lookup, number_at
from analysis.run_store import PlannedTrial, RunFolder
from analysis.schema import Kind, Reason
from analysis.validity import Problem

# A fact went through JSON, which keeps a double exactly; the allowance is for another order of summation.
RELATIVE_TOLERANCE = 1e-9


def problems(run: RunFolder) -> list[Problem]:
    """List where what is recorded of a trial is not what its raw files hold, one problem a trial."""
    checksums = {file.path: file.sha256 for file in run.files}
    found = []
    for trial in run.trials:
        record = run.records.get(trial.id, {})
        differences = list(_changed(trial, record.get("artifacts", ()), checksums))
        facts = lookup(record, "facts", "ab_benchmark")
        if trial.kind in (Kind.LOAD, Kind.CAPACITY) and isinstance(facts, Mapping):
            differences.extend(_differences(run, trial, facts))
        if trial.kind is Kind.OPEN_LOOP:
            for name, part in load_hosts.parts_of(trial.id, lookup(record, "facts")):
                differences.extend(_of_open_loop(run, trial, name, part))
        if differences and not trial.discarded:
            found.append(Problem(Reason.RAW_MISMATCH, "; ".join(differences), trial.id))
    return found


def _changed(
    trial: PlannedTrial, artifacts: Iterable[Mapping[str, str]], checksums: Mapping[str, str]
) -> Iterator[str]:
    """Say which of the files that were brought from the trial's host are missing or are not what was made there."""
    for artifact in artifacts:
        path = f"raw/{trial.id}.{PurePosixPath(artifact['path']).name}"
        if path not in checksums:
            yield f"{path} is missing, though its record names it"
        elif checksums[path] != artifact["sha256"]:
            yield f"the SHA-256 of {path} is {checksums[path]}; its record says {artifact['sha256']}"


def _differences(run: RunFolder, trial: PlannedTrial, facts: Mapping[str, Any]) -> Iterator[str]:
    if facts.get("window", ABSENT) is None:
        return  # ab was never run: its probe found no server, which the load's own reasons say
    stdout = run.raw_text(f"{trial.id}.ab.txt")
    if stdout is None:
        yield f"raw/{trial.id}.ab.txt is missing, so the load cannot be recomputed"
        return
    planned, argv = lookup(facts, "requests", "planned"), facts.get("argv")
    if not isinstance(planned, int) or not isinstance(argv, list):
        yield "its facts do not hold requests.planned and argv, so the load cannot be recomputed"
        return
    known = facts.get("body_lengths")
    lengths = (
        ab.KnownLengths(known.get("constant"), known.get("least")) if isinstance(known, Mapping) else ab.KnownLengths()
    )
    measured = ab.measure(stdout, run.raw_text(f"{trial.id}.ab.csv"), planned, "-l" in argv, lengths=lengths)
    for key, computed in measured.figures.items():
        yield from _unequal(key, facts.get(key, ABSENT), computed)


def _of_open_loop(run: RunFolder, trial: PlannedTrial, beginning: str, facts: Mapping[str, Any]) -> Iterator[str]:
    """Compute an open loop's figures again from its lists of requests, one a step of a sweep.

    ``beginning`` is that of its files' names.
    """
    if not facts.get("window"):
        return  # nothing was sent, which its own reasons say
    settings = lookup(run.plan, "profile", "run", "open_loop")
    seconds, seed = facts.get("seconds"), facts.get("seed")
    planned = number_at(lookup(settings, "sweep") if trial.mode == "sweep" else settings, "seconds").value
    if planned is not None and seconds != planned:
        yield f"seconds is {seconds}; the plan says {planned}"
    for number, (part, artifact) in enumerate(load_hosts.loads_of(facts)):
        name = f"raw/{beginning}.{artifact}"
        text = run.raw_text(f"{beginning}.{artifact}")
        if text is None:
            yield f"{name} is missing, so the load cannot be recomputed"
            return
        try:
            requests = open_loop.from_csv(text)
        except ValueError as error:
            yield f"{name} is no list of requests: {error}"
            return
        rate = part.get("rate_rps")
        if not isinstance(seconds, int | float) or not isinstance(rate, int | float) or not isinstance(seed, int):
            yield "its facts do not hold seconds, rate_rps and seed, so the load cannot be recomputed"
            return
        # Each step of a sweep draws its arrivals anew.
        arrivals = lookup(settings, "arrivals")
        yield from _of_schedule(name, len(requests), rate, seconds, arrivals=arrivals, seed=seed + number)
        for key, computed in open_loop.measure(requests, float(seconds), float(rate)).items():
            yield from _unequal(key, part.get(key, ABSENT), computed)


def _of_schedule(name: str, count: int, rate: float, seconds: float, *, arrivals: str, seed: int) -> Iterator[str]:
    """Draw a load's schedule again: every arrival has its line, what was never sent included."""
    try:
        due = open_loop.schedule(rate, seconds, arrivals, seed)
    except open_loop.InvalidSchedule as error:
        yield f"its schedule cannot be drawn again: {error}"
        return
    if len(due) != count:
        yield f"{name} holds {count} arrivals; {rate:.4g}/s over {seconds:g} s from seed {seed} are {len(due)}"


def _unequal(key: str, recorded: Any, computed: Any) -> Iterator[str]:
    if isinstance(computed, Mapping):
        for inner, value in computed.items():
            yield from _unequal(f"{key}.{inner}", lookup(recorded, inner), value)
    elif isinstance(computed, list):
        if not isinstance(recorded, list) or len(recorded) != len(computed):
            yield f"{key} does not hold the {len(computed)} values of the load's own output"
            return
        for position, (fact, value) in enumerate(zip(recorded, computed, strict=True), start=1):
            if not _equal(fact, value):
                yield f"{key}, value {position}, is {fact}; the load's own output gives {value}"
                return
    elif not _equal(recorded, computed):
        yield f"{key} is {recorded}; the load's own output gives {computed}"


def _equal(recorded: Any, computed: Any) -> bool:
    if isinstance(computed, float) and isinstance(recorded, int | float):
        return math.isclose(recorded, computed, rel_tol=RELATIVE_TOLERANCE)
    return bool(recorded == computed)
